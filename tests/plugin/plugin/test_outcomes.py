"""Each test has one outcome, its own; what other plugins see of it holds no secret."""

import pytest

from pytest_meetgeek import CHECKS

TOTAL = len(CHECKS)


@pytest.fixture
def run(pytester):
    pytester.makeini("[pytest]\nmeetgeek_app = plugin_shop:app")
    return lambda *arguments: pytester.runpytest_inprocess("-pno:cacheprovider", "-pno:asyncio", *arguments)


def test_a_check_that_is_never_called_fails(pytester, run):
    pytester.makepyfile("def test_receiver(meetgeek_check): meetgeek_check")
    result = run("-k", "ack.status")
    result.assert_outcomes(failed=1, deselected=TOTAL - 1)
    result.stdout.fnmatch_lines(["the test never called meetgeek_check(), so nothing was checked"])


def test_a_test_that_skips_first_is_skipped(pytester, run):
    pytester.makepyfile("import pytest\ndef test_receiver(meetgeek_check): pytest.skip('not today')")
    run("-k", "ack.status").assert_outcomes(skipped=1, deselected=TOTAL - 1)


def test_a_test_that_fails_first_fails(pytester, run):
    pytester.makepyfile("def test_receiver(meetgeek_check): assert 0")
    run("-k", "ack.status").assert_outcomes(failed=1, deselected=TOTAL - 1)


def test_an_error_in_a_later_fixture_is_one_error(pytester, run):
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def broken(meetgeek_check):
            raise RuntimeError("mine")

        def test_receiver(meetgeek_check, broken): meetgeek_check()
        """
    )
    run("-k", "ack.status").assert_outcomes(errors=1, deselected=TOTAL - 1)


def test_fixtures_alone_check_nothing_and_fail_nothing(pytester, run):
    pytester.makepyfile("def test_receiver(meetgeek_check): meetgeek_check()")
    result = run("--setup-only", "-k", "ack.status")
    assert result.ret == 0
    result.assert_outcomes(deselected=TOTAL - 1)


TWICE = """
    import pytest
    from _pytest.runner import runtestprotocol

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        runtestprotocol(item, nextitem=nextitem, log=False)
        item._initrequest()
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True
"""


def test_a_rerun_leaves_one_set_of_properties(pytester, run):
    pytester.makeconftest(TWICE)
    pytester.makepyfile("def test_receiver(meetgeek_check): meetgeek_check()")
    run("-k", "ack.failed", "-omeetgeek_app=plugin_shop:key_error", "--junitxml=j.xml")
    text = pytester.path.joinpath("j.xml").read_text()
    for name in ("check", "level", "sent", "received", "why", "tested"):
        assert text.count(f'name="meetgeek.{name}"') == 1


SEEING = """
    import pytest

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(item, call):
        report = (yield).get_result()
        if call.excinfo:
            print("raised:", call.excinfo.exconly(), call.excinfo.value.__class__.__name__)
            print("report:", report.longreprtext)
"""
RAISING = """
    import pytest

    class Odd(Exception):
        def __init__(self, text):
            self.text = text

        def __str__(self):
            return self.text

    def test_an_error(meetgeek_secret):
        raise ValueError(f"no {meetgeek_secret}!")

    def test_a_failure(meetgeek_secret):
        pytest.fail(f"no {meetgeek_secret}!")

    def test_an_odd_error(meetgeek_secret):
        raise Odd(f"no {meetgeek_secret}!")

    def test_another_error(meetgeek_secret):
        raise KeyError(5)
"""


def test_what_is_raised_shows_no_secret_to_other_plugins(pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "very-secret-indeed")
    pytester.makeconftest(SEEING)
    pytester.makepyfile(RAISING)
    result = run("--meetgeek-secret-env=SHOP_SECRET", "-s")
    result.assert_outcomes(failed=4)
    result.stdout.no_fnmatch_line("*very-secret-indeed*")
    result.stdout.fnmatch_lines(
        [
            "*raised: ValueError: no ?secret?! ValueError",
            "*raised: Failed: no ?secret?! Failed",
            "*raised: Failed: *Odd: no ?secret?! Failed",
            "*raised: KeyError: 5 KeyError",
        ]
    )


def test_an_expected_error_stays_expected(pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "very-secret-indeed")
    pytester.makepyfile(
        "import pytest\n@pytest.mark.xfail(raises=ValueError)\n"
        "def test_it(meetgeek_secret): raise ValueError(str(meetgeek_secret))"
    )
    run("--meetgeek-secret-env=SHOP_SECRET").assert_outcomes(xfailed=1)


@pytest.mark.parametrize("text", ["0", "-1", "ten", "inf", "nan"])
def test_a_time_out_is_a_number_of_seconds(text, run):
    result = run(f"--meetgeek-timeout={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: meetgeek_timeout: '{text}' is not a number of seconds, such as 10"])


@pytest.mark.parametrize("setting", ["--meetgeek-timeout=0.2", "-omeetgeek_timeout=0.2"])
def test_a_receiver_that_is_too_slow_is_told_so(setting, pytester, run):
    pytester.makepyfile(
        slow_shop="""
        import asyncio

        async def app(scope, receive, send):
            assert scope["type"] == "http"
            await asyncio.sleep(60)
        """
    )
    result = run("--meetgeek-app=slow_shop:app", setting)
    result.assert_outcomes(failed=1, skipped=TOTAL - 1)
    result.stdout.fnmatch_lines(["  received: no response within 0.2 s", "  note:     no response within 0.2 s"])


def test_a_factory_is_called_once(pytester, run):
    pytester.makepyfile(
        factory_shop="""
        import plugin_shop

        def create_app():
            print("created")
            return plugin_shop.Shop().asgi

        def broken():
            raise ValueError("no configuration")
        """
    )
    result = run("--meetgeek-app=factory_shop:create_app()", "-kraw", "-s")
    result.assert_outcomes(passed=6, deselected=TOTAL - 6)
    assert result.stdout.str().count("created") == 1
    result.stdout.fnmatch_lines(["tested: factory_shop:create_app(), path /"])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("plugin_shop:number()", "'plugin_shop:number()' cannot be called: 'plugin_shop:number' is of type int"),
        ("plugin_shop:raising()", "'plugin_shop:raising()' raised ValueError: no configuration, at *plugin_shop.py:*"),
    ],
)
def test_a_factory_that_makes_nothing_stops_the_run(target, message, run):
    result = run(f"--meetgeek-app={target}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_the_seed_chooses_the_meetings(pytester, run):
    pytester.makepyfile("def test_it(meetgeek): print('\\nid', meetgeek.new_meeting_id())")

    def meeting(*arguments):
        return next(line for line in run("-s", *arguments).outlines if line.startswith("id "))

    assert meeting() == meeting()
    assert meeting("--meetgeek-seed=a") == meeting("--meetgeek-seed=a")
    assert len({meeting(), meeting("--meetgeek-seed=a"), meeting("--meetgeek-seed=b")}) == 3


def test_a_receiver_that_knows_the_meetings_is_told_of_the_seed(pytester, run):
    pytester.makepyfile(
        durable_shop="""
        import plugin_shop

        class Durable(plugin_shop.Shop):
            def process(self, body):
                self.done.add((self.parse(body) or {}).get("meeting_id"))
                return super().process(body)

        app = Durable().asgi
        """
    )
    result = run(
        "--meetgeek-app=durable_shop:app", "--meetgeek-handler=plugin_shop:process", "--meetgeek-seed=7", "-kprocessed"
    )
    result.assert_outcomes(failed=1, deselected=TOTAL - 1)
    result.stdout.fnmatch_lines(["  note:     *give another --meetgeek-seed (this one: '7:*"])
