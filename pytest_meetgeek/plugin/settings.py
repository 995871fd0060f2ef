"""What the options and ini settings say, checked before anything runs."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_meetgeek._django import database_names
from pytest_meetgeek._nearest import did_you_mean
from pytest_meetgeek._targets import TargetError, load
from pytest_meetgeek.checks.catalogue import CHECKS
from pytest_meetgeek.checks.counter import CommandCounter, CommandError
from pytest_meetgeek.checks.report import FORMATS
from pytest_meetgeek.drivers.url import check_url
from pytest_meetgeek.forgeries import TEST_SECRET
from pytest_meetgeek.receiver import Receiver, find_interface
from pytest_meetgeek.spy import Spy

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_meetgeek.checks.check import Check
    from pytest_meetgeek.receiver import Interface

NO_APP = (
    "no receiver to test: override the fixture meetgeek_app (return an ASGI app, a WSGI app or a URL), "
    "or give --meetgeek-app=MODULE:APP (ini: meetgeek_app)"
)


# How many genuine events a run of the whole suite sends to a URL, rounded up; a test counts them.
GENUINE_EVENTS = 300

# Behind the reason of a known deviation: its last day.
_END = re.compile(r"\s*\(until\b\s*([^()]*)\)?$", re.IGNORECASE)

_APPS = pytest.StashKey[dict[str, object]]()


class ConfidentialText(str):
    """A secret that pytest cannot print: its repr, which shows in tracebacks, is blank."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<the secret, not shown>"


def option(config: pytest.Config, name: str) -> str:
    """Read a setting that is both an option and an ini setting; the option wins.

    Args:
        config: The run.
        name: As in the ini file.
    """
    value: str = config.getoption(name) or config.getini(name)
    return value


def interface(config: pytest.Config) -> Interface:
    """Read --meetgeek-interface.

    Args:
        config: The run.
    """
    value: Any = config.getoption("meetgeek_interface")
    return cast("Interface", value)


def allowed_hosts(config: pytest.Config) -> Collection[str]:
    """Read --meetgeek-allow-host.

    Args:
        config: The run.
    """
    value: Any = config.getoption("meetgeek_allow_host")
    return cast("list[str]", value)


def is_strict(config: pytest.Config) -> bool:
    """Tell whether checks of level SHOULD fail.

    Args:
        config: The run.
    """
    return bool(config.getoption("meetgeek_strict") or config.getini("meetgeek_strict"))


def timeout(config: pytest.Config) -> float:
    """Read how many seconds a receiver has to respond.

    Args:
        config: The run.

    Raises:
        pytest.UsageError: It is not a number above zero.
    """
    text = option(config, "meetgeek_timeout") or "10"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"meetgeek_timeout: {text!r} is not a number of seconds, such as 10")
    return seconds


def command_counter(config: pytest.Config) -> CommandCounter | None:
    """Make what counts by a command, if one was given.

    Args:
        config: The run.

    Raises:
        pytest.UsageError: One of the commands needs another one that is not there.
    """
    commands = {name: config.getoption(f"meetgeek_{name}") or "" for name in ("count", "break", "heal")}
    needs = {"break": ("count", "heal"), "heal": ("count", "break")}
    for name, others in needs.items():
        missing = [other for other in others if commands[name] and not commands[other]]
        if missing:
            raise pytest.UsageError(f"--meetgeek-{name} needs --meetgeek-{missing[0]}, too")
    if not commands["count"]:
        return None
    return CommandCounter(commands["count"], commands["break"], commands["heal"])


def check_settings(config: pytest.Config) -> None:
    """Check everything that needs no import of the user's code, and make the user's modules importable.

    Args:
        config: The run.

    Raises:
        pytest.UsageError: A setting is wrong.
    """
    deviations(config)
    chosen_checks(config)
    find_secret(config)
    timeout(config)
    command_counter(config)
    _check_report(config)
    directory = str(config.invocation_params.dir)
    if directory not in sys.path:
        sys.path.insert(0, directory)
        config.add_cleanup(lambda: sys.path.remove(directory) if directory in sys.path else None)
    if config.getoption("meetgeek_app") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        # With no other argument only the bundled suite runs, not what testpaths or this directory hold.
        config.args = []


def _check_report(config: pytest.Config) -> None:
    """See that the report can be written, before the tests run whose results it is to hold."""
    report: str | None = config.getoption("meetgeek_report")
    if report:
        if Path(report).suffix.lower() not in FORMATS:
            raise pytest.UsageError(f"--meetgeek-report: {report!r} must end in one of {', '.join(FORMATS)}")
        try:
            Path(report).parent.mkdir(parents=True, exist_ok=True)
            Path(report).open("a").close()
        except OSError as error:
            raise pytest.UsageError(f"--meetgeek-report: {report!r} cannot be written: {error.strerror}") from error


def check_targets(config: pytest.Config) -> None:
    """Load what the command line names.

    Args:
        config: The run.

    Raises:
        pytest.UsageError: It cannot be loaded, is not an app, or the URL is not on loopback and not allowed.
    """
    app = option(config, "meetgeek_app")
    try:
        if _is_url(app):
            check_url(app, allowed_hosts(config))
        elif not config.getoption("collectonly"):
            Receiver(_load_once(config, app), interface=interface(config), allow_hosts=allowed_hosts(config))
            handler = option(config, "meetgeek_handler")
            if handler:
                load(handler)
        counter = command_counter(config)
        if counter is not None and not config.getoption("collectonly"):
            counter.read()
    except (TypeError, ValueError, CommandError) as error:
        raise pytest.UsageError(str(error)) from error


def find_secret(config: pytest.Config) -> str:
    """Find the shared secret.

    Args:
        config: The run.

    Raises:
        pytest.UsageError: The environment variable that was named is not set, or empty.
    """
    variable = config.getoption("meetgeek_secret_env")
    if variable:
        if not os.environ.get(variable):
            raise pytest.UsageError(f"--meetgeek-secret-env: the environment variable {variable} is not set, or empty")
        return ConfidentialText(os.environ[variable])
    return ConfidentialText(config.getini("meetgeek_secret") or TEST_SECRET)


def load_app(config: pytest.Config) -> object:
    """Find the receiver that the options or the ini file name; the test fails where there is none.

    Args:
        config: The run.
    """
    __tracebackhide__ = True
    app = option(config, "meetgeek_app")
    if not app:
        pytest.fail(NO_APP, pytrace=False)
    if _is_url(app):
        return app
    try:
        return _load_once(config, app)
    except TargetError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _load_once(config: pytest.Config, target: str) -> object:
    """Load an app once for each run: a factory would make another one for each test."""
    apps = config.stash.setdefault(_APPS, {})
    if target not in apps:
        apps[target] = load(target)
    return apps[target]


def warnings_before(config: pytest.Config) -> list[str]:
    """Say what the bundled suite will do to the world: which events are processed, which database is written.

    Args:
        config: The run.
    """
    app = option(config, "meetgeek_app")
    if _is_url(app):
        return [f"MeetGeek: up to {GENUINE_EVENTS} genuine events will be sent to {app}, and processed there"]
    names = database_names()
    if names and not _has_pytest_django(config):
        where = f"Django's own database ({', '.join(names)})"
        return [f"MeetGeek: what the app writes goes to {where}: install pytest-django for a test database"]
    return []


def mark_for_django(item: pytest.Item) -> None:
    """Let a check use the test database, under pytest-django; a mark of the user's own counts instead.

    An ASGI app runs in another thread than the test, which a transaction of the test would not reach.

    Args:
        item: A test that runs a check.
    """
    config = item.config
    if not _has_pytest_django(config) or item.get_closest_marker("django_db") or not database_names():
        return
    app = option(config, "meetgeek_app")
    try:
        is_wsgi = bool(app) and not _is_url(app) and find_interface(_load_once(config, app)) == "wsgi"
    except (ValueError, TypeError):  # the run reports it elsewhere
        is_wsgi = False
    item.add_marker(pytest.mark.django_db(transaction=not is_wsgi, databases="__all__"))


def _has_pytest_django(config: pytest.Config) -> bool:
    """Tell whether pytest-django is loaded, by its entry point or by -p."""
    return any(config.pluginmanager.hasplugin(name) for name in ("django", "pytest_django", "pytest_django.plugin"))


def arguments_of_run_checks(config: pytest.Config) -> str:
    """Write the arguments with which `run_checks` tests the same receiver, as Python source.

    What fixtures say is left to the fixtures, and the secret to the environment.

    Args:
        config: The run.
    """
    app, variable = option(config, "meetgeek_app"), config.getoption("meetgeek_secret_env")
    named = {
        "path": option(config, "meetgeek_path"),
        "host": option(config, "meetgeek_host"),
        "handler": option(config, "meetgeek_handler"),
        "interface": "" if interface(config) == "auto" else interface(config),
        "allow_hosts": allowed_hosts(config),
        "secret_env": variable,
        **{name: config.getoption(f"meetgeek_{name.rstrip('_')}") for name in ("count", "break_", "heal")},
    }
    first = [repr(app) if app else "meetgeek_app", f"os.environ[{variable!r}]" if variable else "meetgeek_secret"]
    return ", ".join([*first, *(f"{name}={value!r}" for name, value in named.items() if value)])


def describe_target(config: pytest.Config, receiver: Receiver, spy: Spy) -> str:
    """Say which receiver is tested, for the summary.

    Args:
        config: The run.
        receiver: The receiver.
        spy: What counts its handler.
    """
    if receiver.interface == "url":
        where = receiver.url
    else:
        apps = config.stash.get(_APPS, dict[str, object]())
        names = [name for name, app in apps.items() if app is receiver.app]
        name = names[0] if names else f"the fixture meetgeek_app ({type(receiver.app).__name__})"
        where = f"{name}, path {receiver.path}"
    handlers = " and ".join(spy.targets)
    return f"{where}, handler {handlers}" if handlers else where


def app_module(config: pytest.Config) -> str | None:
    """Name the app as MODULE:APP, if that is how it was given.

    Args:
        config: The run.
    """
    app = option(config, "meetgeek_app")
    return None if not app or _is_url(app) else app


def watching_spy(config: pytest.Config) -> Spy:
    """Make a spy that watches the handler, if one was named.

    Args:
        config: The run.
    """
    __tracebackhide__ = True
    spy = Spy()
    handler = option(config, "meetgeek_handler")
    if handler:
        try:
            spy.watch(handler)
        except (TargetError, TypeError) as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
    return spy


@dataclass(frozen=True)
class Deviation:
    """A known deviation.

    Args:
        reason: Why it is fine, with its end if it has one.
        has_ended: Its last day is over: the check fails again.
    """

    reason: str
    has_ended: bool


def deviations(config: pytest.Config) -> dict[str, Deviation]:
    """Read the known deviations, by the ids of their checks.

    Args:
        config: The run.

    Raises:
        pytest.UsageError: There is no such check, the reason is missing, or the end is no date.
    """
    known: dict[str, Deviation] = {}
    for line in config.getini("meetgeek_deviations"):
        check_id, _, reason = (part.strip() for part in line.partition(":"))
        if check_id not in CHECKS:
            raise pytest.UsageError(
                f"meetgeek_deviations: unknown check {check_id!r}: {did_you_mean(check_id, CHECKS)}"
            )
        if not re.sub(_END, "", reason):
            raise pytest.UsageError(f"meetgeek_deviations: {check_id} needs a reason: '{check_id}: why'")
        known[check_id] = Deviation(reason, _has_ended(check_id, reason))
    return known


def _has_ended(check_id: str, reason: str) -> bool:
    """Tell whether the day in "(until 2027-01-31)", at the end of the reason, is over."""
    end = re.search(_END, reason)
    if end is None:
        return False
    text = end[1].strip()
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError(text)
        last = date.fromisoformat(text)
    except ValueError:
        raise pytest.UsageError(
            f"meetgeek_deviations: {check_id}: {text!r} is no date: write '(until 2027-01-31)' behind the reason"
        ) from None
    return last < datetime.now().astimezone().date()


def chosen_checks(config: pytest.Config) -> list[Check]:
    """Choose the checks that the pinned version of the catalogue has; all, where none is pinned.

    Args:
        config: The run.

    Raises:
        pytest.UsageError: The pin is no version, or older than every check.
    """
    pin: str = config.getini("meetgeek_catalogue").strip()
    if not pin:
        return list(CHECKS.values())
    if not re.fullmatch(r"\d+(\.\d+)*", pin):
        raise pytest.UsageError(f"meetgeek_catalogue: {pin!r} is no version, such as 1.0")
    chosen = [check for check in CHECKS.values() if _version(check.since) <= _version(pin)]
    if not chosen:
        raise pytest.UsageError(f"meetgeek_catalogue: no check is as old as {pin}; the first came with 1.0")
    return chosen


def _version(text: str) -> tuple[int, ...]:
    # 1 is 1.0: what follows counts as zero.
    return tuple(int(part) for part in [*text.split("."), "0", "0"][:3])


def _is_url(app: str) -> bool:
    return "://" in app
