"""What people read: the items, the failure text, the table, the report, each line as it stands."""

import functools
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree.ElementTree import parse

import pytest

from pytest_meetgeek import CHECKS

TOTAL = len(CHECKS)

APP = "--meetgeek-app=plugin_shop:app"
HANDLER = "--meetgeek-handler=plugin_shop:process"
QUIET = ("-pno:cacheprovider", "-pno:asyncio")
HANDLER_OPTION = "--meetgeek-handler=module:function"
IN_SUITE = "def test_receiver(meetgeek_check): meetgeek_check()"


@pytest.fixture
def run(pytester):
    def run(*arguments, subprocess=False):
        start = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
        return start(*QUIET, *arguments)

    return run


def test_one_line_tests_a_receiver(run):
    result = run(APP, HANDLER)
    result.assert_outcomes(passed=76, skipped=TOTAL - 76)
    result.stdout.fnmatch_lines(
        [
            f"collected {TOTAL} items",
            "*suite.py *",
            "============================= MeetGeek conformance =============================",
            "group     pass  fail  warn  skip",
            "ack          9     0     0     0",
            "raw          6     0     0     0",
            "odd          2     0     0     0",
            "rep          9     0     0     0",
            "hdr          0     0     0     1",
            "rej          8     0     0     0",
            "cfg          0     0     0     2",
            "sig         42     0     0     0",
            "  note   ack.before-work: the response waits for the work (?.?? s for work of 0.5 s): hand slow work off",
            "  slowest acknowledgement: ?.??? s (*)",
        ],
    )
    result.stdout.no_fnmatch_line("*refusals judged by their status alone*")


def test_the_failure_text(run):
    result = run("--meetgeek-app=plugin_shop:key_error", "--meetgeek-path=/hook", HANDLER, "-k", "ack")
    result.assert_outcomes(passed=8, failed=1, skipped=1, deselected=TOTAL - 10)
    lines = result.outlines
    start = lines.index("[ack.failed] a signed 'File analyzed failed', which has no meeting_id, is acknowledged")
    assert re.fullmatch("_+ test_receiver\\[ack.failed\\] _+", lines[start - 1])
    assert re.sub(r":\d+$", ":LINE", "\n".join(lines[start + 1 : start + 9]), flags=re.MULTILINE).splitlines() == [
        "  level:    MUST   source: MeetGeek webhooks",
        "  sent:     POST /hook failed, 35 bytes, X-MG-Signature: '0b8040aa8b2d…ef1ac4 (64 chars)'",
        "  required: HTTP 200",
        "  received: HTTP 500, 21 bytes of body: 'Internal Server Error'",
        "    the app raised KeyError: 'meeting_id'",
        f"    at {Path(__file__).parents[1] / 'plugin_shop.py'}:LINE",
        "  note:     the handler probably needs a meeting_id, which this event does not have",
        "  why:      MeetGeek sends an event that is not acknowledged three times, and then drops it",
    ]
    result.stdout.fnmatch_lines(["  MUST   ack.failed", "FAILED *suite.py::test_receiver?ack.failed?*"])


def test_a_violated_should_warns(run):
    result = run("--meetgeek-app=plugin_shop:forgetful", HANDLER, "-rx", "-k", "rep")
    result.assert_outcomes(passed=8, xfailed=1, deselected=TOTAL - 9)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "rep          8     0     1     0",
            "  SHOULD rep.idempotent  (reported, not failed)",
            "           sent:     POST / analyzed, *",
            "           required: processed once",
            "           received: HTTP 200, no body",
            "           note:     sent in turn, it was processed 3 times",
            "           why:      MeetGeek sends one meeting several times: *",
            "XFAIL *suite.py::test_receiver?rep.idempotent? - *",
        ],
    )


@pytest.mark.parametrize("strict", ["--meetgeek-strict", "-omeetgeek_strict=true"])
def test_a_violated_should_fails_when_strict(strict, run):
    result = run("--meetgeek-app=plugin_shop:forgetful", HANDLER, strict, "-k", "rep")
    result.assert_outcomes(passed=8, failed=1, deselected=TOTAL - 9)
    result.stdout.fnmatch_lines(
        [
            "?rep.idempotent? one meeting that arrives three times is processed once",
            "  note:     sent in turn, it was processed 3 times",
            "rep          8     1     0     0",
            "  SHOULD rep.idempotent",
        ],
    )


def test_without_a_handler_the_table_says_what_is_not_proven(run):
    result = run(APP)
    result.assert_outcomes(passed=69, skipped=TOTAL - 69)
    result.stdout.fnmatch_lines(
        [
            "rep          3     0     0     6",
            f"  39 refusals judged by their status alone: give {HANDLER_OPTION} to prove that nothing was processed",
        ],
    )


def test_a_plugged_in_spy_proves_as_well(pytester, run):
    pytester.makeconftest(
        """
        import pytest
        from plugin_shop import Shop

        @pytest.fixture
        def meetgeek_app(meetgeek_spy):
            shop = Shop()
            shop.handle = meetgeek_spy
            return shop.wsgi
        """
    )
    pytester.makepyfile(IN_SUITE)
    result = run("-k", "ack.status or sig.missing or sig.zeros")
    result.assert_outcomes(passed=3, deselected=TOTAL - 3)
    result.stdout.no_fnmatch_line("*refusals judged by their status alone*")


def test_nothing_accepted_blocks_the_rest(run):
    result = run("--meetgeek-app=plugin_shop:other_secret", "-rs")
    result.assert_outcomes(passed=43, skipped=TOTAL - 44, failed=1)
    result.stdout.fnmatch_lines(["  MUST   ack.status"])
    result.stdout.fnmatch_lines(["SKIPPED *blocked by ack.status: no signed delivery was accepted"])


def test_a_dead_url_is_one_finding(run):
    result = run("--meetgeek-app=http://127.0.0.1:1/hook")
    result.assert_outcomes(skipped=TOTAL - 1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "  sent:     POST /hook analyzed, 95 bytes, *",
            "  received: no response",
            "    ConnectionRefusedError: *",
            "  again:    curl -i -X POST *http://127.0.0.1:1/hook",
            "  MUST   ack.status",
        ],
    )


def test_a_known_deviation_is_a_strict_xfail(pytester, run):
    pytester.makeini("[pytest]\nmeetgeek_deviations =\n    ack.failed: the gateway answers\n    ack.status: not so")
    result = run("--meetgeek-app=plugin_shop:key_error", HANDLER, "--meetgeek-report=out/report.json", "-rx", "-kack")
    result.assert_outcomes(passed=7, xfailed=1, failed=1, skipped=1, deselected=TOTAL - 10)
    result.stdout.fnmatch_lines(
        [
            "*XPASS(strict)* known deviation: not so*",
            "ack          6     1     1     1",
            "  MUST   ack.status  (*known deviation: not so)",
            "  MUST   ack.failed  (known deviation: the gateway answers)",
            "XFAIL *suite.py::test_receiver?ack.failed? - known deviation: the gateway answers*",
        ],
    )
    report = {entry["id"]: entry for entry in json.loads(pytester.path.joinpath("out/report.json").read_text())}
    assert report["ack.failed"]["outcome"] == "warned"
    assert report["ack.failed"]["reason"] == "known deviation: the gateway answers"
    assert report["ack.status"]["outcome"] == "failed"


def day(distance):
    """The date this many days from now."""
    return (datetime.now().astimezone() + timedelta(days=distance)).date().isoformat()


@pytest.mark.parametrize(("app", "check_id"), [("key_error", "ack.failed"), ("forgetful", "rep.idempotent")])
@pytest.mark.parametrize(("distance", "known"), [(1, True), (0, True), (-1, False)])
def test_a_known_deviation_may_have_an_end(distance, known, app, check_id, pytester, run):
    reason = f"the gateway (until {day(distance)})"
    pytester.makeini(f"[pytest]\nmeetgeek_deviations = {check_id}: {reason}")
    result = run(f"--meetgeek-app=plugin_shop:{app}", HANDLER, "-rx", f"-k{check_id}", "--meetgeek-report=r.json")
    is_must = app == "key_error"
    fails = is_must and not known
    result.assert_outcomes(xfailed=int(not fails), failed=int(fails), deselected=TOTAL - 1)
    assert (f"{check_id}  (known deviation: {reason})" in result.stdout.str()) == known
    (found,) = json.loads(pytester.path.joinpath("r.json").read_text())
    assert found["note"].endswith(f"this was a known deviation: {reason}") != known
    if fails:
        result.stdout.fnmatch_lines([f"  ended:    this was a known deviation: {reason}"])


def test_a_deviation_that_has_ended_may_pass(pytester, run):
    pytester.makeini("[pytest]\nmeetgeek_deviations = ack.failed: the gateway (until 2020-12-31)")
    run(APP, "-kack.failed").assert_outcomes(passed=1, deselected=TOTAL - 1)


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (("plugin_shop:other_secret",), 4, "  could not run: nothing was accepted: give the secret that *"),
        (("plugin_shop:other_secret", "-kraw"), 4, "  could not run: nothing was accepted, and no check could run: *"),
        (("plugin_shop:other_secret", "-ksig.missing"), 0, ""),
        (("plugin_shop:unkeyed", "-kack.status or sig.unkeyed"), 1, ""),
        (("plugin_shop:elsewhere", "-kack"), 1, ""),
        (("plugin_shop:elsewhere", "-kraw"), 4, "  could not run: nothing was accepted, and no check could run: *"),
        (("plugin_shop:app", "-kack.status"), 0, ""),
        (("plugin_shop:app", "-khdr"), 0, ""),
    ],
)
def test_where_nothing_is_accepted_the_run_is_neither_green_nor_red(arguments, status, line, run):
    app, *others = arguments
    result = run(f"--meetgeek-app={app}", *others)
    assert result.ret == status
    if line:
        result.stdout.fnmatch_lines([line])
    else:
        result.stdout.no_fnmatch_line("*could not run*")


def test_a_hole_is_not_green_if_its_own_check_is_not_chosen(pytester, run):
    result = run("--meetgeek-app=plugin_shop:careless", "-ksig")
    result.assert_outcomes(passed=1, failed=1, skipped=41, deselected=TOTAL - 43)  # odd.signed-garbage, too
    result.stdout.fnmatch_lines(
        ["[[]sig.*[]] can't be checked, since rej.status, which was not chosen, failed:", "[[]rej.status[]] *"]
    )
    result = run("--meetgeek-app=plugin_shop:careless", "-ksig or rej.status")
    result.assert_outcomes(passed=1, failed=1, skipped=42, deselected=TOTAL - 44)
    pytester.makeini("[pytest]\nmeetgeek_deviations = rej.status: the gateway verifies")
    assert run("--meetgeek-app=plugin_shop:careless", "-ksig").ret == 0


def test_a_folder_may_have_a_bracket_in_its_name(pytester, run):
    pytester.mkdir("old[1]").joinpath("test_own.py").write_text(
        "import pytest\n"
        "import plugin_shop\n"
        "@pytest.fixture\n"
        "def meetgeek_app():\n"
        "    return plugin_shop.app\n"
        "def test_plain():\n"
        "    pass\n"
        "def test_receiver(meetgeek_check):\n"
        "    meetgeek_check()\n"
    )
    run("-ktest_plain or ack.status").assert_outcomes(passed=2, deselected=TOTAL - 1)


def test_a_known_deviation_from_a_should_shows_its_reason(pytester, run):
    pytester.makeini("[pytest]\nmeetgeek_deviations = rep.idempotent: twice does no harm")
    result = run("--meetgeek-app=plugin_shop:forgetful", HANDLER, "-rx", "-krep")
    result.assert_outcomes(passed=8, xfailed=1, deselected=TOTAL - 9)
    result.stdout.fnmatch_lines(
        [
            "  SHOULD rep.idempotent  (known deviation: twice does no harm)",
            "XFAIL *suite.py::test_receiver?rep.idempotent? - known deviation: twice does no harm*",
        ]
    )


def test_the_report(pytester, run):
    run("--meetgeek-app=plugin_shop:key_error", "--meetgeek-report=report.json")
    report = json.loads(pytester.path.joinpath("report.json").read_text())
    assert len(report) == TOTAL
    by_id = {entry["id"]: entry for entry in report}
    assert by_id["ack.status"] == {
        "id": "ack.status",
        "level": "MUST",
        "outcome": "passed",
        **dict.fromkeys(("reason", "sent", "required", "received", "note", "test"), ""),
        "why": CHECKS["ack.status"].why,
        "link": "https://mg-middleware.readthedocs.io/page/reference/checks.html#ackstatus",
    }
    failed = by_id["ack.failed"]
    note = "the handler probably needs a meeting_id, which this event does not have"
    assert (failed["outcome"], failed["reason"]) == ("failed", f"required HTTP 200: {note}")
    assert failed["sent"].startswith("POST / failed, 35 bytes, X-MG-Signature: '0b80")
    assert failed["received"].startswith(
        "HTTP 500, 21 bytes of body: 'Internal Server Error'\n    the app raised KeyError"
    )
    assert failed["required"] == "HTTP 200"
    assert failed["test"].splitlines()[-2:] == [
        "    (result,) = run_checks('plugin_shop:key_error', meetgeek_secret, only=[\"ack.failed\"], strict=True)",
        '    assert result.outcome == "passed", result.text',
    ]
    assert by_id["hdr.case"]["outcome"] == "skipped"
    assert by_id["hdr.case"]["reason"].startswith("URL only")


def test_the_test_of_a_finding_shows_it_again(pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "meetgeek-test-secret")
    options = ("--meetgeek-path=/hook", "--meetgeek-secret-env=SHOP_SECRET", "--meetgeek-strict")
    run("--meetgeek-app=plugin_shop:forgetful", HANDLER, *options, "--meetgeek-report=report.json", "-krep or cfg")
    by_id = {entry["id"]: entry for entry in json.loads(pytester.path.joinpath("report.json").read_text())}
    test = by_id["rep.idempotent"]["test"]
    assert "os.environ['SHOP_SECRET']" in test
    assert "path='/hook', handler='plugin_shop:process', secret_env='SHOP_SECRET'" in test
    pytester.makepyfile(test)
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * AssertionError: ?rep.idempotent? one meeting that arrives three times *"])


@pytest.mark.parametrize(("suffix", "start"), [("md", "# MeetGeek conformance\n"), ("HTML", "<!doctype html>\n")])
def test_the_ending_of_the_file_chooses_the_format(suffix, start, pytester, run):
    run("--meetgeek-app=plugin_shop:key_error", HANDLER, f"--meetgeek-report=report.{suffix}", "-kack")
    text = pytester.path.joinpath(f"report.{suffix}").read_text(encoding="utf-8")
    assert text.startswith(start)
    assert "plugin_shop:key_error, path /, handler plugin_shop:process" in text
    assert "7 passed, 1 failed, 1 skipped, 1 note" in text


def test_a_format_that_nobody_writes_is_named_before_anything_is_sent(run):
    result = run(APP, "--meetgeek-report=report.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --meetgeek-report: 'report.txt' must end in one of .json, .md, .html"])


def test_a_report_without_checks_is_empty(pytester, run):
    pytester.makepyfile("def test_nothing(): pass")
    run("--meetgeek-report=report.json")
    assert json.loads(pytester.path.joinpath("report.json").read_text()) == []


def test_a_leak_is_found_and_not_shown(pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "meetgeek-test-secret")
    result = run(
        "--meetgeek-app=plugin_shop:leaky",
        "--meetgeek-secret-env=SHOP_SECRET",
        "--meetgeek-report=report.json",
        "--junitxml=junit.xml",
        "-l",
        "-kno-leak",
    )
    result.stdout.fnmatch_lines(["  received: HTTP 401, 34 bytes of body: 'the secret is ?secret?'"])
    texts = [result.stdout.str(), *(pytester.path.joinpath(name).read_text() for name in ("report.json", "junit.xml"))]
    for text in texts:
        assert "the secret is meetgeek" not in text


def test_a_secret_does_not_show_in_a_traceback(pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "very-secret-indeed")
    pytester.makepyfile(
        """
        def test_it(meetgeek_secret, meetgeek):
            assert meetgeek_secret == "very-" + "secret-indeed"
            request = meetgeek.forged("secret-itself")
            copies = [meetgeek, request, meetgeek_secret]
            assert not copies
        """
    )
    result = run("--meetgeek-secret-env=SHOP_SECRET", "-l", "--tb=long", "-vv")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*very-secret-indeed*")
    result.stdout.fnmatch_lines(["*<the secret, not shown>*"])


SHOWING = """
    import logging
    from pytest_meetgeek import Receiver

    def echo(environ, start_response):
        print("printed", environ["HTTP_X_MG_SIGNATURE"])
        logging.warning("logged %s", environ["HTTP_X_MG_SIGNATURE"])
        raise ValueError("raised " + environ["HTTP_X_MG_SIGNATURE"])

    def test_a_comparison(meetgeek_secret):
        assert meetgeek_secret == "another"

    def test_an_error_inside(meetgeek):
        meetgeek.forged("body-key-order", meetgeek.raw(b"{"))

    def test_the_header(meetgeek):
        assert meetgeek.forged("secret-itself").signature == ""

    def test_what_the_app_tells(meetgeek):
        record = meetgeek.deliver(echo, meetgeek.forged("secret-itself"))
        assert record.acknowledged, record.explain()

    def test_an_answer(meetgeek):
        with Receiver(echo) as receiver:
            assert receiver.send(meetgeek.forged("secret-itself")) == 200
"""


@pytest.mark.parametrize("secret", ["very-secret-indeed", 'v\u00e9ry "se\'cret" in\\deed'])
@pytest.mark.parametrize("arguments", [("-l",), ("-l", "-vv", "--tb=long", "-ojunit_logging=all"), ("--full-trace",)])
def test_a_secret_shows_nowhere(arguments, secret, pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", secret)
    pytester.makepyfile(SHOWING)
    result = run("--meetgeek-secret-env=SHOP_SECRET", "--junitxml=j.xml", *arguments)
    result.assert_outcomes(failed=5)
    for text in (result.stdout.str(), pytester.path.joinpath("j.xml").read_text()):
        # Its last letters stand for all of it, in whatever way the rest is escaped.
        assert secret[-4:] not in text
        assert "[secret]" in text


def test_a_secret_in_the_reason_of_a_skip_is_the_user_s(pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "very-secret-indeed")
    pytester.makepyfile("import pytest\ndef test_it(meetgeek_secret): pytest.skip(str(meetgeek_secret))")
    run("--meetgeek-secret-env=SHOP_SECRET", "-rs").assert_outcomes(skipped=1)


def test_the_public_default_may_be_read(pytester, run):
    pytester.makepyfile("def test_it(meetgeek_secret): assert f'<{meetgeek_secret}>' == ''")
    run().stdout.fnmatch_lines(["E * '<meetgeek-test-secret>' == ''"])


@pytest.mark.parametrize("arguments", [(), ("-pxdist.plugin", "-n2")])
def test_it_runs_beside_the_user_s_own_tests(arguments, pytester, run):
    pytester.makepyfile("def test_mine(): pass")
    run = functools.partial(run, subprocess=bool(arguments))
    run(APP, "-kraw", *arguments).assert_outcomes(passed=6, deselected=TOTAL - 6 if not arguments else 0)
    both = run(APP, "test_it_runs_beside_the_user_s_own_tests.py", "-kraw or mine", *arguments)
    both.assert_outcomes(passed=7, deselected=TOTAL - 6 if not arguments else 0)


def test_testpaths_are_left_out_when_nothing_else_is_asked(pytester, run):
    pytester.makeini("[pytest]\ntestpaths = .")
    pytester.makepyfile("def test_mine(): pass")
    run(APP, "-kraw or mine").assert_outcomes(passed=6, deselected=TOTAL - 6)


def test_the_ini_setting_alone_collects_nothing(pytester, run):
    pytester.makeini(
        "[pytest]\nmeetgeek_app = plugin_shop:app\nmeetgeek_handler = plugin_shop:process\nmeetgeek_path = /x"
    )
    pytester.makepyfile(f"{IN_SUITE}\ndef test_path(meetgeek_path): assert meetgeek_path == '/x'")
    run("-kraw or path").assert_outcomes(passed=7, deselected=TOTAL - 6)


def test_the_suite_can_be_named(pytester, run):
    result = run("--pyargs", "pytest_meetgeek.suite", "-o", "meetgeek_app=plugin_shop:app", "-kraw")
    result.assert_outcomes(passed=6, deselected=TOTAL - 6)


def test_selection_by_name_and_marker(run):
    run(APP, "-k", "sig and bit").assert_outcomes(passed=1, deselected=TOTAL - 1)
    run(APP, "-m", "meetgeek_check", "-k", "raw").assert_outcomes(passed=6, deselected=TOTAL - 6)
    run(APP, "-m", "not meetgeek_check").assert_outcomes(deselected=TOTAL)


def test_marker_arguments_select_levels(run):
    if pytest.version_tuple >= (8, 3):
        run(APP, "-m", "meetgeek_check(level='MAY')").assert_outcomes(passed=7, skipped=1, deselected=TOTAL - 8)


def test_collect_only_lists_the_ids(run):
    result = run(APP, "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*suite.py::test_receiver?ack.status?", "*suite.py::test_receiver?sig.missing?"])
    assert sum("suite.py::test_receiver[" in line for line in result.outlines) == TOTAL
    result.stdout.no_fnmatch_line("*MeetGeek conformance*")


def test_only_what_failed_last(pytester):
    pytester.makepyfile("def test_mine(): assert 0")
    arguments = ("-pno:asyncio", "--meetgeek-app=plugin_shop:key_error", "test_only_what_failed_last.py")
    run = pytester.runpytest_inprocess
    run(*arguments, "-kack or mine").assert_outcomes(passed=7, failed=2, skipped=2, deselected=TOTAL - 10)
    run(*arguments, "--lf").assert_outcomes(failed=2, deselected=TOTAL - 1)


@pytest.mark.usefixtures("installed_plugins")
def test_two_workers_report_to_one_table(pytester, run):
    result = run(
        "--meetgeek-app=plugin_shop:key_error",
        HANDLER,
        "-n2",
        "--meetgeek-report=report.json",
        "--junitxml=j.xml",
        subprocess=True,
    )
    result.assert_outcomes(passed=74, skipped=TOTAL - 75, failed=1)
    result.stdout.fnmatch_lines(
        ["ack          7     1     0     1", "sig         42     0     0     0", "  MUST   ack.failed"]
    )
    assert [entry["id"] for entry in json.loads(pytester.path.joinpath("report.json").read_text())][:2] == [
        "ack.status",
        "ack.empty-body",
    ]
    properties = parse(pytester.path / "j.xml").iter("property")
    found = {(item.get("name"), item.get("value")) for item in properties}
    assert {("meetgeek.check", "sig.missing"), ("meetgeek.level", "MAY")} <= found


def test_junit_xml_names_the_checks(pytester, run):
    run(APP, "--junitxml=j.xml", "-ksig.missing")
    names = [case.get("name") for case in parse(pytester.path / "j.xml").iter("testcase")]
    assert "test_receiver[sig.missing]" in names


def test_an_error_in_a_fixture_is_the_check_s(pytester, run):
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def meetgeek_app():
            raise RuntimeError("no database")
        """
    )
    pytester.makepyfile(IN_SUITE)
    result = run("-k", "ack.status or ack.failed")
    result.assert_outcomes(errors=2, deselected=TOTAL - 2)
    result.stdout.fnmatch_lines(["ack          0     2     0     0", "  MUST   ack.status  (*no database*)"])


def test_a_failed_start_up_is_one_finding(run):
    result = run("--meetgeek-app=plugin_shop:broken_start", "-rs")
    result.assert_outcomes(failed=1, skipped=TOTAL - 1)
    lines = result.outlines
    assert lines.count("the app's start-up failed: no database") == 1
    result.stdout.fnmatch_lines(["  MUST   ack.status  (*the app's start-up failed: no database)"])
    result.stdout.fnmatch_lines(["SKIPPED ?7?? *: blocked: the app does not start, as another check found"])


def test_a_start_up_that_fails_once_the_app_was_seen_working_is_no_skip(pytester, run):
    pytester.makeconftest(
        """
        import pytest
        import plugin_shop

        @pytest.fixture
        def meetgeek_app(request):
            working = "ack.status" in request.node.name
            return plugin_shop.app if working else plugin_shop.broken_start
        """
    )
    pytester.makepyfile(IN_SUITE)
    run("-k", "ack.status or sig.missing or sig.empty").assert_outcomes(passed=1, failed=3, deselected=TOTAL - 4)


def test_a_failed_shutdown_is_one_finding(run):
    result = run("--meetgeek-app=plugin_shop:broken_stop", "-kack")
    result.assert_outcomes(passed=9, skipped=1, errors=1, deselected=TOTAL - 10)
    result.stdout.fnmatch_lines(
        [
            "the app's lifespan raised ValueError: the pool is open, at *plugin_shop.py:*",
            "ack          7     1     0     1",
            "  MUST   ack.status  (*the app's lifespan raised ValueError: *)",
        ]
    )


def test_a_failed_shutdown_fails_a_test_of_the_user_s(pytester, run):
    pytester.makeini("[pytest]\nmeetgeek_app = plugin_shop:broken_stop")
    pytester.makepyfile(
        "def test_it(meetgeek_receiver, meetgeek_request): meetgeek_receiver.send(meetgeek_request)\n"
        "def test_again(meetgeek_receiver, meetgeek_request): meetgeek_receiver.send(meetgeek_request)"
    )
    result = run()
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["E   *LifespanError: the app's lifespan raised ValueError: the pool is open, at *"])


@pytest.mark.parametrize(
    ("app", "note"),
    [
        ("other_secret", "the genuine signature is refused: does the app have the same secret as the fixture *"),
        ("elsewhere", "is the webhook at this path? (--meetgeek-path, ini: meetgeek_path)"),
    ],
)
def test_where_nothing_is_accepted_the_usual_cause_is_named(app, note, run):
    result = run(f"--meetgeek-app=plugin_shop:{app}", "-kack.status")
    result.assert_outcomes(failed=1, deselected=TOTAL - 1)
    result.stdout.fnmatch_lines(["  required: HTTP 200", "  received: HTTP 40?, no body", f"  note:     {note}"])


@pytest.mark.usefixtures("installed_plugins")
def test_an_async_test_cannot_run_a_check(pytester):
    pytester.makeini("[pytest]\nmeetgeek_app = plugin_shop:app\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile("async def test_receiver(meetgeek_check): meetgeek_check()")
    result = pytester.runpytest_inprocess("-pno:cacheprovider", "--asyncio-mode=auto", "-k", "ack.status")
    result.assert_outcomes(errors=1, deselected=TOTAL - 1)
    result.stdout.fnmatch_lines(["write the test as a plain 'def': a check has an event loop of its own"])


def test_nothing_to_test_names_the_two_ways(pytester, run):
    pytester.makepyfile(IN_SUITE)
    result = run("-k", "ack.status")
    result.assert_outcomes(errors=1, deselected=TOTAL - 1)
    result.stdout.fnmatch_lines(
        [
            (
                "no receiver to test: override the fixture meetgeek_app (return an ASGI app, a WSGI app or a URL), "
                "or give --meetgeek-app=MODULE:APP (ini: meetgeek_app)"
            )
        ],
    )


def test_an_ini_app_that_cannot_be_loaded_fails_the_test(pytester, run):
    pytester.makeini("[pytest]\nmeetgeek_app = plugin_shop:ap\nmeetgeek_handler = plugin_shop:app.x")
    pytester.makepyfile("def test_app(meetgeek_app): pass\ndef test_spy(meetgeek_spy): pass")
    result = run()
    result.assert_outcomes(errors=2)
    problem = "'plugin_shop' of 'plugin_shop:ap' has no 'ap': did you mean 'app'?"
    assert result.outlines.count(problem) == 1


def test_an_app_of_unknown_kind_names_the_option(pytester, run):
    pytester.makeini("[pytest]\nmeetgeek_app = plugin_shop:ambiguous")
    pytester.makepyfile("def test_app(meetgeek_receiver): pass")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["cannot tell whether function is an ASGI or a WSGI app: *--meetgeek-interface*"])
    run("--meetgeek-interface=wsgi").assert_outcomes(passed=1)


def test_the_app_without_its_secret(pytester, run, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "meetgeek-test-secret")
    pytester.makepyfile(
        my_shop="""
        import os
        from plugin_shop import Shop

        class Configured(Shop):
            secret = (os.environ.get("SHOP_SECRET", "").strip() or "a fallback").encode()

        app = Configured().asgi
        """
    )
    result = run("--meetgeek-app=my_shop:app", "--meetgeek-secret-env=SHOP_SECRET", "-k", "cfg")
    result.assert_outcomes(passed=2, deselected=TOTAL - 2)


@pytest.mark.parametrize("option", ["--markers", "--help", "--fixtures"])
def test_the_help_texts(option, run):
    lines = {
        "--markers": [
            "@pytest.mark.meetgeek_forge(?only, exclude=()): *",
            "@pytest.mark.meetgeek_check(id, level): *",
        ],
        "--help": [
            "MeetGeek webhooks:",
            *(f"*--meetgeek-{name}*" for name in ("app", "path", "handler", "secret-env", "interface", "strict")),
            *(f"*--meetgeek-{name}*" for name in ("allow-host", "report")),
            *(
                f"*meetgeek_{name} *"
                for name in ("app", "path", "handler", "secret", "catalogue", "strict", "deviations")
            ),
        ],
        "--fixtures": [
            "meetgeek_secret ?session scope? -- *",
            *(f"meetgeek{name} -- *" for name in ("", "_request", "_forged", "_app", "_path")),
            *(f"meetgeek{name} -- *" for name in ("_receiver", "_spy", "_check")),
        ],
    }
    run(option).stdout.fnmatch_lines(lines[option])


@pytest.mark.usefixtures("installed_plugins")
def test_without_the_plugin_there_is_no_option(run):
    result = run("-p", "no:meetgeek", APP)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
