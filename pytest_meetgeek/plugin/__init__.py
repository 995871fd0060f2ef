"""The pytest plugin: options, markers, fixtures and hooks. PYTEST_DONT_REWRITE.

pytest imports this module in every run of everyone who installed it, so it imports pytest alone; what a run really uses
is imported in the bodies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from _pytest.terminal import TerminalReporter

    from pytest_meetgeek.meetgeek import MeetGeek
    from pytest_meetgeek.plugin.reporting import Results
    from pytest_meetgeek.receiver import Receiver
    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.spy import Spy

_INI_TEXTS = {
    "meetgeek_app": "the receiver for the fixture meetgeek_app: MODULE:APP or a URL",
    "meetgeek_path": "path of the webhook (default: /)",
    "meetgeek_host": "the Host field of each request (default: testserver, or what the URL or Django project serves)",
    "meetgeek_timeout": "seconds within which the receiver must respond (default: 10)",
    "meetgeek_handler": "MODULE:FUNCTION that processes an event; its runs are counted",
    "meetgeek_secret": "the shared secret (default: meetgeek-test-secret)",
    "meetgeek_catalogue": "run only the checks that this version of the catalogue has, such as 1.0",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini settings."""
    group = parser.getgroup("meetgeek", "MeetGeek webhooks")
    group.addoption(
        "--meetgeek-app",
        metavar="MODULE:APP|URL",
        help="test this receiver (an app, a factory such as shop:create_app(), or a URL) with the conformance suite; "
        "with no other argument, only that",
    )
    group.addoption("--meetgeek-path", metavar="PATH", help="path of the webhook (default: /)")
    group.addoption("--meetgeek-host", metavar="HOST", help="the Host field of each request")
    group.addoption(
        "--meetgeek-timeout", metavar="SECONDS", help="seconds within which the receiver must respond (default: 10)"
    )
    group.addoption(
        "--meetgeek-seed",
        metavar="TEXT",
        help="what the meeting ids are made from; use another one if the receiver remembers those of earlier runs",
    )
    group.addoption(
        "--meetgeek-count",
        metavar="COMMAND",
        help="at a URL: a shell command that prints how many events were processed so far, such as 'wc -l FILE'",
    )
    group.addoption(
        "--meetgeek-break",
        metavar="COMMAND",
        help="at a URL: a shell command after which processing fails (needs --meetgeek-count and --meetgeek-heal)",
    )
    group.addoption("--meetgeek-heal", metavar="COMMAND", help="a shell command that undoes --meetgeek-break")
    group.addoption(
        "--meetgeek-handler",
        metavar="MODULE:FUNCTION",
        help="what processes an event; its runs are counted, to prove that it was processed once, or not at all",
    )
    group.addoption(
        "--meetgeek-secret-env",
        metavar="NAME",
        help="environment variable that holds the shared secret; with --meetgeek-app=MODULE:APP, the app is also "
        "started without it (check cfg.unset-secret)",
    )
    group.addoption(
        "--meetgeek-interface",
        choices=("auto", "asgi", "wsgi"),
        default="auto",
        help="the app's interface, if the plugin can't find out (default: auto)",
    )
    group.addoption("--meetgeek-strict", action="store_true", help="checks of level SHOULD fail too")
    group.addoption(
        "--meetgeek-allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="allow a URL on this host, which is not loopback (repeatable): it is sent hundreds of forged requests",
    )
    group.addoption(
        "--meetgeek-report",
        metavar="PATH",
        help="write what each check found to this file: .json, .md (Markdown) or .html (one page)",
    )
    for name, text in _INI_TEXTS.items():
        parser.addini(name, text, default="")
    parser.addini("meetgeek_strict", "checks of level SHOULD fail too", type="bool", default=False)
    parser.addini("meetgeek_deviations", "known deviations, one in a line: 'id: reason'", type="linelist", default=[])


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """If a target is named and no test, load the conftest.py of this directory alone.

    pytest would load those of testpaths or test*/ as well. They may need what is not installed here, and none of their
    fixtures is used.
    """
    given = early_config.known_args_namespace
    if given.meetgeek_app and not given.file_or_dir:
        here = early_config.invocation_params.dir / "conftest.py"
        given.file_or_dir = [str(here if here.exists() else __file__)]  # beside this file there is none


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; check the settings, if there are any."""
    config.addinivalue_line(
        "markers",
        "meetgeek_forge(*only, exclude=()): run a test that uses the fixture meetgeek_forged with these forgeries "
        "only, or without the excluded ones (ids of pytest_meetgeek.FORGERIES)",
    )
    config.addinivalue_line(
        "markers",
        "meetgeek_recordings(path): run a test that uses the fixture meetgeek_request once for each recorded delivery "
        "in this file or folder (beside the test, if it is relative), signed again",
    )
    config.addinivalue_line(
        "markers",
        "meetgeek_check(id, level): put on each check of the conformance suite, for -m meetgeek_check",
    )
    given = (
        *("meetgeek_app", "meetgeek_handler", "meetgeek_secret_env", "meetgeek_report", "meetgeek_timeout"),
        *("meetgeek_count", "meetgeek_break", "meetgeek_heal"),
    )
    if any(config.getoption(name) for name in given) or any(
        config.getini(name) for name in (*_INI_TEXTS, "meetgeek_deviations")
    ):
        from pytest_meetgeek.plugin.settings import check_settings

        check_settings(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import what the command line names, so that a mistake stops the run at once."""
    # xdist's controller collects nothing itself, and yet all results come together there.
    if session.config.getoption("meetgeek_report") or session.config.pluginmanager.hasplugin("dsession"):
        _report(session.config)
    # xdist's controller has checked it already; of an error in a worker it would learn only that the worker died.
    if session.config.getoption("meetgeek_app") and not hasattr(session.config, "workerinput"):
        from pytest_meetgeek.plugin.settings import check_targets

        check_targets(session.config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what the run will do to the world, before it does."""
    if not config.getoption("meetgeek_app") or hasattr(config, "workerinput"):
        return []
    from pytest_meetgeek.plugin.settings import warnings_before

    return warnings_before(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each check, for each forgery, or for each recording."""
    if "meetgeek_check" in metafunc.fixturenames:
        from pytest_meetgeek.plugin.conformance import parametrize_checks

        _report(metafunc.config)
        parametrize_checks(metafunc)
    if "meetgeek_forged" in metafunc.fixturenames:
        from pytest_meetgeek.plugin.conformance import parametrize_forgeries

        for problem in parametrize_forgeries(metafunc):
            _report_problem(metafunc.config, problem)
    if "meetgeek_request" in metafunc.fixturenames and metafunc.definition.get_closest_marker("meetgeek_recordings"):
        from pytest_meetgeek.plugin.conformance import parametrize_recordings

        for problem in parametrize_recordings(metafunc):
            _report_problem(metafunc.config, problem)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note the check on its item, so that even an error in a fixture is reported as this check's."""
    if "meetgeek_check" in getattr(item, "fixturenames", ()):
        # The first is the nearest: the one that came with the parameter.
        marker = next(item.iter_markers("meetgeek_check"))
        item.user_properties += [("meetgeek.check", marker.kwargs["id"]), ("meetgeek.level", marker.kwargs["level"])]
        from pytest_meetgeek.plugin.settings import mark_for_django

        mark_for_django(item)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect the bundled suite in our own way when it is named by its path or by --pyargs."""
    if module_path.name != "suite.py" or module_path.parent.name != "pytest_meetgeek":
        return None
    from pytest_meetgeek.plugin.conformance import SUITE, make_suite

    return make_suite(parent, globals()) if module_path == SUITE else None


@pytest.hookimpl(hookwrapper=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Add the conformance suite, before -k, -m and --lf select, and before pytest-django looks for databases."""
    if config.getoption("meetgeek_app"):
        from pytest_meetgeek.plugin.conformance import SUITE, collect_suite

        # Its own tests may have been named, too: by a node id that was pasted.
        if not any(item.path == SUITE for item in items):
            items += collect_suite(session, globals())
    problems = config.stash.get(_PROBLEMS, None)
    if problems:
        raise pytest.UsageError("\n".join(problems))
    yield


@pytest.hookimpl(hookwrapper=True, trylast=True)  # so other plugins see what is left here
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Redact the secret in what the report of a test shows: tracebacks, comparisons, what the app printed."""
    arguments: dict[str, Any] = getattr(item, "funcargs", None) or {}
    secret = arguments.get("meetgeek_secret")
    if secret:
        from pytest_meetgeek.plugin.reporting import redact_exception

        # Other plugins (Allure's) read what was raised, not the report.
        redact_exception(call, secret)
    outcome = yield
    if secret:
        from pytest_meetgeek.plugin.reporting import redact_report

        redact_report(outcome.get_result(), secret)


_PROBLEMS = pytest.StashKey[list[str]]()


def _report_problem(config: pytest.Config, text: str) -> None:
    """Keep a usage error that was found while tests are collected; it stops the run when all are.

    Raised at once it would be a collection error of one file. In a worker of xdist it must be one: the controller has
    no other way to learn of it.
    """
    if hasattr(config, "workerinput"):
        raise pytest.Collector.CollectError(text)
    config.stash.setdefault(_PROBLEMS, []).append(text)


def _report(config: pytest.Config) -> None:
    """Register the reporter, once; not in every run, since pytest searches what is registered for fixtures."""
    if not config.pluginmanager.hasplugin("meetgeek-reporter"):
        config.pluginmanager.register(_Reporter(config), "meetgeek-reporter")


class _Reporter:
    """Collects the results of the checks, from this process and from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: Results | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if any(name == "meetgeek.check" for name, _ in report.user_properties):
            self._loaded().add(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        path = self._config.getoption("meetgeek_report")
        # xdist's workers have no say: the controller sees all.
        if path and not hasattr(self._config, "workerinput"):
            from pytest_meetgeek.plugin.settings import arguments_of_run_checks

            self._loaded().write(path, arguments_of_run_checks(self._config))
        # Neither green nor red: the suite could not run. Tests of the user's own keep their status.
        if self._config.getoption("meetgeek_app") and self._results is not None and self._results.could_not_run:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        if self._results is not None:
            self._results.summarise(terminalreporter)

    def _loaded(self) -> Results:
        if self._results is None:
            from pytest_meetgeek.plugin.reporting import Results

            self._results = Results()
        return self._results


def _item_of(request: pytest.FixtureRequest) -> pytest.Function:
    """Find the test that asked for a fixture of function scope; pytest leaves its type open."""
    return cast("pytest.Function", getattr(request, "node"))  # noqa: B009  # untyped, as an attribute


@pytest.fixture(scope="session")
def meetgeek_secret(pytestconfig: pytest.Config) -> str | bytes:
    """The secret that MeetGeek and the receiver share: from --meetgeek-secret-env, the ini setting, or a default.

    Override it where the receiver under test has another one.
    """
    from pytest_meetgeek.plugin.settings import find_secret

    return find_secret(pytestconfig)


@pytest.fixture
def meetgeek(request: pytest.FixtureRequest, meetgeek_secret: str | bytes) -> MeetGeek:
    """The fake MeetGeek: makes events, signs or forges them, delivers them, asserts on the responses."""
    from pytest_meetgeek.meetgeek import MeetGeek

    node_id, seed = _item_of(request).nodeid, request.config.getoption("meetgeek_seed")
    return MeetGeek(meetgeek_secret, seed=f"{seed}:{node_id}" if seed else node_id)


@pytest.fixture
def meetgeek_request(request: pytest.FixtureRequest, meetgeek: MeetGeek) -> WebhookRequest:
    """One signed "File analyzed successfully"; or each recorded delivery in turn (marker: meetgeek_recordings)."""
    recording: Path | None = getattr(request, "param", None)
    return meetgeek.analyzed() if recording is None else meetgeek.recorded(recording)


@pytest.fixture
def meetgeek_forged(request: pytest.FixtureRequest, meetgeek: MeetGeek) -> WebhookRequest:
    """A forged request: the test runs once for each forgery that must be refused (marker: meetgeek_forge)."""
    return meetgeek.forged(request.param)


@pytest.fixture
def meetgeek_app(pytestconfig: pytest.Config) -> object:
    """The receiver under test: an ASGI app, a WSGI app or a URL.

    From --meetgeek-app or the ini meetgeek_app; or override it, at any scope.
    """
    from pytest_meetgeek.plugin.settings import load_app

    return load_app(pytestconfig)


@pytest.fixture
def meetgeek_path(pytestconfig: pytest.Config) -> str:
    """The path of the webhook: from --meetgeek-path, the ini meetgeek_path, or /."""
    path: str = pytestconfig.getoption("meetgeek_path") or pytestconfig.getini("meetgeek_path") or "/"
    return path


@pytest.fixture
def meetgeek_host(pytestconfig: pytest.Config) -> str | None:
    """The Host field: from --meetgeek-host, the ini meetgeek_host, or None for the usual one."""
    host: str | None = pytestconfig.getoption("meetgeek_host") or pytestconfig.getini("meetgeek_host") or None
    return host


@pytest.fixture
def meetgeek_receiver(
    request: pytest.FixtureRequest, meetgeek_app: object, meetgeek_path: str, meetgeek_host: str | None
) -> Iterator[Receiver]:
    """The receiver, driven in this process: its lifespan starts with the first request and stops with the test."""
    from pytest_meetgeek.plugin.conformance import run_receiver

    yield from run_receiver(_item_of(request), meetgeek_app, meetgeek_path, meetgeek_host)


@pytest.fixture
def meetgeek_spy(pytestconfig: pytest.Config) -> Iterator[Spy]:
    """Counts the runs of your own function, and lets them through: --meetgeek-handler, or its method watch."""
    from pytest_meetgeek.plugin.settings import watching_spy

    spy = watching_spy(pytestconfig)
    yield spy
    spy.undo()


@pytest.fixture
def meetgeek_check(
    request: pytest.FixtureRequest,
    meetgeek: MeetGeek,
    meetgeek_spy: Spy,
    meetgeek_receiver: Receiver,
    meetgeek_host: str | None,
) -> Iterator[Callable[[], None]]:
    """One check of the conformance suite; a test that calls it runs once for each check."""
    from pytest_meetgeek.plugin.conformance import offer_check

    yield from offer_check(_item_of(request), request.param, meetgeek, meetgeek_spy, meetgeek_receiver, meetgeek_host)
