"""Checks that give a note: they tell how a receiver behaves, and never fail."""

import asyncio
import logging
import sys
import threading
import time

import plugin_shop
import pytest
import trio
from plugin_drivers import RUNNERS
from plugin_receivers import (
    SECRET,
    AcknowledgesFirst,
    LogsForgeries,
    LogsForgeriesElsewhere,
    LogsSizes,
    PrintsForgeries,
    Right,
)

from pytest_meetgeek import Spy, run_checks
from pytest_meetgeek.checks.output import captured_output


def found(check_id, make, interface="asgi"):
    receiver = make()
    receiver.handler = spy = Spy()
    (result,) = run_checks(getattr(receiver, interface), SECRET, handler=spy, only=[check_id], strict=True)
    return result


class Threaded(Right):
    """Responds first, and works in a thread."""

    def handle(self, event):
        threading.Thread(target=self.handler, args=[event]).start()


class WorksOnce(Right):
    def handle(self, event):
        if self.handler.count < 2:
            super().handle(event)


@pytest.mark.parametrize(
    ("make", "interface", "note"),
    [
        (Right, "asgi", "the response waits for the work"),
        (Right, "wsgi", "the response waits for the work"),
        (AcknowledgesFirst, "asgi", "the response does not wait for the work"),
        (Threaded, "wsgi", "the response does not wait for the work"),
    ],
)
def test_whether_the_response_waits_for_the_work(make, interface, note):
    result = found("ack.before-work", make, interface)
    assert result.outcome == "note"
    assert result.note.startswith(note)
    assert result.seconds < 0.4  # work that was made slow is no measure


def test_a_handler_that_does_not_run_says_nothing():
    result = found("ack.before-work", WorksOnce)
    assert (result.outcome, result.reason) == ("skipped", "the handler did not run")


def test_an_async_handler_that_is_slow_does_not_stop_the_others(monkeypatch):
    async def process(event):
        """Do nothing."""

    monkeypatch.setattr(plugin_shop, "process", process)
    spy = Spy().watch("plugin_shop:process")
    spy.delay = 0.3

    async def on_asyncio():
        await asyncio.gather(*(plugin_shop.process(number) for number in range(10)))

    async def on_trio():
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(plugin_shop.process, number)

    for name, work in (("asyncio", on_asyncio), ("trio", on_trio)):
        began = time.monotonic()
        RUNNERS[name](work)
        assert 0.29 < time.monotonic() - began < 2.5  # one after the other, it is 3 s
    spy.undo()
    assert spy.count == 20


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (Right, "passed"),
        (LogsSizes, "passed"),
        (PrintsForgeries, "note"),
        (LogsForgeries, "note"),
        (LogsForgeriesElsewhere, "note"),
    ],
)
def test_what_a_forgery_says_is_seen_in_the_output(make, outcome, interface, capsys):
    result = found("rej.no-log", make, interface)
    assert result.outcome == outcome
    assert bool(result.note) == (outcome == "note")
    # What was captured is shown all the same.
    assert ("bad signature for" in capsys.readouterr().out) == (make is PrintsForgeries)


def test_the_output_is_put_back():
    streams, handlers = (sys.stdout, sys.stderr), list(logging.root.handlers)

    def fail():
        with captured_output():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (sys.stdout, sys.stderr) == streams
    assert logging.root.handlers == handlers


@pytest.mark.parametrize("check_id", ["ack.before-work", "rep.fail-no-leak", "rej.no-log"])
def test_at_a_url_they_are_skipped(check_id):
    (result,) = run_checks("http://127.0.0.1:1/", SECRET, only=[check_id])
    assert result.outcome == "skipped"
