"""A Django project: fresh, under pytest-django, with a database of its own, on both protocols."""

import sqlite3
import sys
import textwrap
from contextlib import closing

import pytest

from pytest_meetgeek import CHECKS

TOTAL = len(CHECKS)

SETTINGS = """
    from pathlib import Path

    DEBUG = {debug}
    ALLOWED_HOSTS = {hosts}
    SECRET_KEY = "made up"
    ROOT_URLCONF = "shop.urls"
    INSTALLED_APPS = ["shop"]
    MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
    DATABASES = {{
        "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parent.parent / "db.sqlite3"}}
    }}
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    USE_TZ = True
"""
MODULES = {
    "models": """
        from django.db import models

        class Meeting(models.Model):
            meeting_id = models.CharField(max_length=20_000, unique=True)
    """,
    "migrations/__init__": "",
    "migrations/0001_initial": """
        from django.db import migrations, models

        class Migration(migrations.Migration):
            initial = True
            operations = [
                migrations.CreateModel(
                    name="Meeting",
                    fields=[
                        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False)),
                        ("meeting_id", models.CharField(max_length=20_000, unique=True)),
                    ],
                )
            ]
    """,
    "urls": """
        import hashlib
        import hmac
        import json

        from django.http import HttpResponse
        from django.urls import path
        from django.views.decorators.csrf import csrf_exempt

        from shop.models import Meeting

        def process(meeting_id):
            pass

        @csrf_exempt
        def hook(request):
            request.get_host()
            true = hmac.new(b"meetgeek-test-secret", request.body, hashlib.sha256).hexdigest()
            given = request.headers.get("X-MG-Signature", "")
            if not hmac.compare_digest(given.encode(), true.encode()):
                return HttpResponse(status=401)
            try:
                event = json.loads(request.body)
            except (ValueError, RecursionError):
                event = None
            meeting_id = event.get("meeting_id") if isinstance(event, dict) else None
            if isinstance(meeting_id, str) and "\\0" not in meeting_id:
                if Meeting.objects.get_or_create(meeting_id=meeting_id)[1]:
                    try:
                        process(meeting_id)
                    except Exception:
                        Meeting.objects.filter(meeting_id=meeting_id).delete()
                        raise
            return HttpResponse()

        urlpatterns = [path("hook", hook)]
    """,
    "wsgi": """
        from django.core.wsgi import get_wsgi_application

        application = get_wsgi_application()
    """,
    "asgi": """
        from django.core.asgi import get_asgi_application

        application = get_asgi_application()
    """,
}


@pytest.fixture
def project(pytester, monkeypatch):
    """Write a project, and return how to run the suite on it in a process of its own."""

    def project(*, debug=True, hosts="[]", migrated=False):
        package = pytester.mkpydir("shop")
        package.joinpath("migrations").mkdir()
        sources = {**MODULES, "settings": SETTINGS.format(debug=debug, hosts=hosts)}
        for name, source in sources.items():
            lines = source.splitlines()
            indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
            package.joinpath(f"{name}.py").write_text("\n".join(line[indent:] for line in lines) + "\n")
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")
        monkeypatch.syspath_prepend(pytester.path)
        pytester.makeini("[pytest]")
        if migrated:  # as by the migration above
            with closing(sqlite3.connect(pytester.path / "db.sqlite3")) as database:
                database.execute(
                    "CREATE TABLE shop_meeting (id integer PRIMARY KEY, meeting_id varchar(20000) NOT NULL UNIQUE)"
                )

        def run(app, *arguments, plugins=("pytest_django.plugin",)):
            return pytester.runpytest_subprocess(
                "-pno:cacheprovider",
                *(f"-p{plugin}" for plugin in plugins),
                f"--meetgeek-app={app}",
                "--meetgeek-path=/hook",
                "--meetgeek-handler=shop.urls:process",
                *arguments,
            )

        return run

    return project


def meetings(pytester):
    with closing(sqlite3.connect(pytester.path / "db.sqlite3")) as database:
        return database.execute("SELECT count(*) FROM shop_meeting").fetchone()[0]


@pytest.mark.parametrize(("kind", "skipped"), [("wsgi", 6), ("asgi", 5)])
def test_a_project_under_pytest_django_passes_on_the_test_database(kind, skipped, project, pytester):
    result = project(migrated=True)(f"shop.{kind}:application", "--meetgeek-strict", "-rs")
    result.assert_outcomes(passed=TOTAL - skipped, skipped=skipped)
    result.stdout.fnmatch_lines(["SKIPPED *: started apart, the app would not use the test database: *"])
    result.stdout.no_fnmatch_line("MeetGeek: what the app writes*")
    assert meetings(pytester) == 0


def test_a_project_without_pytest_django_is_warned_of_its_own_database(project, pytester):
    result = project(migrated=True)("shop.wsgi:application", "-k", "ack", plugins=())
    result.assert_outcomes(passed=10, deselected=TOTAL - 10)
    result.stdout.fnmatch_lines(["MeetGeek: what the app writes goes to Django's own database (*db.sqlite3): *"])
    assert meetings(pytester) > 0


def test_a_project_that_uses_the_database_in_its_own_way_keeps_it(project, pytester):
    run = project()
    pytester.makepyfile(
        """
        import pytest
        from shop.wsgi import application

        @pytest.fixture
        def meetgeek_app():
            return application

        @pytest.mark.django_db
        def test_receiver(meetgeek_check, request):
            assert not request.node.get_closest_marker("django_db").kwargs
            meetgeek_check()
        """
    )
    result = run(
        "shop.nowhere:application", "test_a_project_that_uses_the_database_in_its_own_way_keeps_it.py", "-kraw"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    arguments = ("-pno:cacheprovider", "-ppytest_meetgeek.plugin", "-ppytest_django.plugin", "--meetgeek-path=/hook")
    pytester.runpytest_subprocess(*arguments, "-kraw").assert_outcomes(passed=5, skipped=1, deselected=TOTAL - 6)


def test_an_app_that_cannot_be_loaded_is_still_listed(project):
    result = project()("shop.nowhere:application", "--collect-only", "-q")
    assert result.ret == 0


@pytest.mark.parametrize(
    ("debug", "hosts", "plugins"),
    [
        (True, "[]", ()),
        (True, "[]", ("pytest_django.plugin",)),
        (False, "[]", ("pytest_django.plugin",)),
        (False, "['.shop.example', 'other.example']", ()),
        (False, "['*']", ()),
    ],
    ids=["fresh", "fresh under pytest-django", "strict under pytest-django", "of a domain", "any"],
)
def test_a_host_that_the_project_serves_is_found(debug, hosts, plugins, project):
    run = project(debug=debug, hosts=hosts, migrated=True)
    run("shop.wsgi:application", "-k", "ack.status", plugins=plugins).assert_outcomes(passed=1, deselected=TOTAL - 1)


def test_a_project_that_serves_nobody_is_told_of_the_host(project):
    run = project(debug=False, migrated=True)
    result = run("shop.wsgi:application", "-k", "ack.status", plugins=())
    result.stdout.fnmatch_lines(["  note:     does the app accept this Host? (--meetgeek-host; Django: ALLOWED_HOSTS)"])


MANAGE = """
    import os
    import sys

    from django.core.management import execute_from_command_line

    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    execute_from_command_line(sys.argv)
"""
TESTS = """
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.test import TestCase, TransactionTestCase

    from pytest_meetgeek import run_checks
    from shop.models import Meeting

    def found(app, **options):
        arguments = {"path": "/hook", "handler": "shop.urls:process", "strict": True}
        results = run_checks(app, "meetgeek-test-secret", **arguments, **options)
        findings = [result.text for result in results if result.outcome == "failed"]
        skipped = {result.id: result.reason for result in results if result.outcome == "skipped"}
        return findings, skipped, Meeting.objects.count() > 20

    APART = {"hdr.case", "rep.lost-worker", "cfg.unset-secret", "cfg.padded-secret"}

    class WithTransactions(TransactionTestCase):
        maxDiff = None

        def test_wsgi(self):
            findings, skipped, written = found(get_wsgi_application())
            self.assertEqual((findings, set(skipped), written), ([], {*APART, "raw.chunked", "rep.concurrent"}, True))

        def test_asgi(self):
            findings, skipped, written = found(get_asgi_application())
            self.assertEqual((findings, set(skipped), written), ([], {*APART, "rep.concurrent"}, True))

        def test_by_name(self):
            only = ["rep.lost-worker", "cfg.unset-secret", "cfg.padded-secret"]
            _, skipped, _ = found("shop.wsgi:application", secret_env="SHOP_SECRET", only=only)
            self.assertEqual(set(skipped), {*only})
            for name in ("rep.lost-worker", "cfg.padded-secret"):
                self.assertIn("would not use the test database", skipped[name])
            self.assertIn("without SHOP_SECRET nothing forged is accepted", skipped["cfg.unset-secret"])

    class InOneTransaction(TestCase):
        def test_wsgi(self):
            findings, skipped, written = found(get_wsgi_application())
            self.assertEqual((findings, set(skipped), written), ([], {*APART, "raw.chunked", "rep.concurrent"}, True))
"""


def test_manage_py_test_runs_the_suite_without_pytest(project, pytester, monkeypatch):
    project(migrated=True)
    monkeypatch.setenv("SHOP_SECRET", "meetgeek-test-secret")
    pytester.makepyfile(manage=MANAGE)
    pytester.path.joinpath("shop/tests.py").write_text(textwrap.dedent(TESTS))
    result = pytester.run(sys.executable, "-W", "error::ResourceWarning", "manage.py", "test")
    assert result.ret == 0, result.stderr.str()
    result.stderr.fnmatch_lines(["Ran 4 tests in *", "OK"])
    assert meetings(pytester) == 0


@pytest.mark.parametrize(
    ("secret", "at_start", "outcome"),
    [
        ("os.environ.get('SHOP_SECRET', '').encode()", "", {"failed": 1}),
        ("os.environ['SHOP_SECRET'].encode()", "if not os.environ['SHOP_SECRET']: raise ValueError", {"passed": 1}),
        ("(os.environ.get('SHOP_SECRET') or 'a fallback').encode()", "", {"skipped": 1}),
    ],
    ids=["open", "does not start", "closed"],
)
def test_what_is_open_without_its_secret_is_caught_under_pytest_django_too(
    secret, at_start, outcome, project, pytester, monkeypatch
):
    run = project(migrated=True)
    monkeypatch.setenv("SHOP_SECRET", "meetgeek-test-secret")
    urls, settings = pytester.path / "shop" / "urls.py", pytester.path / "shop" / "settings.py"
    right = urls.read_text().replace('b"meetgeek-test-secret"', "SECRET").replace("import json", "import json, os")
    urls.write_text(right.replace("def process(", f"SECRET = {secret}\n\ndef process("))
    settings.write_text(f"import os\n{settings.read_text()}\n{at_start}\n")
    result = run("shop.wsgi:application", "--meetgeek-secret-env=SHOP_SECRET", "-kunset-secret", "-rs")
    result.assert_outcomes(**outcome, deselected=TOTAL - 1)
    if "skipped" in outcome:
        result.stdout.fnmatch_lines(["SKIPPED *: without SHOP_SECRET nothing forged is accepted; *"])
    # What a fault lets in is written; a right project's own database stays as it is.
    assert bool(meetings(pytester)) == ("failed" in outcome)
