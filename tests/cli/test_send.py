import json
import os
import pty
import socket
import subprocess
import threading

import pytest
from command_line_harness import COMMAND, PATIENCE, SECRET, serving


def test_a_success_is_sent_and_acknowledged(command, receiver):
    ended = command("send", receiver.url)
    assert (ended.status, ended.err) == (0, "")
    (body,) = map(json.loads, receiver.processed)
    assert body["message"] == "File analyzed successfully"
    assert ended.out.splitlines()[0].startswith("sent: POST analyzed, ")
    assert ended.out.splitlines()[1:] == ["POST 1: HTTP 200, no body", "acknowledged after 1 POST"]


def test_each_run_tells_of_another_meeting(command, receiver):
    command("send", receiver.url)
    command("send", receiver.url)
    first, second = map(json.loads, receiver.processed)
    assert first["meeting_id"] != second["meeting_id"]


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--event", "failed"], {"message": "File analyzed failed"}),
        (["--meeting-id", "m-1"], {"message": "File analyzed successfully", "meeting_id": "m-1"}),
        (
            ["--event", "success", "--meeting-id", "é"],
            {"message": "File analyzed successfully", "meeting_id": "é"},
        ),
    ],
    ids=["failed", "meeting", "success"],
)
def test_it_sends_the_event_that_is_asked_for(command, receiver, words, body):
    assert command("send", receiver.url, *words).status == 0
    assert [json.loads(sent) for sent in receiver.processed] == [body]


def test_it_sends_the_exact_bytes_of_a_file(command, receiver, folder):
    (folder / "event.bin").write_bytes(b' {"a":1}\r\n\xff')
    assert command("send", receiver.url, "--body", "event.bin", "--repeat", 2).status == 0
    assert receiver.processed == [b' {"a":1}\r\n\xff'] * 2


def test_it_sends_what_comes_through_a_pipe(process, receiver):
    assert process("send", receiver.url, "--body", "-", input=b"[]").status == 0
    assert receiver.processed == [b"[]"]


def test_it_follows_the_retry_policy_until_acknowledged(command, receiver):
    receiver.statuses[:] = ["500 Internal Server Error", "202 Accepted"]
    ended = command("send", receiver.url)
    assert ended.status == 0
    assert ended.out.splitlines()[1:] == [
        "POST 1: HTTP 500, no body",
        "POST 2: HTTP 202, no body",
        "POST 3: HTTP 200, no body",
        "acknowledged after 3 POSTs",
    ]
    assert len(set(receiver.processed)) == 1


def test_it_gives_up_after_three_posts(command, receiver):
    receiver.statuses[:] = ["500 Internal Server Error"] * 4
    ended = command("send", receiver.url)
    assert ended.status == 1
    assert len(receiver.processed) == 3
    assert ended.out.splitlines()[-1] == "MeetGeek gives up after 3 POSTs: the event is lost"


@pytest.mark.parametrize("forgery", ["missing", "one-bit", "body-changed", "secret-itself"])
def test_a_forgery_is_not_acknowledged(command, receiver, forgery):
    ended = command("send", receiver.url, "--forge", forgery)
    assert ended.status == 1
    assert ended.out.count("HTTP 401") == 3
    assert receiver.processed == []
    assert SECRET not in ended.out + ended.err


def test_a_team_gets_one_meeting_and_repetition_makes_several(command, receiver):
    ended = command("send", receiver.url, "--team", 3, "--repeat", 2)
    assert ended.status == 0
    assert ended.out.splitlines()[-1] == "6 of 6 acknowledged"
    meetings = [json.loads(body)["meeting_id"] for body in receiver.processed]
    assert meetings == [meetings[0]] * 3 + [meetings[3]] * 3
    assert len(set(meetings)) == 2


def test_one_that_is_lost_among_many_shows_in_the_exit_status(command, receiver):
    receiver.statuses[:] = ["500 Internal Server Error"] * 3
    ended = command("send", receiver.url, "--repeat", 2)
    assert ended.status == 1
    assert ended.out.splitlines()[-1] == "1 of 2 acknowledged"


@pytest.mark.parametrize(("repeat", "bar"), [(12, True), (2, False)], ids=["many", "few"])
def test_many_show_a_progress_bar_on_a_terminal(folder, receiver, repeat, bar):
    terminal, end_of_process = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "send", receiver.url, "--repeat", str(repeat)],
        stdout=end_of_process,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as running:
        os.close(end_of_process)
        shown = b""
        try:
            while part := os.read(terminal, 65536):
                shown += part
        except OSError:  # Linux tells of the other end's closing so
            pass
        finally:
            os.close(terminal)
        assert running.wait(PATIENCE) == 0
    assert (b"Sending" in shown) == bar
    assert shown.count(b"acknowledged after 1 POST") == repeat


@pytest.mark.parametrize("host", ["localhost", "localhost.", "app.localhost", "127.1", "0.0.0.0"])  # noqa: S104 - a URL
def test_it_knows_this_machine_by_its_other_names(command, receiver, host):
    ended = command("send", receiver.url.replace("127.0.0.1", host))
    assert (ended.status, ended.err) == (0, "")


def test_a_redirect_shows_where_it_leads(command):
    def application(environ, start_response):
        start_response("307 Temporary Redirect", [("Location", "/hook/"), ("Content-Length", "0")])
        return []

    with serving(application) as url:
        ended = command("send", url)
    assert ended.status == 1
    assert ended.out.splitlines()[1:3] == ["POST 1: HTTP 307, no body", "    Location: /hook/"]


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ([], 2, "is not trusted: unable to get local issuer certificate; if you trust it, give it as --cacert FILE"),
        (["--cacert", "certificate.pem"], 0, ""),
        (["--cacert", "no.pem"], 2, "--cacert: 'no.pem' cannot be read: No such file or directory"),
        (["--cacert", "shop.py"], 2, "--cacert: 'shop.py' is not a file of PEM certificates"),
    ],
    ids=["untrusted", "trusted", "missing", "not PEM"],
)
def test_a_certificate_must_be_trusted(command, secure_receiver, options, status, says):
    ended = command("send", secure_receiver.url, *options)
    assert ended.status == status
    assert says in ended.err
    assert ended.err.count("\n") == bool(says)
    assert (ended.out == "") == bool(says)


def test_a_certificate_of_another_host_is_not_helped_by_trusting_it(command, secure_receiver):
    ended = command("send", secure_receiver.url.replace("127.0.0.1", "localhost"), "--cacert", "certificate.pem")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "is not trusted: Hostname mismatch, certificate is not valid for 'localhost'" in ended.err
    assert "--cacert" not in ended.err


def test_tls_with_a_receiver_that_does_not_speak_it_is_one_line(command, receiver):
    ended = command("send", receiver.url.replace("http:", "https:"))
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "no TLS connection to https://127.0.0.1:" in ended.err
    assert "does it speak plain http?" in ended.err


def test_a_receiver_that_hangs_up_has_not_acknowledged(command):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            for _ in range(3):
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        ended = command("send", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert ended.status == 1
    assert ended.out.count("no response") == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["http://127.0.0.1:1/"], "cannot reach http://127.0.0.1:1/: Connection refused"),
        (["http://nobody.invalid/", "--allow-host", "nobody.invalid"], "cannot reach http://nobody.invalid/"),
        (["http://example.com/"], "give --allow-host example.com"),
        (["http://127.0.0.1:1/", "--body", "no.json"], "--body: 'no.json' cannot be read: No such file"),
        (["example.com"], "'example.com' is not a URL: write http://example.com"),
        (["ftp://127.0.0.1/"], "is not an http or https URL"),
        (["http://127.0.0.1:99999/"], "its port must be a number from 1 to 65535"),
        (["http://[::1/"], "is not an http or https URL"),
        (["http://127.0.0.1/é"], "is not an http or https URL"),
        (["http://127.0.0.1:1/a b"], "is not an http or https URL"),
        (["http://127.0.0.1:1/\n"], "is not an http or https URL"),
        (["http:///path"], "is not an http or https URL"),
        (["127.0.0.1:1"], "'127.0.0.1:1' is not a URL: write http://127.0.0.1:1"),
        (["localhost/hook"], "write http://localhost/hook"),
        (["http://localhost.example.org/"], "give --allow-host localhost.example.org"),
        (["http://127.0.0.1:0/"], "its port must be a number from 1 to 65535"),
        (["http://127.0.0.1:1/", "--forge", "mising"], "did you mean 'missing'"),
        (["http://127.0.0.1:1/", "--body", "shop.py", "--forge", "body-key-order"], "--forge: "),
        (["http://127.0.0.1:1/", "--body", "shop.py", "--event", "failed"], "--body is a whole event"),
        (["http://127.0.0.1:1/", "--body", "shop.py", "--meeting-id", "1"], "--body is a whole event"),
        (["http://127.0.0.1:1/", "--event", "failed", "--meeting-id", "1"], "--meeting-id needs --event success"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_sent_is_one_line(command, words, says):
    ended = command("send", *words)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("mg-middleware send: ")
    assert says in ended.err
