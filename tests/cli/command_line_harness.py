"""What the tests of the command line share: a secret, a user's modules, and a running server."""

import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection

from werkzeug.serving import make_server

from mg_middleware import sign

SECRET = "whsec-command-line-7f1c"
BODY = b'{"message": "File analyzed failed"}'
# printf '%s' "$BODY" | openssl dgst -sha256 -hmac "$SECRET"
SIGNATURE = "ca03ae3dd48ed41fc6827ace6ea3242b762324df8ff5a3fee94f7d55ce378f43"
COMMAND = [sys.executable, "-m", "mg_middleware"]
# Seconds after which a process or an answer that does not come is a failure.
PATIENCE = 60

# What a user keeps beside the command line: applications of each kind, good and bad.
MODULES = {
    "shop": """
import asyncio
from mg_middleware import delivery_of

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError
    verified = "meetgeek.delivery" in scope
    print("in hand", flush=True)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.7)
    body = repr(delivery_of(scope).event).encode() if verified else b"not guarded"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

def wsgi(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    verified = "meetgeek.delivery" in environ
    length = environ.get("CONTENT_LENGTH")
    framing = environ.get("HTTP_TRANSFER_ENCODING")
    event = delivery_of(environ).event if verified else None
    return [repr((event, len(body), length, framing)).encode()]

async def does_not_start(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

async def unguarded(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

def create_app():
    return app

def create_wsgi():
    return wsgi

def create_failing():
    raise OSError("no database")

number = 7
def of_four(one, two, three, four): ...
""",
    "broken": "import a_module_that_is_not_there\napp = None\n",
    "talkative": "raise RuntimeError('one line\\nand another')\n",
    "stubborn": "raise SystemExit(0)\n",
}


@contextmanager
def serving(application, **options):
    """Run a WSGI application on a free port; its URL."""
    server = make_server("127.0.0.1", 0, application, threaded=True, **options)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{'https' if options else 'http'}://127.0.0.1:{server.port}/webhooks/meetgeek"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Server:
    """A running `serve`."""

    def __init__(self, process):
        self.process = process
        self.log = []
        self.port = 0
        for line in process.stderr:
            self.log.append(line)
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        self._wait_until_it_listens()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def wait_for_workers(self, count):
        """Wait until each of its processes serves: one that is still starting answers to Ctrl-C with a traceback."""
        deadline = time.monotonic() + PATIENCE
        while sum("Started server process" in line for line in self.log) < count:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def _wait_until_it_listens(self):
        # Several workers listen a while after the first of them says where.
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.02)

    def post(self, body, *, path="/", signature=None, chunked=False):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"X-MG-Signature": sign(SECRET, body) if signature is None else signature}
            content = iter([body[:5], body[5:]]) if chunked else body
            connection.request("POST", path, content, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def line(self):
        """Wait for a line of standard output."""
        return self.process.stdout.readline()

    def stop(self, signal_number=signal.SIGTERM):
        """Send a signal to the whole process group, as a terminal does for Ctrl-C, or to the process alone."""
        if signal_number == signal.SIGINT:
            os.killpg(self.process.pid, signal_number)
        else:
            self.process.send_signal(signal_number)

    def end(self):
        """Wait for the end; the exit status, the rest of standard output, and the log."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        out = "" if self.process.stdout is None or self.process.stdout.closed else self.process.stdout.read()
        return status, out, "".join(self.log)
