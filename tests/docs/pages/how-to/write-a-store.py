import subprocess
import sys

from steps import after

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware

# The test that the page shows goes on in other processes, which a database in memory would not reach.
SETTINGS = """
FILES = {"NAME": "db.sqlite3", "TEST": {"NAME": "test.sqlite3"}}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", **FILES}}
INSTALLED_APPS = ["meetings"]
USE_TZ = True
"""


@after(file="postgres_store.py")
def the_store_for_asyncpg_can_be_used(page):
    from postgres_store import PostgresStore

    async def app(scope, receive, send):
        """Never called."""

    assert MeetGeekASGIMiddleware(app, idempotency_store=PostgresStore(None))


@after(file="meetings/cache_store.py")
def djangos_stores_can_be_used(page):
    import django
    from django.conf import settings

    settings.configure(INSTALLED_APPS=["meetings"])
    django.setup()
    from meetings.cache_store import CacheStore
    from meetings.stores import ModelStore

    for store in (CacheStore(), ModelStore()):
        assert MeetGeekWSGIMiddleware(lambda environ, start_response: [], idempotency_store=store)


@after(file="test_store.py")
def the_test_that_is_shown_passes(page):
    (page.folder / "project_settings.py").write_text(SETTINGS)
    command = [sys.executable, "-m", "pytest", "-q", "--ds", "project_settings", "--rootdir", ".", "test_store.py"]
    result = subprocess.run(
        command, cwd=page.folder, env=page.environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout
