import asyncio
import threading
from contextlib import closing, contextmanager, redirect_stdout
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from io import StringIO

import httpx
from steps import after, free_port, sign

MEETING = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'


def check(port):
    """Send what is genuine, what is forged and what is too long, over the network."""
    url = f"http://127.0.0.1:{port}/webhooks/meetgeek"
    with redirect_stdout(StringIO()) as printed, httpx.Client(timeout=20, trust_env=False) as client:
        for signature in ("", "0" * 64, sign(MEETING).upper(), sign(MEETING, "another secret")):
            assert client.post(url, content=MEETING, headers={"X-MG-Signature": signature}).status_code == 401
        twice = [("X-MG-Signature", sign(MEETING))] * 2
        assert client.post(url, content=MEETING, headers=twice).status_code == 401
        assert client.post(url, content=MEETING).status_code == 401
        assert printed.getvalue() == ""
        response = client.post(url, content=MEETING, headers={"X-MG-Signature": sign(MEETING)})
        assert (response.status_code, response.content) == (200, b"")
        assert printed.getvalue() == "analyzed: meeting-1\n"
        assert client.post(url.removesuffix("k"), content=MEETING).status_code == 404
        large = bytes(1_048_577)
        try:
            response = client.post(url, content=large, headers={"X-MG-Signature": sign(large)})
        except httpx.TransportError:
            pass  # the connection was closed while the body was sent
        else:
            assert response.status_code in {400, 413}
        assert printed.getvalue() == "analyzed: meeting-1\n"


@contextmanager
def running_loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@after(file="aiohttp_receiver.py")
def aiohttp_hands_the_body_over(page):
    from aiohttp import web
    from aiohttp_receiver import app

    port = free_port()
    runner = web.AppRunner(app)

    async def start():
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    with running_loop() as run:
        run(start())
        check(port)
        run(runner.cleanup())


@after(file="tornado_receiver.py")
def tornado_hands_the_body_over(page):
    import tornado_receiver
    from tornado.httpserver import HTTPServer

    port = free_port()

    async def start():
        server = HTTPServer(tornado_receiver.app, max_body_size=1_048_576)
        server.listen(port, "127.0.0.1")
        return server

    async def stop(server):
        server.stop()
        await server.close_all_connections()

    with running_loop() as run:
        server = run(start())
        check(port)
        run(stop(server))


@after(file="plain_receiver.py")
def http_server_hands_the_body_over(page):
    from plain_receiver import Receiver

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            check(server.server_port)
            url = f"http://127.0.0.1:{server.server_port}/webhooks/meetgeek"
            assert httpx.post(url, content=iter([MEETING]), trust_env=False).status_code == 411
            for length in ("9" * 5000, "1048577"):
                with closing(HTTPConnection("127.0.0.1", server.server_port, timeout=20)) as connection:
                    connection.putrequest("POST", "/webhooks/meetgeek")
                    connection.putheader("Content-Length", length)
                    connection.endheaders()
                    assert connection.getresponse().status == 413
        finally:
            server.shutdown()
            thread.join()
