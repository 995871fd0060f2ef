"""Recording to files: what is written, how, and what is never."""

import asyncio
import errno
import json
import logging
import os
import stat

import pytest
from command_line_harness import SECRET

from mg_middleware import MeetGeekASGIMiddleware
from mg_middleware.cli._observer import Observed, note_verdict
from mg_middleware.cli._recorder import Recorder
from pytest_meetgeek import MeetGeek, Receiver
from pytest_meetgeek.recording import Recording

BODY = b'{ "message" :"File analyzed failed"}\r\n'


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def meetgeek():
    return MeetGeek(SECRET)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "deliveries"


@pytest.fixture
def receiver(folder):
    guarded = MeetGeekASGIMiddleware(app, SECRET, on_verdict=note_verdict)
    with Receiver(Observed(guarded, [Recorder(str(folder))]), lifespan=False) as receiver:
        yield receiver


def files_in(folder):
    return sorted(folder.iterdir())


def test_each_verified_delivery_is_a_file_for_its_owner_alone(receiver, meetgeek, folder):
    old_mask = os.umask(0)
    try:
        for body in (BODY, BODY, b"\xff"):
            receiver.send(meetgeek.raw(body), path="/hook?token=1")
    finally:
        os.umask(old_mask)
    files = files_in(folder)
    assert sorted(Recording.read(file).body for file in files) == sorted([BODY, BODY, b"\xff"])
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert {file.suffix for file in files} == {".json"}
    recording = json.loads(files[0].read_text())
    assert (recording["method"], recording["path"]) == ("POST", "/hook")
    assert ["content-type", "application/json"] in recording["headers"]


def test_no_signature_and_no_secret_is_written(receiver, meetgeek, folder):
    request = meetgeek.raw(BODY)
    receiver.send(request.with_header("Authorization", "Bearer 1").with_header("Cookie", "session=1"))
    [file] = files_in(folder)
    written = file.read_text()
    for hidden in (request.signature, SECRET, "Bearer", "session=1"):
        assert hidden not in written


def test_what_was_refused_is_never_written(receiver, meetgeek, folder):
    for forgery in ("missing", "one-bit", "body-changed", "truncated"):
        assert receiver.send(meetgeek.forged(forgery)).status == 401
    assert files_in(folder) == []


@pytest.mark.parametrize("fails", ["fsync", "open"])
def test_a_full_disk_is_a_warning_and_leaves_nothing_behind(receiver, meetgeek, folder, monkeypatch, caplog, fails):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, fails, full)
    with caplog.at_level(logging.WARNING, "mg_middleware"):
        assert receiver.send(meetgeek.raw(BODY)).status == 500
    monkeypatch.undo()
    assert files_in(folder) == []
    assert caplog.messages == ["a delivery was not recorded: No space left on device"]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File exists"):
        Recorder(str(tmp_path / "file"))


def test_the_response_is_sent_before_the_file_is_written(folder, meetgeek):
    order = []

    class Slow(Recorder):
        def _write(self, observation):
            order.append("written")

    guarded = Observed(MeetGeekASGIMiddleware(app, SECRET, on_verdict=note_verdict), [Slow(str(folder))])
    request = meetgeek.raw(BODY)
    messages = request.asgi_messages()

    async def receive():
        return messages.pop(0)

    async def send(message):
        order.append(message["type"])

    asyncio.run(guarded(request.asgi_scope("/"), receive, send))
    assert order == ["http.response.start", "http.response.body", "written"]
