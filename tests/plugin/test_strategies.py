"""The Hypothesis strategies draw what a receiver can be tested with."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from plugin_receivers import SECRET, Right

from pytest_meetgeek import MeetGeek, Receiver, strategies

MEETGEEK = MeetGeek(SECRET)


@pytest.fixture(scope="module")
def receiver():
    return Receiver(Right().wsgi)


@given(strategies.deliveries(SECRET))
def test_every_delivery_is_acknowledged(receiver, delivery):
    MEETGEEK.assert_acknowledged(receiver.send(delivery), delivery)


@given(strategies.forgeries())
def test_every_forgery_is_rejected(receiver, how):
    request = MEETGEEK.forged(how)
    MEETGEEK.assert_rejected(receiver.send(request), request)


@given(strategies.raw_bodies(), strategies.raw_bodies())
def test_a_changed_body_is_rejected(receiver, body, other):
    request = MEETGEEK.raw(body).with_body(other)
    assert receiver.send(request).acknowledged == (body == other)


@given(strategies.meeting_ids())
def test_ids_are_uuids(meeting_id):
    assert len(meeting_id) == 36
    assert json.loads(MEETGEEK.analyzed(meeting_id).body)["meeting_id"] == meeting_id


def test_hypothesis_is_imported_only_when_asked_for():
    script = "import sys, pytest_meetgeek.checks.catalogue; print('hypothesis' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
