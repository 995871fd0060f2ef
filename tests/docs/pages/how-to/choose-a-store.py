import os
import sqlite3
from contextlib import closing, redirect_stdout
from io import StringIO

from steps import after, before, deliver

MEETING = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'


@before(file="stores.py")
def start_the_servers(page):
    os.environ["REDIS_URL"] = page.redis_url()
    os.environ["DATABASE_URL"] = f"sqlite:///{page.folder}/database.sqlite3"


@after(file="stores.py")
def each_store_remembers_a_meeting(page):
    import stores

    from mg_middleware import MeetGeekWSGIMiddleware

    stores.database.create_table()
    for store in (stores.memory, stores.file, stores.redis, stores.database):
        runs = []

        def app(environ, start_response, runs=runs):
            runs.append(environ)
            start_response("200 OK", [("Content-Length", "0")])
            return []

        guarded = MeetGeekWSGIMiddleware(app, idempotency_store=store)
        assert [deliver(guarded, body=MEETING).status_code for _ in range(3)] == [200] * 3
        assert len(runs) == 1


@after(file="look.py")
def the_key_is_in_the_file(page):
    import stores

    with redirect_stdout(StringIO()) as printed:
        import look
    assert look
    key = printed.getvalue().strip()
    with closing(sqlite3.connect("deliveries.sqlite3")) as database:
        rows = database.execute("SELECT token FROM deliveries WHERE key = ?", [key]).fetchall()
    assert rows == [(None,)]
    with closing(sqlite3.connect("database.sqlite3")) as database:
        assert database.execute(
            "SELECT count(*) FROM mg_middleware_deliveries WHERE delivery_key = ?", [key]
        ).fetchone() == (1,)
    assert stores.redis is not None
    for store in (stores.file, stores.redis, stores.database):
        store.close()


@after(file="with_sentinel.py")
def a_sentinel_that_cannot_be_reached_is_given_up_early(page):
    import with_sentinel

    pool = with_sentinel.store._client.connection_pool  # noqa: SLF001
    options = pool.connection_kwargs
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (1, 2)
    assert options["retry"].get_retries() == 1
    assert [client.connection_pool.connection_kwargs["port"] for client in pool.sentinel_manager.sentinels] == [
        26379
    ] * 3
