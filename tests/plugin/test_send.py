"""`python -m pytest_meetgeek send`: one request to a receiver that runs."""

import subprocess
import sys
import threading
from types import SimpleNamespace
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from mg_middleware import MeetGeekWSGIMiddleware, delivery_of
from pytest_meetgeek.__main__ import main
from pytest_meetgeek.recording import Recording

SECRET = "whsec-of-the-sender"


class Receiver:
    """A guarded application on a free port of loopback, with the events that it saw."""

    def __init__(self):
        self.events = []
        self.bodies = []
        self.agents = []

    def __call__(self, environ, start_response):
        delivery = delivery_of(environ)
        self.events.append(type(delivery.event).__name__)
        self.bodies.append(delivery.body)
        self.agents.append(environ.get("HTTP_USER_AGENT"))
        start_response("200 OK", [("Content-Length", "0")])
        return []


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture
def receiver():
    receiver = Receiver()
    guarded = MeetGeekWSGIMiddleware(receiver, SECRET)
    with make_server("127.0.0.1", 0, guarded, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/"
        yield receiver
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("words", "event"),
    [
        ([], "AnalysisSucceeded"),
        (["--event", "success"], "AnalysisSucceeded"),
        (["--event", "failed"], "AnalysisFailed"),
    ],
)
def test_it_sends_what_meetgeek_sends(receiver, monkeypatch, capsys, words, event):
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    assert main(["send", "--to", receiver.url, "--meetgeek-secret-env", "SHOP_SECRET", *words]) == 0
    assert receiver.events == [event]
    said = capsys.readouterr().out
    assert "acknowledged after 1 POST" in said
    assert SECRET not in said


ODD = b'\xef\xbb\xbf{ "message":\t"File analyzed failed" }\r\n\x00\xff'


@pytest.mark.parametrize("place", ["body.bin", "-"])
def test_it_sends_the_exact_bytes_of_a_file(receiver, monkeypatch, tmp_path, place):
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "body.bin").write_bytes(ODD)
    with (tmp_path / "body.bin").open("rb") as file:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
        assert main(["send", "--to", receiver.url, "--meetgeek-secret-env", "SHOP_SECRET", "--body", place]) == 0
    assert receiver.bodies == [ODD]


def test_it_sends_a_recording(receiver, monkeypatch, tmp_path):
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    path = tmp_path / "one.json"
    path.write_text(Recording(ODD, (("user-agent", "MeetGeek/1"),)).to_json())
    assert main(["send", "--to", receiver.url, "--meetgeek-secret-env", "SHOP_SECRET", "--recording", str(path)]) == 0
    assert (receiver.bodies, receiver.agents) == ([ODD], ["MeetGeek/1"])


def test_a_forgery_is_refused_three_times(receiver, monkeypatch, capsys):
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    words = ["--meetgeek-secret-env=SHOP_SECRET", "--event=failed", "--forge=one-bit"]
    assert main(["send", "--to", receiver.url, *words]) == 1
    assert receiver.events == []
    assert capsys.readouterr().out.count("401") == 3


def test_without_a_variable_it_signs_with_the_public_secret_of_the_tests(receiver):
    assert main(["send", "--to", receiver.url]) == 1
    assert receiver.events == []


def test_no_connection_is_no_acknowledgement(capsys):
    assert main(["send", "--to", "http://127.0.0.1:9/", "--meetgeek-allow-host", "localhost"]) == 1
    assert "POST 3: no response" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "http://127.0.0.1:9/", "--forge", "one-bti"], "did you mean 'one-bit'"),
        (["--to", "http://example.org/"], "example.org is not a loopback address"),
        (["--to", "shop:app"], "shop:app"),
        (["--to", "http://127.0.0.1:9/", "--meetgeek-secret-env", "UNSET"], "UNSET is not set, or empty"),
        ([], "--to"),
        (["--to", "http://127.0.0.1:9/", "--body", "missing"], "'missing' can't be read: No such file"),
        (["--to", "http://127.0.0.1:9/", "--recording", "missing"], "'missing' can't be read: No such file"),
        (["--to", "http://127.0.0.1:9/", "--recording", __file__], "is not a recording: it isn't JSON"),
        (["--to", "http://127.0.0.1:9/", "--body", "-", "--event", "failed"], "not allowed with argument --body"),
    ],
    ids=[
        *("forgery", "host", "no URL", "secret", "no receiver"),
        *("no body", "no recording", "not a recording", "two events"),
    ],
)
def test_wrong_words_are_refused_at_once(monkeypatch, capsys, words, said):
    monkeypatch.delenv("UNSET", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["send", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_it_runs_as_a_module(receiver):
    ended = subprocess.run(
        [sys.executable, "-m", "pytest_meetgeek", "send", "--to", receiver.url], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (1, b"")
