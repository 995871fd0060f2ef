import os
import sys

from mg_middleware import MeetGeekASGIMiddleware
from mg_middleware.cli import demo as demo_module

ROWS = {
    "meeting analyzed": "200 accepted 1 yes",
    "analysis failed": "200 accepted 1 yes",
    "handler fails once": "500 2 x accepted 1 yes",
    "one meeting, team of 5": "5 x 200 accepted 1 yes",
    "first request replayed": "200 duplicate 0 yes",
    "forged: no signature": "401 missing_signature 0 yes",
    "forged: another secret": "401 signature_mismatch 0 yes",
    "forged: body changed": "401 signature_mismatch 0 yes",
    "forged: another body": "401 signature_mismatch 0 yes",
}


def rows_of(output):
    """The rows of the table, their columns joined by single spaces."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    return {name: line.removeprefix(name).strip() for name in ROWS for line in lines if line.startswith(name)}


def test_it_shows_that_all_comes_out_as_promised_and_leaves_nothing(process, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ended = process(
        "demo",
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONIOENCODING": "utf-8"},
        executable=[sys.executable, "-W", "error", "-m", "mg_middleware"],
    )
    assert (ended.status, ended.err) == (0, "")
    assert rows_of(ended.out) == ROWS
    assert "further forgeries" in ended.out
    assert ended.out.splitlines()[-1].endswith("all handled as the contract promises.")
    assert max(map(len, ended.out.splitlines()[1:])) <= 80
    assert list(temporary.iterdir()) == []


def test_it_needs_no_more_than_ascii(process):
    ended = process("demo", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.isascii()


def test_what_comes_out_otherwise_shows_and_is_the_exit_status(command, monkeypatch):
    def forgetful(*arguments, idempotency_store, **options):
        return MeetGeekASGIMiddleware(*arguments, **options)

    monkeypatch.setattr(demo_module, "MeetGeekASGIMiddleware", forgetful)
    ended = command("demo")
    assert ended.status == 1
    assert rows_of(ended.out) == {
        **ROWS,
        "one meeting, team of 5": "5 x 200 5 x accepted 5 NO",
        "first request replayed": "200 accepted 1 NO",
    }
    assert ended.out.splitlines()[-1] == "2 rows did not come out as the contract promises."
