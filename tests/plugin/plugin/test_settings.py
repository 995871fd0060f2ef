"""A mistake in an option, a setting or a marker stops the run at once, with the nearest right name."""

import pytest

from pytest_meetgeek import CHECKS

TOTAL = len(CHECKS)

IN_SUITE = "def test_receiver(meetgeek_check): meetgeek_check()"


@pytest.fixture
def run(pytester):
    return lambda *arguments: pytester.runpytest_inprocess("-pno:cacheprovider", "-pno:asyncio", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--meetgeek-app=no_such_shop:app"],
            "cannot import 'no_such_shop' for *: ModuleNotFoundError: No module named *",
        ),
        (["--meetgeek-app=plugin_shop:ap"], "'plugin_shop' of 'plugin_shop:ap' has no 'ap': did you mean 'app'?"),
        (["--meetgeek-app=plugin_shop"], "*'plugin_shop' is not of the form module:attribute, such as 'shop:app'"),
        (["--meetgeek-app=http://example.com/hook"], "*--meetgeek-allow-host=example.com*"),
        (["--meetgeek-app=ftp://127.0.0.1/"], "not an http or https URL: *"),
        (["--meetgeek-app=plugin_shop:app", "--meetgeek-handler=plugin_shop:proces"], "*did you mean 'process'?"),
        (["--meetgeek-secret-env=NO_SUCH_VARIABLE"], "*the environment variable NO_SUCH_VARIABLE is not set, or empty"),
        (
            ["-o", "meetgeek_deviations=ack.fialed: x"],
            "meetgeek_deviations: unknown check 'ack.fialed': did you mean 'ack.failed'*",
        ),
        (["-o", "meetgeek_deviations=ack.failed"], "meetgeek_deviations: ack.failed needs a reason: *"),
        (["-o", "meetgeek_deviations=ack.failed: "], "meetgeek_deviations: ack.failed needs a reason: *"),
        (["-o", "meetgeek_deviations=ack.failed: (until 2027-01-31)"], "*: ack.failed needs a reason: *"),
        *(
            (
                ["-o", f"meetgeek_deviations=ack.failed: the gateway (until {text})"],
                f"*: ack.failed: '{text}' is no date: write '(until 2027-01-31)' behind the reason",
            )
            for text in ("2027-02-30", "31.1.2027", "2027-1-31", "20270131", "next week", "")
        ),
        (["-o", "meetgeek_catalogue=new"], "meetgeek_catalogue: 'new' is no version, such as 1.0"),
        (["-o", "meetgeek_catalogue=0.9"], "meetgeek_catalogue: no check is as old as 0.9; *"),
    ],
)
def test_a_wrong_setting_stops_the_run(arguments, message, run):
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_an_unknown_interface_lists_the_right_ones(run):
    result = run("--meetgeek-interface=asg")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*invalid choice: 'asg'*"])


def test_an_allowed_host_is_no_mistake(run):
    result = run(
        "--meetgeek-app=http://meetgeek.invalid/", "--meetgeek-allow-host=meetgeek.invalid", "--collect-only", "-q"
    )
    assert result.ret == 0


def test_listing_needs_no_app_that_can_be_imported(run):
    assert run("--meetgeek-app=no_such_shop:app", "--collect-only", "-q").ret == 0


@pytest.mark.parametrize("pin", ["1", "1.0", "2.1.3"])
def test_a_pinned_catalogue_runs_what_it_had(pin, run):
    had = [check for check in CHECKS.values() if pin > "2" or check.since == "1.0"]
    result = run("--meetgeek-app=plugin_shop:app", "-o", f"meetgeek_catalogue={pin}", "-kraw")
    result.assert_outcomes(passed=6, deselected=len(had) - 6)


def test_the_fixtures_of_the_root_directory_count_on_the_command_line(pytester, run):
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def meetgeek_secret():
            return "another secret"
        """
    )
    run("--meetgeek-app=plugin_shop:other_secret", "-kraw").assert_outcomes(passed=6, deselected=TOTAL - 6)


def test_the_directory_of_the_call_is_searched(pytester, run):
    pytester.makepyfile(my_own_shop="from plugin_shop import *")
    run("--meetgeek-app=my_own_shop:app", "-k", "ack.status").assert_outcomes(passed=1, deselected=TOTAL - 1)


MARKED = """
import pytest

@pytest.mark.meetgeek_forge({arguments})
def test_it(meetgeek_forged):
    assert meetgeek_forged.expected == 401
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'misisng'", "unknown forgery 'misisng': did you mean 'missing'*"),
        ("exclude=['one-bti']", "unknown forgery 'one-bti': did you mean 'one-bit'*"),
        ("exlude=['one-bit']", "unknown argument 'exlude': did you mean 'exclude'*"),
        ("5", "unknown forgery 5: *"),
    ],
)
def test_a_wrong_marker_stops_the_run(arguments, message, pytester, run):
    pytester.makepyfile(MARKED.format(arguments=arguments))
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *::test_it: meetgeek_forge: {message}"])


def test_a_wrong_marker_stops_two_workers(pytester, run):
    pytester.makepyfile(MARKED.format(arguments="'misisng'"))
    result = pytester.runpytest_subprocess("-pno:cacheprovider", "-pxdist.plugin", "-n2")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*meetgeek_forge: unknown forgery 'misisng': did you mean 'missing'*"])


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ("", 33),
        ("'missing'", 1),
        ("'missing', 'two-same'", 2),
        ("exclude='missing'", 32),
        ("'missing', exclude=['missing']", 0),
    ],
)
def test_the_marker_chooses(arguments, count, pytester, run):
    pytester.makepyfile(MARKED.format(arguments=arguments))
    result = run()
    if count:
        result.assert_outcomes(passed=count)
    else:
        result.assert_outcomes(skipped=1)


def test_the_request_is_signed_and_its_id_follows_from_the_test(pytester, run):
    pytester.makepyfile(
        """
        import uuid

        def test_it(meetgeek_request, meetgeek_app, meetgeek):
            assert uuid.UUID(meetgeek_request.meeting_id).version == 5
            assert meetgeek.deliver(meetgeek_app, meetgeek_request).acknowledged
            print(meetgeek_request.meeting_id)
        """
    )
    outputs = [
        next(line for line in run("-s", "-omeetgeek_app=plugin_shop:wsgi_app").outlines if line.count("-") == 4)
        for _ in range(2)
    ]
    assert outputs[0] == outputs[1]


def test_the_secret_comes_from_the_setting_or_a_fixture(pytester, run):
    pytester.makepyfile(
        test_ini="def test_it(meetgeek_secret): assert meetgeek_secret == 'of the ini'",
        test_fixture="""
            import pytest
            from pytest_meetgeek.request import sign

            @pytest.fixture
            def meetgeek_secret():
                return b"of the fixture"

            def test_it(meetgeek):
                assert meetgeek.raw(b"x").signature == sign("of the fixture", b"x")
        """,
    )
    run("-o", "meetgeek_secret=of the ini").assert_outcomes(passed=2)


def test_the_spy_watches_and_lets_go(pytester, run):
    pytester.makepyfile(
        """
        import plugin_shop

        def test_watches(meetgeek_spy):
            plugin_shop.process({})
            assert meetgeek_spy.count == 1

        def test_lets_go(meetgeek_spy):
            assert meetgeek_spy.count == 0
        """
    )
    run("--meetgeek-handler=plugin_shop:process").assert_outcomes(passed=2)


ASYNC_TEST = """
import pytest

events = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        events.append("up")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        events.append("down")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})

@pytest.fixture
def meetgeek_app():
    events.clear()
    yield app
    assert events == ["up", "down"]

MARK
async def test_async(meetgeek, meetgeek_receiver, meetgeek_request):
    for _ in range(2):
        meetgeek.assert_acknowledged(await meetgeek_receiver.asend(meetgeek_request))
    assert (await meetgeek.adeliver(meetgeek_receiver, meetgeek_request)).acknowledged
    with pytest.raises(RuntimeError, match="use 'await"):
        meetgeek.deliver(meetgeek_receiver, meetgeek_request)
    assert events == ["up"]

def test_sync(meetgeek, meetgeek_receiver, meetgeek_request):
    assert meetgeek.deliver(meetgeek_receiver, meetgeek_request).acknowledged
"""


@pytest.mark.parametrize(
    ("mark", "arguments", "passed"),
    [
        ("@pytest.mark.asyncio", ["-pno:anyio"], 2),
        ("", ["-oasyncio_mode=auto"], 2),
        ("@pytest.mark.asyncio(loop_scope='session')", [], 2),
        ("@pytest.mark.anyio", ["-pno:asyncio"], 3),
        ("@pytest.mark.anyio", [], 3),
    ],
)
@pytest.mark.usefixtures("installed_plugins")
def test_an_async_test_has_one_lifespan_on_its_own_loop(mark, arguments, passed, pytester):
    pytester.makepyfile(ASYNC_TEST.replace("MARK", mark))
    known = [] if "-pno:asyncio" in arguments else ["-oasyncio_default_fixture_loop_scope=function"]
    result = pytester.runpytest_subprocess("-Werror", "-pno:cacheprovider", *known, *arguments)
    result.assert_outcomes(passed=passed)


OTHERS = """
    import pytest

    @pytest.fixture(scope="session")
    def database():
        raise RuntimeError("set up, although a target was named")

    @pytest.fixture(scope="session")
    def meetgeek_app(database):
        return database

    @pytest.fixture(scope="session")
    def meetgeek_secret(database):
        return database

    @pytest.fixture
    def meetgeek_path(database):
        return database

    @pytest.fixture
    def meetgeek_spy(database):
        return database

    @pytest.fixture
    def meetgeek_receiver(database):
        return database

    @pytest.fixture
    def meetgeek_check(database):
        return lambda: None
"""
NAMED = [
    "--meetgeek-app=plugin_shop:app",
    "--meetgeek-path=/hook",
    "--meetgeek-handler=plugin_shop:process",
    "--meetgeek-secret-env=SHOP_SECRET",
]


@pytest.mark.parametrize("more", [[], ["-pxdist.plugin", "-n2"], ["--pyargs", "pytest_meetgeek.suite"]])
def test_what_the_command_line_names_is_tested_and_nothing_else_set_up(more, pytester, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "meetgeek-test-secret")
    pytester.makeconftest(OTHERS)
    result = pytester.runpytest_subprocess("-pno:cacheprovider", "-pno:asyncio", *NAMED, "-krep or zeros", *more)
    result.assert_outcomes(passed=10, deselected=0 if "-n2" in more else TOTAL - 10)
    result.stdout.fnmatch_lines(["tested: plugin_shop:app, path /hook, handler plugin_shop:process"])


def test_what_is_not_named_comes_from_the_fixtures(pytester, run):
    pytester.makeconftest(
        "import pytest\n@pytest.fixture(scope='session')\ndef meetgeek_path(): return '/from-conftest'"
    )
    result = run("--meetgeek-app=plugin_shop:app", "-k", "ack.status")
    result.stdout.fnmatch_lines(["tested: plugin_shop:app, path /from-conftest"])


def test_a_fixture_that_is_tested_is_said_to_be_one(pytester, run):
    pytester.makeconftest(
        "import plugin_shop, pytest\n@pytest.fixture\ndef meetgeek_app(): return plugin_shop.Shop().asgi"
    )
    pytester.makepyfile(IN_SUITE)
    run("-k", "ack.status").stdout.fnmatch_lines(["tested: the fixture meetgeek_app (method), path /"])


def test_a_url_that_is_tested_is_said_whole(run):
    result = run("--meetgeek-app=http://127.0.0.1:1/hook", "-k", "ack.status")
    result.stdout.fnmatch_lines(["tested: http://127.0.0.1:1/hook"])


def test_a_pasted_node_id_runs_one_check(pytester, run):
    listed = run("--meetgeek-app=plugin_shop:app", "--collect-only", "-q", "-k", "sig.zeros")
    node_id = next(line for line in listed.outlines if "sig.zeros" in line)
    pytester.makeini("[pytest]")
    result = run("--meetgeek-app=plugin_shop:app", "-c", "tox.ini", f"--rootdir={pytester.path}", node_id)
    result.assert_outcomes(passed=1)


def test_another_suite_is_the_user_s(pytester, run):
    folder = pytester.mkdir("other") / "pytest_meetgeek"
    folder.mkdir()
    folder.joinpath("suite.py").write_text("def test_mine(): pass")
    run("other/pytest_meetgeek/suite.py", "--import-mode=importlib").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--meetgeek-break=false"], "--meetgeek-break needs --meetgeek-count, too"),
        (["--meetgeek-break=false", "--meetgeek-count=echo 1"], "--meetgeek-break needs --meetgeek-heal, too"),
        (["--meetgeek-heal=false", "--meetgeek-count=echo 1"], "--meetgeek-heal needs --meetgeek-break, too"),
        (["--meetgeek-count=echo none"], "--meetgeek-count: 'echo none' printed no number, but 'none'"),
        (["--meetgeek-count=exit 4"], "--meetgeek-count: 'exit 4' ended with status 4: nothing"),
    ],
)
def test_a_command_that_cannot_count_stops_the_run(arguments, message, run):
    result = run("--meetgeek-app=http://127.0.0.1:1/", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_command_that_fails_later_fails_the_check(run, tmp_path):
    count = f"echo x >> {tmp_path}/n; test $(wc -l < {tmp_path}/n) -lt 4 && echo 1"
    result = run("--meetgeek-app=http://127.0.0.1:1/", f"--meetgeek-count={count}", "-k", "rep.processed")
    result.assert_outcomes(failed=1, deselected=TOTAL - 1)
    result.stdout.fnmatch_lines(["--meetgeek-count: 'echo x >> * && echo 1' ended with status 1: nothing"])


def test_the_run_says_first_what_it_does_at_a_url(run):
    result = run("--meetgeek-app=http://127.0.0.1:1/hook", "-k", "ack.status")
    result.stdout.fnmatch_lines(
        ["MeetGeek: up to 300 genuine events will be sent to http://127.0.0.1:1/hook, and processed there"]
    )


@pytest.mark.parametrize("setting", ["--meetgeek-host=shop.example", "-omeetgeek_host=shop.example"])
def test_the_host_is_sent(setting, pytester, run):
    pytester.makepyfile(
        host_shop="""
        import plugin_shop

        def app(environ, start_response):
            if environ["HTTP_HOST"] != "shop.example":
                start_response("400 Bad Request", [])
                return [b""]
            return plugin_shop.wsgi_app(environ, start_response)
        """
    )
    run("--meetgeek-app=host_shop:app", setting, "-kraw").assert_outcomes(passed=5, skipped=1, deselected=TOTAL - 6)


def test_a_suite_on_another_drive_is_named_by_its_whole_path(run, monkeypatch):
    def on_another_drive(path, start):
        raise ValueError(f"{path} is on another drive than {start}")

    monkeypatch.setattr("pytest_meetgeek.plugin.conformance.os.path.relpath", on_another_drive)
    result = run("--meetgeek-app=plugin_shop:app", "--collect-only", "-q", "-k", "sig.zeros")
    result.stdout.fnmatch_lines(["/*/pytest_meetgeek/suite.py::test_receiver?sig.zeros?"])
