"""Runs the conformance suite without pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_meetgeek._django import has_test_database
from pytest_meetgeek._nearest import did_you_mean
from pytest_meetgeek._targets import load
from pytest_meetgeek.checks.apart import StartedApart
from pytest_meetgeek.checks.catalogue import CHECKS
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import TEST_DATABASE, CheckContext, Memory
from pytest_meetgeek.checks.counter import CommandCounter
from pytest_meetgeek.meetgeek import MeetGeek
from pytest_meetgeek.receiver import Receiver
from pytest_meetgeek.spy import Spy

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_meetgeek.checks.result import CheckResult
    from pytest_meetgeek.receiver import Interface

_ONE_THREAD = "one request at a time: at_once is false"


def run_checks(  # one argument for each option of the plugin
    app_or_url: object,
    secret: str | bytes,
    *,
    path: str = "/",
    handler: str | Spy | None = None,
    only: Collection[str] = (),
    strict: bool = False,
    seed: str = "",
    interface: Interface = "auto",
    host: str | None = None,
    timeout: float = 10.0,
    allow_hosts: Collection[str] = (),
    at_once: bool = True,
    secret_env: str | None = None,
    count: str = "",
    break_: str = "",
    heal: str = "",
) -> list[CheckResult]:
    """Run the conformance suite, without pytest: in a script, or under `manage.py test`.

    Not in async code, which it would block. Under pytest, use the fixture `meetgeek_check`: each check is a test there.

    Args:
        app_or_url: An ASGI app, a WSGI app, a URL, or an app or factory by its name, such as "shop:app".
        secret: The secret that the receiver verifies with.
        path: Where the webhook is.
        handler: The function that processes an event, as "module:function", or a `Spy` that you use as the handler: its
            runs are counted.
        only: The ids of the checks to run; all if empty. If one that is not among them blocks them, the first of them
            fails in its place.
        strict: Whether checks of level SHOULD fail, too.
        seed: What the meeting ids are made from; use another one if the receiver remembers earlier runs.
        interface: "asgi" or "wsgi", if "auto" can't find out.
        host: The Host field of each request; None for the usual one.
        timeout: Seconds that the receiver may take to respond.
        allow_hosts: Hosts beyond loopback that a URL may name.
        at_once: Whether requests may be sent at the same time. To an app in this process they never are while Django's
            test database is in use.
        secret_env: The environment variable from which an app that was given by name reads its secret: the app is
            also started without it.
        count: At a URL: a shell command that prints how many events were processed so far.
        break_: At a URL: a shell command that makes processing fail.
        heal: A shell command that undoes `break_`.

    Returns:
        One result for each check, in the order of `CHECKS`.

    Raises:
        TypeError: `app_or_url` is not an app or a URL, or the handler is not a function.
        ValueError: There is no such check, app, handler or interface; the URL is not on loopback and not allowed; or
            one of the commands is missing.
        RuntimeError: The app does not start or stop, a command fails, or an event loop runs in this thread.
    """
    chosen = _choose(only)
    if (break_ or heal) and not (count and break_ and heal):
        raise ValueError("break_ and heal need each other, and count")
    named = app_or_url if isinstance(app_or_url, str) and "://" not in app_or_url else None
    app = app_or_url if named is None else load(named)
    spy = handler if isinstance(handler, Spy) else Spy()
    apart = StartedApart(named, secret_env, path, interface, host, timeout) if named else None
    memory = Memory(reported=frozenset(chosen))
    results: list[CheckResult] = []
    try:
        if isinstance(handler, str):
            spy.watch(handler)
        with Receiver(
            app, path=path, interface=interface, allow_hosts=allow_hosts, timeout=timeout, host=host
        ) as receiver:
            in_process = receiver.interface != "url"
            one_thread = TEST_DATABASE if in_process and has_test_database() else "" if at_once else _ONE_THREAD
            for check_id in chosen:
                context = CheckContext(
                    MeetGeek(secret, seed=f"{seed}:{check_id}"),
                    receiver,
                    spy,
                    memory,
                    apart,
                    strict=strict,
                    # A counter settles before its first reading, so each check has its own.
                    command=CommandCounter(count, break_, heal) if count and not in_process else None,
                    secret_variable=secret_env,
                    one_thread=one_thread,
                )
                results.append(run_check(CHECKS[check_id], context))
    finally:
        if isinstance(handler, str):
            spy.undo()
    return results


def _choose(only: Collection[str]) -> list[str]:
    """Return the ids in the order of the suite."""
    names = {only} if isinstance(only, str) else set(only)
    for name in sorted(names):
        if name not in CHECKS:
            raise ValueError(f"unknown check {name!r}: {did_you_mean(name, CHECKS)}")
    return [check_id for check_id in CHECKS if not names or check_id in names]
