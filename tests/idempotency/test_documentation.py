"""The store of one's own in docs/how-to/choose-a-store.md does what the page says."""

import re
from pathlib import Path

import asyncpg
import pytest
from once_per_meeting import SECRET, asgi_answer, asgi_application, succeeded

from mg_middleware import MeetGeekASGIMiddleware
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress
from mg_middleware.testing import check_store

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "choose-a-store.md"


@pytest.fixture
def store_class():
    """The class that the page shows."""
    names = {}
    (code,) = re.findall(r":caption: postgres_store.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, names)  # noqa: S102 - our own page
    return names["PostgresStore"]


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


def test_the_store_of_ones_own_is_a_store(store_class):
    pool = Pool(claimed=True, row=None)
    statuses = [500, 200]
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: statuses.pop(0)), SECRET, idempotency_store=store_class(pool)
    )
    assert [asgi_answer(guarded, succeeded()).status for _ in range(2)] == [500, 200]
    assert pool.executed == ["DELETE", "INSERT"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("row", "answer"),
    [(None, InProgress(0.0)), ({"token": None}, AlreadyComplete()), ({"token": "x", "left": 5.5}, InProgress(5.5))],
)
async def test_the_store_of_ones_own_tells_why_a_key_is_not_free(store_class, row, answer):
    assert await store_class(Pool(None, row)).claim("key") == answer
    assert isinstance(await store_class(Pool(claimed=True, row=None)).claim("key"), Claimed)


def test_the_store_of_ones_own_keeps_its_promises(store_class, postgresql_server, monkeypatch):
    postgresql_server.execute("DROP TABLE IF EXISTS delivery")
    postgresql_server.execute("CREATE TABLE delivery (key text PRIMARY KEY, token text, until timestamptz NOT NULL)")

    class Closing(store_class):
        async def close(self):
            await self.pool.close()

    async def make():
        address = f"postgresql://tester@127.0.0.1:{postgresql_server.port}/postgres"
        return Closing(await asyncpg.create_pool(address, min_size=1, max_size=20))

    check_store(make)
