"""Recording with `serve --record` and sending recordings with `send --recording`, with real sockets."""

import hmac
import re
import resource
import socket
import time

import pytest
from command_line_harness import PATIENCE, SECRET

from pytest_meetgeek.recording import Recording

ODD = b'{ "message":\t"File analyzed failed" ,\r\n"title":"Zo\xc3\xab \xe2\x80\xae"}\n\x00\xff'


def raw(port, content):
    """Send bytes as they are, and read the response until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(content)
        response = b""
        while not response.endswith(b"\r\n\r\n"):
            response += connection.recv(1)
    return response


def request(body, signature, *, framing=None):
    framing = b"Content-Length: %d" % len(body) if framing is None else framing
    head = [
        b"POST /hook?token=1 HTTP/1.1",
        b"HOST:receiver.example",
        b"content-TYPE:  application/json;charset=utf-8 \t",
        b"X-Odd: a\xe9",
        b"Cookie: session=1",
        b"Authorization: Bearer 1",
        b"X-MG-Signature:" + signature.encode() + b"  ",
        framing,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n"


def signature_of(body):
    return hmac.new(SECRET.encode(), body, "sha256").hexdigest()


def recordings(folder, count):
    """Wait for files: they are written after the response."""
    deadline = time.monotonic() + PATIENCE
    while len(found := sorted(folder.glob("*.json"))) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
def test_odd_bytes_from_a_raw_socket_come_back_byte_for_byte(serve, command, folder, receiver, chunked):
    with serve("--record", "deliveries") as server:
        if chunked:
            pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (ODD[:7], ODD[7:]))
            content = request(ODD, signature_of(ODD), framing=b"Transfer-Encoding: chunked") + pieces + b"0\r\n\r\n"
        else:
            content = request(ODD, signature_of(ODD)) + ODD
        assert raw(server.port, content).startswith(b"HTTP/1.1 200 OK")
        assert raw(server.port, request(ODD, "0" * 64) + ODD).startswith(b"HTTP/1.1 401")
        [file] = recordings(folder / "deliveries", 1)
    recording = Recording.read(file)
    assert (recording.body, recording.method, recording.path) == (ODD, "POST", "/hook")
    assert {name: value.strip() for name, value in recording.headers} == {  # some parsers leave the space behind
        "host": "receiver.example",
        "content-type": "application/json;charset=utf-8",
        "x-odd": "a\xe9",
        **({"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(ODD))}),
    }
    assert SECRET not in file.read_text()
    assert signature_of(ODD) not in file.read_text()
    assert [path.name for path in (folder / "deliveries").iterdir()] == [file.name]

    sent = command("send", receiver.url, "--recording", file)
    assert (sent.status, sent.err) == (0, "")
    assert receiver.processed == [ODD]


def test_each_worker_records(serve, folder):
    with serve("--workers", "2", "--record", "deliveries") as server:
        for number in range(6):
            assert server.post(b'{"n": %d}' % number)[0] == 200
        files = recordings(folder / "deliveries", 6)
    assert {Recording.read(file).body for file in files} == {b'{"n": %d}' % number for number in range(6)}


def test_a_full_disk_changes_nothing_for_the_sender(serve, folder, monkeypatch):
    # No file of this process may grow beyond 10 bytes, which is as good as a full disk.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serve("--record", "deliveries") as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (10, hard))
        assert server.post(b'{"n": 1}') == (200, b"")
        deadline = time.monotonic() + PATIENCE
        while not any("not recorded" in line for line in server.log):
            assert time.monotonic() < deadline, server.log
            time.sleep(0.02)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        assert server.post(b'{"n": 2}') == (200, b"")
        [file] = recordings(folder / "deliveries", 1)
        server.stop()
        _, _, log = server.end()
    assert Recording.read(file).body == b'{"n": 2}'
    assert list((folder / "deliveries").iterdir()) == [file]
    assert "WARNING a delivery was not recorded: File too large" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("place", ["shop.py", "shop.py/deliveries"])
def test_a_folder_that_cannot_be_is_one_line(command, place):
    ended = command("serve", "--record", place)
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(f"mg-middleware serve: --record: '{place}' can't be written to: .*\n", ended.err)


def test_sends_a_folder_of_recordings_in_order(command, folder, receiver):
    (folder / "deliveries").mkdir()
    for number in (3, 1, 2):
        (folder / "deliveries" / f"{number}.json").write_text(Recording(b'{"n": %d}' % number).to_json())
    (folder / "deliveries" / "notes.txt").touch()
    ended = command("send", receiver.url, "--recording", "deliveries")
    assert ended.status == 0
    assert ended.out.endswith("\n3 of 3 acknowledged\n")
    assert receiver.processed == [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}']


def test_a_recording_can_be_forged_and_repeated(command, folder, receiver):
    (folder / "one.json").write_text(Recording(b'{"n": 1}').to_json())
    assert command("send", receiver.url, "--recording", "one.json", "--repeat", "2", "--team", "2").status == 0
    assert receiver.processed == [b'{"n": 1}'] * 4
    assert command("send", receiver.url, "--recording", "one.json", "--forge", "one-bit").status == 1
    assert len(receiver.processed) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--recording", "missing"], "--recording: there is no recording at 'missing'"),
        (["--recording", "shop.py"], "--recording: 'shop.py' is not a recording: it isn't JSON"),
        (["--recording", "folder"], "--recording: 'folder/two.json' can't be read: Is a directory"),
        (["--recording", "one.json", "--event", "failed"], "--recording is a whole event"),
        (["--recording", "one.json", "--meeting-id", "1"], "--recording is a whole event"),
        (["--recording", "one.json", "--body", "one.json"], "--body and --recording exclude each other"),
    ],
)
def test_what_cannot_be_sent_is_one_line(command, folder, receiver, words, says):
    (folder / "one.json").write_text(Recording(b"{}").to_json())
    (folder / "folder" / "two.json").mkdir(parents=True)
    ended = command("send", receiver.url, *words)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert says in ended.err
    assert receiver.processed == []


def test_the_inspector_sees_one_process(command):
    ended = command("serve", "--inspect", "--workers", "2")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "mg-middleware serve: --inspect shows the deliveries of one process: leave --workers out\n"


def test_a_busy_port_of_the_inspector_is_one_line(command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = command("serve", "--port", "0", "--inspect", port)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"mg-middleware serve: --inspect: cannot listen on port {port}: Address already in use\n"


@pytest.mark.parametrize("words", [["--inspect", "0", "shop:app"], ["shop:app", "--inspect=0"]], ids=" ".join)
def test_the_inspector_stands_beside_any_application(serve, words):
    with serve(*words) as server:
        assert server.post(b"{}") == (200, b"UnknownEvent()")
        assert any("Inspector: http://127.0.0.1:" in line for line in server.log)


def test_the_log_is_of_the_application_alone(serve):
    with serve("--inspect", "0") as server:
        server.stop()
        log = server.end()[2]
    for line in ("INFO Started server process", "INFO Shutting down", "INFO Finished server process"):
        assert log.count(line) == 1, log


def test_the_port_of_the_inspector_may_be_left_out_before_the_application(command, monkeypatch):
    monkeypatch.setattr("mg_middleware.cli.serve.load_application", lambda name: pytest.fail(f"loaded {name}"))
    monkeypatch.setattr("mg_middleware.cli.serve._INSPECTOR_PORT", 0)
    with pytest.raises(pytest.fail.Exception, match="loaded shop:app"):
        command("serve", "--inspect", "shop:app", "--port", "0")
