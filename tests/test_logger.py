"""The logger `mg_middleware` outlives a configuration of logging that comes after the guard is built."""

import subprocess
import sys

import pytest

GUARDS = {
    "wsgi": "MeetGeekWSGIMiddleware(lambda environ, start_response: [], 'whsec', idempotency_store=MemoryStore())",
    "asgi": "MeetGeekASGIMiddleware(handler=print, secret='whsec', idempotency_store=MemoryStore())",
    "django": "meetgeek_webhook(handler=print, secret='whsec', idempotency_store=MemoryStore(), explain=True)",
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_dict_config_disables_no_logger_that_a_guard_has_fetched(guard):
    # As Django does when it starts, after wsgi.py has imported the guard: disable_existing_loggers is true by default.
    program = f"""
import logging.config
from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, MemoryStore, SQLiteStore
from mg_middleware.django import meetgeek_webhook
import mg_middleware.explanation
guard = {guard}
logging.config.dictConfig({{"version": 1}})
assert not logging.getLogger("mg_middleware").disabled
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
