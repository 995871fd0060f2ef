"""The code in docs/explanation/once-per-meeting.md does what the page says."""

import re
from pathlib import Path

import pytest
from once_per_meeting import SECRET, asgi_answer, asgi_application, succeeded

from mg_middleware import MeetGeekASGIMiddleware, MemoryStore
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "once-per-meeting.md"


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the page's code defines, run in its order beside an application."""
    monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
    names = {"app": asgi_application(lambda body: 200)}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(code.replace("/var/lib/receiver", str(tmp_path)), names)  # noqa: S102 - our own page
    return names


def test_the_guarded_application_processes_a_meeting_once(names):
    answers = [asgi_answer(names["app"], succeeded()).body for _ in range(2)]
    assert answers == [b"done", b""]


def test_the_key_is_the_one_that_a_store_is_asked_for(names):
    asked = []

    class Noting(MemoryStore):
        def claim(self, key):
            asked.append(key)
            return super().claim(key)

    guarded = MeetGeekASGIMiddleware(asgi_application(lambda body: 200), idempotency_store=Noting())
    asgi_answer(guarded, succeeded("5c3dc7a1-9b9b-4b7e-8f0c-3f3f2a1d9a55"))
    assert asked == [names["key"]]


class Pool:
    """Answers like a pool of asyncpg; what the database would answer is given."""

    def __init__(self, claimed, row):
        self.claimed = claimed
        self.row = row
        self.executed = []

    async def fetchval(self, statement, *arguments):
        return self.claimed

    async def fetchrow(self, statement, *arguments):
        return self.row

    async def execute(self, statement, *arguments):
        self.executed.append(statement.split()[0])


def test_the_store_of_ones_own_is_a_store(names):
    pool = Pool(claimed=True, row=None)
    statuses = [500, 200]
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: statuses.pop(0)), idempotency_store=names["PostgresStore"](pool)
    )
    assert [asgi_answer(guarded, succeeded()).status for _ in range(2)] == [500, 200]
    assert pool.executed == ["DELETE", "INSERT"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("row", "answer"),
    [(None, InProgress(0.0)), ({"token": None}, AlreadyComplete()), ({"token": "x", "left": 5.5}, InProgress(5.5))],
)
async def test_the_store_of_ones_own_tells_why_a_key_is_not_free(names, row, answer):
    assert await names["PostgresStore"](Pool(None, row)).claim("key") == answer
    assert isinstance(await names["PostgresStore"](Pool(claimed=True, row=None)).claim("key"), Claimed)
