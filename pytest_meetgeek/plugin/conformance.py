"""The conformance suite as pytest tests: collected, parametrized, run."""

from __future__ import annotations

import functools
import inspect
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_meetgeek._nearest import did_you_mean
from pytest_meetgeek.checks.apart import StartedApart
from pytest_meetgeek.checks.catalogue import CHECKS
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import TEST_DATABASE, CheckContext, Memory
from pytest_meetgeek.checks.counter import CommandError
from pytest_meetgeek.drivers.asgi import LifespanError
from pytest_meetgeek.forgeries import FORGERIES
from pytest_meetgeek.plugin import settings
from pytest_meetgeek.receiver import Receiver
from pytest_meetgeek.recording import recordings_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_meetgeek.checks.result import CheckResult
    from pytest_meetgeek.meetgeek import MeetGeek
    from pytest_meetgeek.spy import Spy

SUITE = Path(__file__).parents[1] / "suite.py"

# The options of a named target, and the fixtures that carry it to the checks.
_NAMED = {
    "meetgeek_app": ("meetgeek_app", "meetgeek_receiver", "meetgeek_check"),
    "meetgeek_path": ("meetgeek_path",),
    "meetgeek_host": ("meetgeek_host",),
    "meetgeek_handler": ("meetgeek_spy",),
    "meetgeek_secret_env": ("meetgeek_secret", "meetgeek"),
}
# The fields of a result that travel as they are, and all that travels of it.
_TEXTS = ("reason", "sent", "required", "received", "note", "why")
_RESULT_PROPERTIES = {f"meetgeek.{name}" for name in (*_TEXTS, "seconds", "unproven", "noted", "tested")}
_MEMORIES = pytest.StashKey[dict[str, Memory]]()


class ConformanceModule(pytest.Module):
    """The module `pytest_meetgeek.suite`, with fixtures of its own for what the command line names.

    Fixtures of a module take precedence over those of a conftest.py, which are not even set up then: what is named is
    what is tested.
    """

    def __init__(self, *, fixtures: Mapping[str, object], **arguments: Any) -> None:  # pytest's own
        super().__init__(**arguments)
        self._fixtures = fixtures

    def _getobj(self) -> ModuleType:
        from pytest_meetgeek import suite

        module = ModuleType(suite.__name__, suite.__doc__)
        vars(module).update(vars(suite))
        named = [name for option, names in _NAMED.items() if self.config.getoption(option) for name in names]
        vars(module).update({name: self._fixtures[name] for name in named})
        return module


def make_suite(parent: pytest.Collector, fixtures: Mapping[str, object]) -> pytest.Module:
    """Make the collector of the bundled suite.

    Args:
        parent: The node that collects it.
        fixtures: The plugin's own fixtures, by name.
    """
    # pytest leaves the arguments of from_parent open.
    make = cast("Callable[..., pytest.Module]", getattr(ConformanceModule, "from_parent"))  # noqa: B009
    return make(parent, path=SUITE, nodeid=_node_id(parent.config.rootpath), fixtures=fixtures)


def _node_id(directory: Path) -> str:
    """The node id that pytest finds again when it is pasted: the path of a real file, from the root directory."""
    try:
        return Path(os.path.relpath(SUITE, directory)).as_posix()
    except ValueError:  # on another drive of Windows
        return SUITE.as_posix()


def collect_suite(session: pytest.Session, fixtures: Mapping[str, object]) -> list[pytest.Item]:
    """Collect the bundled suite.

    Args:
        session: The run.
        fixtures: The plugin's own fixtures, by name.
    """
    module = make_suite(session, fixtures)
    items = [item for item in module.collect() if isinstance(item, pytest.Item)]
    # Not through session.genitems: there --lf leaves out each file in which nothing failed, before it sees the items.
    report = pytest.CollectReport(module.nodeid, "passed", None, result=[*items])
    session.config.hook.pytest_collectreport(report=report)
    for item in items:
        session.config.hook.pytest_itemcollected(item=item)
    return items


def parametrize_checks(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each check; a known deviation is a strict xfail.

    Args:
        metafunc: The test.
    """
    known = settings.deviations(metafunc.config)
    parameters: list[Any] = []
    for check in settings.chosen_checks(metafunc.config):
        marks = [pytest.mark.meetgeek_check(id=check.id, level=check.level)]
        deviation = known.get(check.id)
        if deviation is not None and not deviation.has_ended:
            reason = f"known deviation: {deviation.reason}"
            marks.append(pytest.mark.xfail(reason=reason, strict=True, raises=pytest.fail.Exception))
        parameters.append(pytest.param(check.id, marks=marks, id=check.id))
    metafunc.parametrize("meetgeek_check", parameters, indirect=True)


def parametrize_forgeries(metafunc: pytest.Metafunc) -> list[str]:
    """Run a test once for each forgery that must be refused, or as the marker says; return what is wrong with it.

    Args:
        metafunc: The test.
    """
    marker = metafunc.definition.get_closest_marker("meetgeek_forge")
    only: tuple[Any, ...] = marker.args if marker else ()
    given: dict[str, Any] = dict(marker.kwargs) if marker else {}
    exclude = given.pop("exclude", ())
    excluded = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    where = f"{metafunc.definition.nodeid}: meetgeek_forge"
    problems = [f"{where}: unknown argument {name!r}: {did_you_mean(name, ['exclude'])}" for name in given]
    problems += [
        f"{where}: unknown forgery {name!r}: {did_you_mean(str(name), FORGERIES)}"
        for name in (*only, *excluded)
        if name not in FORGERIES
    ]
    wanted = only or tuple(forgery.id for forgery in FORGERIES.values() if forgery.level == "MUST")
    chosen = [name for name in wanted if name not in excluded]
    metafunc.parametrize("meetgeek_forged", chosen, indirect=True, ids=[str(name) for name in chosen])
    return problems


def parametrize_recordings(metafunc: pytest.Metafunc) -> list[str]:
    """Run a test once for each recorded delivery that the marker names; return what is wrong with the marker.

    Args:
        metafunc: The test.
    """
    definition = metafunc.definition
    marker = definition.get_closest_marker("meetgeek_recordings")
    places: tuple[Any, ...] = marker.args if marker and not marker.kwargs else ()
    if len(places) != 1 or not isinstance(places[0], str | Path):
        return [f"{definition.nodeid}: meetgeek_recordings takes one path: a file or a folder of recordings"]
    where = definition.path.parent / places[0]
    try:
        found = recordings_at(where)
    except ValueError as error:
        return [f"{definition.nodeid}: meetgeek_recordings: {error}"]
    metafunc.parametrize("meetgeek_request", found, indirect=True, ids=[path.stem for path in found])
    return []


def run_receiver(item: pytest.Function, app: object, path: str, host: str | None) -> Iterator[Receiver]:
    """Make the receiver for one test, and stop what it started.

    Args:
        item: The test.
        app: The app or URL.
        path: Where the webhook is.
        host: The Host field, or None for the usual one.
    """
    config = item.config
    try:
        receiver = Receiver(
            app,
            path=path,
            interface=settings.interface(config),
            allow_hosts=settings.allowed_hosts(config),
            timeout=settings.timeout(config),
            host=host,
        )
    except (TypeError, ValueError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    test: Callable[..., Any] = item.obj
    if inspect.iscoroutinefunction(test):
        # The lifespan belongs on the event loop of the test, which is gone when its fixtures are torn down.
        @functools.wraps(test)
        async def with_receiver(*args: object, **kwargs: object) -> object:
            async with receiver:
                return cast("object", await test(*args, **kwargs))

        item.obj = with_receiver
    yield receiver
    item.obj = test
    try:
        receiver.close()
    except LifespanError as error:
        if "meetgeek_check" not in item.fixturenames:
            raise
        memory = _memory_of(item)
        if not memory.shutdown_failed:
            memory.shutdown_failed = True
            raise pytest.fail.Exception(str(error), pytrace=False) from None


def offer_check(
    item: pytest.Function, check_id: str, meetgeek: MeetGeek, spy: Spy, receiver: Receiver, host: str | None
) -> Iterator[Callable[[], None]]:
    """Make the function that runs one check, and see to it that it was called.

    Args:
        item: The test.
        check_id: The check.
        meetgeek: Makes the requests.
        spy: Counts what was processed.
        receiver: Gets them.
        host: The Host field, or None for the usual one.
    """
    config = item.config
    if inspect.iscoroutinefunction(item.obj):
        pytest.fail("write the test as a plain 'def': a check has an event loop of its own", pytrace=False)
    memory = _memory_of(item)
    test: Callable[..., Any] = item.obj
    called = False

    @functools.wraps(test)
    def checked(*args: object, **kwargs: object) -> object:
        __tracebackhide__ = True
        returned = cast("object", test(*args, **kwargs))
        if not called:
            pytest.fail("the test never called meetgeek_check(), so nothing was checked", pytrace=False)
        return returned

    def check() -> None:
        __tracebackhide__ = True
        nonlocal called
        called = True
        # Of several runs (pytest-rerunfailures) the last one counts.
        item.user_properties[:] = [pair for pair in item.user_properties if pair[0] not in _RESULT_PROPERTIES]
        in_process = receiver.interface != "url"
        try:
            context = CheckContext(
                meetgeek,
                receiver,
                spy,
                memory,
                _started_apart(config, receiver, host),
                strict=settings.is_strict(config),
                one_thread=TEST_DATABASE if in_process and item.get_closest_marker("django_db") else "",
                secret_variable=config.getoption("meetgeek_secret_env"),
                command=None if in_process else settings.command_counter(config),
            )
            result = run_check(CHECKS[check_id], context)
            deviation = settings.deviations(config).get(check_id)
            if deviation is not None and deviation.has_ended:
                _remind(result, deviation.reason)
        except CommandError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        except LifespanError as error:
            if memory.start_failed and not memory.accepted:
                pytest.skip("blocked: the app does not start, as another check found")
            memory.start_failed = True
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        item.user_properties += [
            *_properties(result),
            ("meetgeek.tested", settings.describe_target(config, receiver, spy)),
        ]
        if result.outcome == "skipped":
            pytest.skip(result.reason)
        if result.outcome == "warned" and (deviation is None or deviation.has_ended):
            pytest.xfail(result.text)
        if result.outcome in {"failed", "warned"}:
            pytest.fail(result.text, pytrace=False)

    item.obj = checked
    yield check
    item.obj = test


def _remind(result: CheckResult, reason: str) -> None:
    """Say at a finding that it was a known deviation."""
    if result.outcome in {"failed", "warned"}:
        ended = f"this was a known deviation: {reason}"
        result.note = f"{result.note}; {ended}" if result.note else ended
        result.text += f"\n  ended:    {ended}"


def _memory_of(item: pytest.Function) -> Memory:
    """Find what the checks of one suite have learned so far: they are one test, with a parameter."""
    memories = item.config.stash.setdefault(_MEMORIES, {})
    suite = item.nodeid.partition("[")[0]
    if suite not in memories:
        chosen = {
            str(other.callspec.params["meetgeek_check"])
            for other in item.session.items
            if isinstance(other, pytest.Function)
            and other.nodeid.partition("[")[0] == suite
            # Others are in a folder with a bracket in its name.
            and hasattr(other, "callspec")
            and "meetgeek_check" in other.callspec.params
        }
        memories[suite] = Memory(reported=frozenset(chosen | settings.deviations(item.config).keys()))
    return memories[suite]


def _started_apart(config: pytest.Config, receiver: Receiver, host: str | None) -> StartedApart | None:
    target, variable = settings.app_module(config), config.getoption("meetgeek_secret_env")
    if target is None:
        return None
    return StartedApart(target, variable, receiver.path, settings.interface(config), host, settings.timeout(config))


def _properties(result: CheckResult) -> list[tuple[str, object]]:
    """Tell what the summary needs, in a form that travels from xdist's workers and into JUnit's XML."""
    texts = {name: getattr(result, name) for name in _TEXTS}
    if result.seconds:
        texts["seconds"] = f"{result.seconds:.6f}"
    if result.unproven:
        texts["unproven"] = "yes"
    if result.outcome == "note":
        texts["noted"] = "yes"
    return [(f"meetgeek.{name}", text) for name, text in texts.items() if text]
