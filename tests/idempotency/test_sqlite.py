"""What only the SQLite store does: a private file, shared by processes, that may go wrong."""

import contextlib
import gc
import os
import sqlite3
import stat
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from once_per_meeting import claims_at_once

from mg_middleware import ConfigurationError, SQLiteStore
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, StoreError, store_key
from mg_middleware.idempotency.stores import sqlite_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deliveries.sqlite3"


def names(folder):
    return [entry.name for entry in folder.iterdir()]


@contextlib.contextmanager
def connections_of(factory):
    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *arguments, **options: connect(*arguments, factory=factory, **options))
        yield


def complete(store, *keys):
    for key in keys:
        store.complete(key, store.claim(key).token)


def test_the_files_belong_to_their_owner_alone_even_under_a_lax_umask(path):
    umask = os.umask(0)
    try:
        store = SQLiteStore(path)
        complete(store, "key")
    finally:
        os.umask(umask)
    modes = {name: stat.S_IMODE((path.parent / name).stat().st_mode) for name in names(path.parent)}
    assert modes == dict.fromkeys([path.name, f"{path.name}-wal", f"{path.name}-shm"], 0o600)


def test_what_was_completed_outlives_the_store(path):
    store = SQLiteStore(path)
    complete(store, "key")
    store.close()
    assert SQLiteStore(str(path)).claim("key") == AlreadyComplete()


def test_a_closed_store_opens_again(path):
    store = SQLiteStore(path)
    store.close()
    complete(store, "key")
    store.close()
    store.close()
    assert store.claim("key") == AlreadyComplete()


def test_a_store_that_is_dropped_closes_its_connection(path):
    store = SQLiteStore(path)
    complete(store, "key")
    dropped = weakref.ref(store)
    del store
    gc.collect()
    assert dropped() is None
    assert names(path.parent) == [path.name]  # SQLite removes -wal and -shm with its last connection


def test_the_path_may_be_relative_and_the_directory_change(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    store = SQLiteStore(path.name)
    monkeypatch.chdir("/")
    complete(store, "key")
    assert path.name in names(path.parent)


def symbolic_link(path):
    path.symlink_to(path.parent / "target")


def symbolic_link_to_a_file(path):
    (path.parent / "target").touch()
    symbolic_link(path)


@pytest.mark.parametrize(
    "make", [os.mkdir, os.mkfifo, symbolic_link, symbolic_link_to_a_file], ids=lambda make: make.__name__
)
def test_what_is_no_regular_file_is_refused(path, make):
    make(path)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        SQLiteStore(path)


@pytest.mark.parametrize("wrong", ["", ":memory:", "file::memory:?cache=shared"])
def test_what_names_no_file_is_refused(wrong):
    with pytest.raises(
        ConfigurationError,
        match=r"^SQLiteStore needs the path of a file, not a URI; to remember in memory, use MemoryStore$",
    ):
        SQLiteStore(wrong)


@pytest.mark.parametrize("wrong", ["/nowhere/at/all", "a\0b"])
def test_a_path_that_cannot_be_a_file_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"^the SQLiteStore's file cannot be used: .*\w"):
        SQLiteStore(wrong)


@pytest.mark.parametrize(
    ("what", "lacking"), [("file", os.R_OK), ("file", os.W_OK), ("folder", os.W_OK), ("folder", os.X_OK)]
)
def test_what_may_not_be_written_is_refused(path, monkeypatch, what, lacking):
    forbidden = path if what == "file" else path.parent
    # Since the superuser may write anything.
    monkeypatch.setattr(os, "access", lambda asked, mode: os.fspath(asked) != str(forbidden) or not mode & lacking)
    with pytest.raises(ConfigurationError, match=rf"\[Errno 13\] Permission denied: '{forbidden}'"):
        SQLiteStore(path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(None, "Path.*not NoneType$"), (5, "Path.*not int$"), (b"bytes", "^path must be a str, not bytes$")],
)
def test_a_path_of_another_type_is_refused(wrong, words):
    with pytest.raises(TypeError, match=words):
        SQLiteStore(wrong)


def test_an_sqlite_without_returning_is_refused(path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigurationError, match=r"^SQLiteStore needs SQLite 3\.35 or newer, this is \d"):
        SQLiteStore(path)


def test_the_first_sqlite_with_returning_is_new_enough(path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 35, 0))
    assert isinstance(SQLiteStore(path).claim("key"), Claimed)


def remove(path):
    for name in names(path.parent):
        (path.parent / name).unlink()


def replace(path):
    path.unlink()
    path.touch()


@pytest.mark.parametrize("do_away_with", [os.unlink, remove, replace], ids=["the file", "all files", "replaced"])
def test_a_file_that_goes_is_one_error_and_then_a_new_file(path, do_away_with):
    store = SQLiteStore(path)
    complete(store, "key")
    do_away_with(path)
    with pytest.raises(
        (FileNotFoundError, StoreError), match=r"No such file|^the file was replaced: what it remembered is lost$"
    ):
        store.claim("key")
    complete(store, "key")
    assert store.claim("key") == AlreadyComplete()
    assert stat.S_IMODE(path.stat().st_mode) in {0o600, 0o644}


def test_a_folder_that_goes_and_comes_back_is_survived(path, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    store = SQLiteStore(folder / "deliveries.sqlite3")
    complete(store, "key")
    remove(folder / "deliveries.sqlite3")
    folder.rmdir()
    for _ in range(2):
        with pytest.raises(OSError, match="No such file"):
            store.claim("key")
    folder.mkdir()
    complete(store, "key")
    assert store.claim("key") == AlreadyComplete()


def test_a_corrupt_file_is_an_error_until_it_is_removed(path):
    path.write_bytes(b"no database at all" * 1000)
    store = SQLiteStore(path)
    for _ in range(2):
        with pytest.raises(sqlite3.DatabaseError):
            store.claim("key")
    path.unlink()
    assert isinstance(store.claim("key"), Claimed)


def test_a_full_disk_is_an_error_and_passes_with_it(path, monkeypatch):
    settings = sqlite_file.SETTINGS
    SQLiteStore(path).claim("first")
    monkeypatch.setattr(sqlite_file, "SETTINGS", (*settings, "PRAGMA max_page_count = 5"))
    store = SQLiteStore(path)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        complete(store, *map(str, range(1000)))
    monkeypatch.setattr(sqlite_file, "SETTINGS", settings)
    complete(store, *map(str, range(2000, 2010)))


def test_a_limit_on_the_size_of_files_is_an_error_and_not_the_end_of_the_process(path):
    program = """
import resource, signal, sqlite3, sys
from mg_middleware import SQLiteStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SQLiteStore(sys.argv[1])
store.claim("first")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    for number in range(100):
        store.claim(str(number))
except sqlite3.Error as error:
    print("error")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(type(store.claim("last")).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["error", "Claimed"]


def test_a_file_that_another_process_holds_too_long_is_an_error(path, monkeypatch):
    monkeypatch.setattr("mg_middleware.idempotency.stores.sqlite_file._BUSY_SECONDS", 0.05)
    store = SQLiteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        store.claim("key")
    other.execute("COMMIT")
    other.close()
    assert isinstance(store.claim("key"), Claimed)


def test_a_file_that_is_held_delays_no_other(path, tmp_path):
    held, free = SQLiteStore(path), SQLiteStore(tmp_path / "other.sqlite3")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor(1) as thread:
        other.execute("BEGIN EXCLUSIVE")
        held.close()
        waiting = thread.submit(held.claim, "key")
        time.sleep(0.2)
        begun = time.monotonic()
        assert isinstance(free.claim("key"), Claimed)
        assert time.monotonic() - begun < 1
        assert not waiting.done()
        other.execute("COMMIT")
        assert isinstance(waiting.result(), Claimed)


def test_two_stores_of_one_file_wait_for_each_other(path):
    # A lock wakes the next one at once, where SQLite would let it poll.
    assert sqlite_file.SQLiteFile(str(path), ())._one_step is sqlite_file.SQLiteFile(str(path), ())._one_step  # noqa: SLF001


def test_threads_wait_for_a_file_that_is_held_at_the_same_time_and_not_one_after_the_other(path, monkeypatch):
    monkeypatch.setattr("mg_middleware.idempotency.stores.sqlite_file._BUSY_SECONDS", 0.5)
    store = SQLiteStore(path)
    store.claim("first")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.close()

        def claim(number):
            begun = time.monotonic()
            with pytest.raises((sqlite3.OperationalError, StoreError), match=r"locked|took more than 0\.5 seconds"):
                store.claim(str(number))
            return time.monotonic() - begun

        with ThreadPoolExecutor(12) as threads:
            assert max(threads.map(claim, range(12))) < 3  # one after the other, the last waits six
    assert isinstance(store.claim("key"), Claimed)


def test_a_key_released_while_it_was_claimed_is_free_in_a_moment(path):
    # Whoever held the key when the claim was refused may have gone when the claim is looked at.
    store = SQLiteStore(path)
    store.claim("key")

    store.close()

    class Between(sqlite3.Connection):
        def execute(self, statement, *arguments):
            if statement.startswith("SELECT token"):
                super().execute("DELETE FROM deliveries")
            return super().execute(statement, *arguments)

    with connections_of(Between):
        assert store.claim("key") == InProgress(0.0)
        store.close()


def test_a_file_that_another_process_prepares_is_waited_for(path):
    class RefusedAtFirst(sqlite3.Connection):
        refusals = 2

        def execute(self, statement, *arguments):
            if statement.startswith("PRAGMA journal_mode") and RefusedAtFirst.refusals:
                RefusedAtFirst.refusals -= 1
                refusal = sqlite3.OperationalError("database is locked")
                refusal.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise refusal
            return super().execute(statement, *arguments)

    store = SQLiteStore(path)
    with connections_of(RefusedAtFirst):
        assert isinstance(store.claim("key"), Claimed)
        store.close()
    assert RefusedAtFirst.refusals == 0


def keys_in(path):
    with contextlib.closing(sqlite3.connect(path)) as rows:
        return {key for (key,) in rows.execute("SELECT key FROM deliveries")}


def test_what_has_expired_is_removed_every_few_claims(path, clock):
    store = SQLiteStore(path, ttl=100, lease=10)
    old, new = ([f"{age} {number}" for number in range(300)] for age in ("old", "new"))
    complete(store, *old)
    store.claim("expired")
    clock.let_pass(101)
    complete(store, *new)
    assert keys_in(path) == set(new)


def test_a_process_removes_what_has_expired_with_its_first_claim(path, clock):
    complete(SQLiteStore(path, ttl=100), "old", "older")
    clock.let_pass(101)
    SQLiteStore(path).claim("new")
    assert keys_in(path) == {"new"}


def test_threads_take_turns(path):
    assert claims_at_once(SQLiteStore(path)).count(Claimed) == 1


FORKING = """
import os, sys, threading, time
from mg_middleware import SQLiteStore
store = SQLiteStore(sys.argv[1])
store.complete("before", store.claim("before").token)
going = True
def work():
    number = 0
    while going:
        store.release("own", store.claim("own").token)
threads = [threading.Thread(target=work) for _ in range(2)][:int(sys.argv[2])]
for thread in threads: thread.start()
children = []
for number in range(10):
    child = os.fork()
    if child == 0:
        key = f"child {number}"
        store.complete(key, store.claim(key).token)
        known = [type(store.claim(name)).__name__ for name in ("before", key)]
        os._exit(0 if known == ["AlreadyComplete", "AlreadyComplete"] else 1)
    children.append(child)
    time.sleep(0.005)
codes = {os.waitpid(child, 0)[1] for child in children}
going = False
for thread in threads: thread.join()
print(codes, {type(store.claim(f"child {number}")).__name__ for number in range(10)})
"""


@pytest.mark.parametrize("threads", ["0", "1"])
def test_a_store_in_use_survives_forks(path, threads):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, path, threads], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("{0} {'AlreadyComplete'}", "")


FORKING_ONCE = """
import os, sys
from mg_middleware import SQLiteStore
store = SQLiteStore(sys.argv[1])
store.claim("before")
def opened():
    with os.scandir("/proc/self/fd") as entries:
        return [entry.name for entry in entries if os.path.realpath(entry.path).startswith(sys.argv[1])]
print(len(opened()) > 0, flush=True)
if os.fork() == 0:
    print(opened(), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_forked_process_inherits_no_connection(path):
    # Their locks would stay with the parent (https://www.sqlite.org/howtocorrupt.html, section 2.6).
    done = subprocess.run([sys.executable, "-c", FORKING_ONCE, path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True", "[]"]


OPENING = """
import sys
from mg_middleware import SQLiteStore
sys.stdin.readline()
print(type(SQLiteStore(sys.argv[1]).claim("key")).__name__)
"""


def test_processes_that_make_the_file_at_once_agree(path):
    for attempt in range(3):
        target = path.with_name(f"{attempt}.sqlite3")
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", OPENING, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(8)
        ]
        time.sleep(0.2)
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = sorted(process.communicate()[0].strip() for process in processes)
        assert answers == ["Claimed"] + ["InProgress"] * 7


@pytest.mark.slow
@pytest.mark.timeout(600)  # seconds by itself, minutes where tracing meets a busy machine
def test_a_million_keys_are_claimed_as_fast_as_a_thousand(path):
    # The figures of a full run stand in docs/explanation/once-per-meeting.md; here it is the growth that is watched.
    def microseconds_of_a_claim(rows):
        target = path.with_name(f"{rows}.sqlite3")
        store = SQLiteStore(target)
        complete(store, "first")
        filling = sqlite3.connect(target)
        filling.execute("PRAGMA synchronous = OFF")
        until = time.time() + 86_400
        keys = sorted(store_key(str(number), key_id="") for number in range(rows))
        filling.executemany("INSERT INTO deliveries VALUES (?, NULL, 0, ?)", ((key, until) for key in keys))
        filling.commit()
        filling.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        filling.close()
        times = []
        for number in range(400):
            key = store_key(str(number), key_id="new")
            begun = time.perf_counter()
            complete(store, key)
            times.append(time.perf_counter() - begun)
        size = target.stat().st_size
        store.close()
        return sorted(times)[200] * 1e6, size

    thousand, _ = microseconds_of_a_claim(1_000)
    million, size = microseconds_of_a_claim(1_000_000)
    assert million < 3 * thousand
    assert size < 250_000_000
