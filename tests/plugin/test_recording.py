"""Recorded deliveries: their files, and what is sent again."""

import json
import os

import pytest

from mg_middleware import MeetGeekWSGIMiddleware, delivery_of
from pytest_meetgeek import MeetGeek
from pytest_meetgeek.recording import Recording, headers_to_keep, recordings_at

SECRET = "whsec-of-the-recordings"
EVENT = b'{ "message" : "File analyzed successfully",\r\n"meeting_id":"meeting-1" }'
HEADERS = (("content-type", "application/json; charset=utf-8"), ("user-agent", "MeetGeek/1"), ("x-odd", "a\xe9"))
RECORDED = Recording(EVENT, HEADERS, "POST", "/hook", "2026-11-30T16:20:49+00:00")


@pytest.mark.parametrize("body", [EVENT, b"", b"\xff\x00", "Zoë \u202e\x00".encode(), b"\xed\xa0\x80"], ids=repr)
def test_a_recording_is_read_as_it_was_written(body, tmp_path):
    recording = Recording(body, HEADERS, "PUT", "/hook", "2026-11-30T16:20:49+00:00")
    (tmp_path / "one.json").write_text(recording.to_json())
    assert Recording.read(tmp_path / "one.json") == recording


def test_the_file_is_ascii_and_shows_the_body_as_text():
    content = Recording("Zoë \u202e".encode()).to_json()
    assert content.isascii()
    assert json.loads(content)["body"] == "Zoë \u202e"
    assert json.loads(Recording(b"\xff").to_json())["body_base64"] == "/w=="


def test_what_may_not_be_kept_is_left_out():
    received = [
        (b"content-type", b"application/json"),
        (b"x-mg-signature", b"0" * 64),
        (b"X-Hub-Signature-256", b"sha256=0"),
        (b"cookie", b"session=1"),
        (b"authorization", b"Bearer 1"),
        (b"proxy-authorization", b"Basic 1"),
        (b"x-api-key", b"1"),
        (b"x-webhook-secret", b"1"),
        (b"cf-access-token", b"1"),
        (b"x-odd", b"\xe9"),
    ]
    assert headers_to_keep(received) == (("content-type", "application/json"), ("x-odd", "\xe9"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "it isn't JSON"),
        ("[" * 100_000, "it isn't JSON"),
        ("[]", "it isn't a JSON object"),
        ("{}", "it has neither 'body' nor 'body_base64' as text"),
        ('{"body": 5}', "it has neither 'body' nor 'body_base64' as text"),
        (r'{"body": "\ud800"}', "its body can't be decoded"),
        ('{"body_base64": "?"}', "its body can't be decoded"),
        ('{"body": ""}', "its 'headers' aren't a list"),
        ('{"body": "", "headers": {}}', "its 'headers' aren't a list"),
        ('{"body": "", "headers": [["name"]]}', "one of its 'headers' isn't a name and a value"),
        ('{"body": "", "headers": [["a b", "c"]]}', "one of its 'headers' isn't a name and a value"),
        (r'{"body": "", "headers": [["a", "b\r\nc: d"]]}', "one of its 'headers' isn't a name and a value"),
        (r'{"body": "", "headers": [["a", "\u2028"]]}', "one of its 'headers' isn't a name and a value"),
        ('{"body": "", "headers": [], "method": 5}', "its 'method', 'path' or 'received' isn't text"),
        ('{"body": "", "headers": [], "method": "GET / HTTP/1.1\\r\\n"}', "its 'method' isn't an HTTP method"),
    ],
)
def test_what_is_not_a_recording_is_an_error_that_says_why(content, says, tmp_path):
    fields = {"method": "POST", "path": "/", "received": ""}
    if content.startswith('{"body'):
        content = json.dumps(fields | json.loads(content))
    path = tmp_path / "one.json"
    path.write_text(content)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        Recording.read(path)
    assert str(raised.value) == f"{str(path)!r} is not a recording: {says}"


@pytest.mark.parametrize(
    ("body", "meeting_id"),
    [(EVENT, "meeting-1"), (b"[]", None), (b"{", None), (b"[" * 100_000, None), (b'{"meeting_id": 5}', None)],
    ids=["event", "list", "not JSON", "nested", "number"],
)
def test_knows_the_meeting(body, meeting_id):
    assert Recording(body).meeting_id == meeting_id


def test_lists_a_file_or_a_folder(tmp_path):
    for name in ("b.json", "a.json", "notes.txt"):
        (tmp_path / name).touch()
    assert recordings_at(tmp_path) == [tmp_path / "a.json", tmp_path / "b.json"]
    assert recordings_at(str(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="there is no recording at"):
        recordings_at(tmp_path)


def test_a_recorded_delivery_is_signed_again_and_sent_byte_for_byte(tmp_path):
    received = []

    def app(environ, start_response):
        received.append(
            (delivery_of(environ).body, environ["CONTENT_TYPE"], environ["HTTP_X_ODD"], environ["HTTP_HOST"])
        )
        start_response("200 OK", [("Content-Length", "0")])
        return []

    extra = (("host", "hook.example.org"), ("content-length", "5"), ("transfer-encoding", "chunked"))
    (tmp_path / "one.json").write_text(Recording(EVENT, (*HEADERS, *extra)).to_json())
    meetgeek = MeetGeek(SECRET)
    request = meetgeek.recorded(tmp_path / "one.json")
    assert (request.method, request.meeting_id, request.expected) == ("POST", "meeting-1", 200)
    assert request.django["content_type"] == "application/json; charset=utf-8"
    assert meetgeek.deliver(MeetGeekWSGIMiddleware(app, SECRET), request).acknowledged
    assert received == [(EVENT, "application/json; charset=utf-8", "a\xe9", "testserver")]


PROJECT = """
import pytest
from mg_middleware import MeetGeekWSGIMiddleware

@pytest.fixture
def meetgeek_app(meetgeek_secret):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []
    return MeetGeekWSGIMiddleware(app, meetgeek_secret)

{marker}
def test_recorded(meetgeek, meetgeek_receiver, meetgeek_request):
    record = meetgeek.deliver(meetgeek_receiver, meetgeek_request)
    assert record.acknowledged, record.explain()
"""


@pytest.fixture
def project(pytester):
    folder = pytester.mkdir("deliveries")
    for name in ("first", "second"):
        (folder / f"{name}.json").write_text(RECORDED.to_json())

    def run(marker, *arguments):
        pytester.makepyfile(PROJECT.replace("{marker}", marker))
        return pytester.runpytest_inprocess("-pno:cacheprovider", "-pno:asyncio", *arguments)

    return run


@pytest.mark.parametrize("folder", ["'deliveries'", "__import__('pathlib').Path('deliveries').absolute()"])
def test_a_marked_test_runs_once_for_each_recording(project, folder):
    result = project(f"@pytest.mark.meetgeek_recordings({folder})", "-v")
    result.stdout.fnmatch_lines(["*::test_recorded?first? PASSED*", "*::test_recorded?second? PASSED*"])
    result.assert_outcomes(passed=2)


def test_the_folder_lies_beside_the_test(project, monkeypatch, tmp_path, pytester):
    monkeypatch.chdir(tmp_path)
    project("@pytest.mark.meetgeek_recordings('deliveries')", os.fspath(pytester.path)).assert_outcomes(passed=2)


def test_without_the_marker_it_runs_once(project):
    project("").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            "'no_such_folder'",
            "there is no recording at *no_such_folder*: expected a file, or a folder with*",
        ),
        ("", "meetgeek_recordings takes one path: a file or a folder of recordings"),
        ("'deliveries', 'more'", "meetgeek_recordings takes one path: *"),
        ("5", "meetgeek_recordings takes one path: *"),
        ("folder='deliveries'", "meetgeek_recordings takes one path: *"),
    ],
)
def test_a_wrong_marker_stops_the_run(project, arguments, says):
    result = project(f"@pytest.mark.meetgeek_recordings({arguments})")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *::test_recorded: *{says}"])
