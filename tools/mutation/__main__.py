"""Tells how many small faults in `mg_middleware` the tests find: the mutation score.

    python tools/mutation                  # all modules; exit status 0 if every survivor is known
    python tools/mutation keys signing     # these alone
    python tools/mutation --page           # all modules, and writes docs/explanation/proof/mutation.md

Each mutant runs against the test modules that `TESTS` names for it, in that order, until one fails. What survives
must stand in equivalent.toml with the reason; what stands there must survive.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hypothesis
import pytest
from mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
PAGE = ROOT / "docs" / "explanation" / "proof" / "mutation.md"

PAGE_TEXT = """# Mutation testing

Measured on {date}: CPython {python} on {system}, {versions}; it took {minutes} minutes with {workers} at once.

All of it again, and this page: `python tools/mutation --page --workers {workers}`.

A mutant is the package with one small fault: a comparison turned round, a number one higher, an argument left out, a
text changed, a line of an SQL statement missing. The faults are those of mutmut's operators, put into all that runs,
constants and tables as well as functions. The tests of the module run on each mutant: where one fails, the fault is
found. One that survives is listed below with the reason why no test can, or need, tell it from the package.

## Score

{table}

The command line is not part of it.

## Survivors

{listed}
"""

_ONCE = "idempotency/test_both_protocols.py"
_STORES = "idempotency/test_stores.py"
TESTS = {
    "__init__": ("test_public_names.py",),
    "acknowledgement": ("test_acknowledgement.py",),
    "asgi": ("test_asgi.py", "test_guard.py", "test_paths.py", _ONCE),
    "body": ("test_body.py", "test_memory.py"),
    "delivery": ("test_delivery.py", "test_asgi.py", "test_guard.py"),
    "errors": ("test_keys.py",),
    "events": ("test_events.py",),
    "guard": ("test_guard.py", "test_asgi.py", "test_wsgi.py", _ONCE),
    "idempotency.__init__": ("test_public_names.py",),
    "idempotency.asgi": ("idempotency/test_asgi.py", _ONCE),
    "idempotency.calls": (_ONCE, "idempotency/test_asgi.py", "idempotency/test_wsgi.py", _STORES),
    "idempotency.decision": ("idempotency/test_decision.py", _ONCE),
    "idempotency.event_loop": ("idempotency/test_asgi.py", _ONCE),
    "idempotency.key": (_ONCE, _STORES),
    "idempotency.memory": ("idempotency/test_memory.py", _STORES, _ONCE, "idempotency/test_decision.py"),
    "idempotency.options": (_STORES, "idempotency/test_memory.py", "idempotency/test_redis.py"),
    "idempotency.redis": ("idempotency/test_redis.py", _STORES, "idempotency/test_decision.py"),
    "idempotency.sqlite": ("idempotency/test_sqlite.py", _STORES, _ONCE, "idempotency/test_decision.py"),
    "idempotency.sqlite_file": ("idempotency/test_sqlite.py", _STORES),
    "idempotency.store": (_STORES, "idempotency/test_decision.py"),
    "idempotency.wsgi": ("idempotency/test_wsgi.py", _ONCE),
    "keys": ("test_keys.py", "test_signing.py", "test_guard.py"),
    "paths": ("test_paths.py", "test_guard.py"),
    "refusals": ("test_guard.py", "test_asgi.py", "test_wsgi.py", _ONCE),
    "signature": ("test_signature.py", "test_signing.py"),
    "signing": ("test_signing.py",),
    "verdict": ("test_guard.py", "test_public_names.py", _ONCE),
    "wsgi": ("test_wsgi.py", "test_guard.py", "test_paths.py", _ONCE),
}
# What takes long and finds no fault that the others leave.
SLOW = "not java and not million and not processes and not interleaved"
OPTIONS = (
    *("-x", "-q", "--tb=line", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", SLOW),
    *("-W", "ignore:Module already imported", "--hypothesis-profile=mutation", "-o", "timeout=20"),
)


class Limits:
    """What a test module may take, in seconds and bytes, before its mutant counts as found: it loops, or waits."""

    least_time = 5  # of the processor
    times_the_usual = 5
    waiting = 60
    memory = 4 << 30


class Run(NamedTuple):
    """What came of running one test module; the time is the processor's, in seconds."""

    passed: bool
    printed: str
    time: float
    loaded: list[str]


def run_tests(tree: Path, test: str, most_time: float, *, caches: bool = False) -> Run:
    """Run one test module on the package in `tree`, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output, loaded = Path(folder) / "output", Path(folder) / "loaded"
        child = os.fork()
        if child == 0:
            _run_tests_here(tree, test, most_time, output, loaded, caches=caches)
        give_up = time.monotonic() + Limits.waiting + most_time
        while True:
            ended, status, usage = os.wait4(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > give_up:
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # the servers of a test that was cut off
        names = json.loads(loaded.read_text()) if loaded.exists() else []
        return Run(status == 0, output.read_text(errors="replace"), usage.ru_utime + usage.ru_stime, names)


def _run_tests_here(tree: Path, test: str, most_time: float, output: Path, loaded: Path, *, caches: bool) -> None:
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (round(most_time) + 1, round(most_time) + 1))
        resource.setrlimit(resource.RLIMIT_AS, (Limits.memory, Limits.memory))
        for stream in (1, 2):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        os.environ["PYTHONPATH"] = str(tree)
        # A mutant may be of the same size and second as the one before.
        sys.dont_write_bytecode = not caches
        os.environ["PYTHONDONTWRITEBYTECODE"] = "" if caches else "1"
        importlib.invalidate_caches()
        code = int(pytest.main([*OPTIONS, f"tests/{test}", f"--basetemp={output.parent / 'files'}"]))
        loaded.write_text(json.dumps(list(sys.modules)))
    finally:
        sys.stdout.flush()
        os._exit(code)


def first_runs(tree: Path, tests: Iterable[str]) -> dict[str, float]:
    """Run the test modules on the package as it is, and load what they load, so that no mutant has to wait for that.

    Returns:
        The processor time of each test module in seconds.
    """
    sys.path.insert(0, str(tree))
    for test in tests:
        for name in _run_unchanged(tree, test).loaded:
            if not name.startswith(("mg_middleware", "pytest_meetgeek", "__main__")):
                _load(name, tree)
    gc.freeze()
    return {test: _run_unchanged(tree, test).time for test in tests}


def _run_unchanged(tree: Path, test: str) -> Run:
    run = run_tests(tree, test, 600, caches=True)
    if not run.passed:
        sys.exit(f"tests/{test} fails without a mutant:\n{run.printed}")
    return run


def _load(name: str, tree: Path) -> None:
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # then each run loads it anew
        warnings.simplefilter("ignore")
        specification = importlib.util.find_spec(name)
        if specification and specification.origin and not specification.origin.startswith(str(tree)):
            importlib.import_module(name)


class Worker:
    """One process that tries mutants in a tree of its own."""

    tree: Path
    times: dict[str, float]

    @classmethod
    def begin(cls, first: Path, times: dict[str, float]) -> None:
        cls.tree = Path(shutil.copytree(first, first.with_name(str(os.getpid()))))
        cls.times = times

    @classmethod
    def survives(cls, mutant: Mutant) -> bool:
        path = cls.tree / "mg_middleware" / f"{mutant.module.replace('.', '/')}.py"
        original = path.read_text()
        path.write_text(mutant.code)
        Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
        try:
            return all(
                run_tests(cls.tree, test, max(Limits.least_time, cls.times[test] * Limits.times_the_usual)).passed
                for test in TESTS[mutant.module]
            )
        finally:
            path.write_text(original)


def modules() -> list[str]:
    """Name every module of the package but the command line."""
    package = ROOT / "mg_middleware"
    names = (".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py"))
    return sorted(name for name in names if name != "__main__" and not name.startswith("cli."))


def equivalent() -> list[dict[str, Any]]:
    """Read equivalent.toml: the mutants that cannot, or need not, be found, by the reason."""
    entries = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return sorted(entries, key=lambda entry: (entry["module"], entry["function"]))


def try_mutants(mutants: list[Mutant], workers: int) -> list[Mutant]:
    """Give those that survive."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # and no search for a shorter example
    hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=phases)
    tests = dict.fromkeys(test for mutant in mutants for test in TESTS[mutant.module])
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        shutil.copytree(ROOT, first, ignore=shutil.ignore_patterns(".*", "__pycache__", "site", "dist"))
        times = first_runs(first, tests)
        with ProcessPoolExecutor(workers, get_context("fork"), Worker.begin, (first, times)) as pool:
            verdicts = pool.map(Worker.survives, mutants)
            for number, (mutant, survives) in enumerate(zip(mutants, verdicts, strict=True), 1):
                if survives:
                    survivors.append(mutant)
                if number % 100 == 0:
                    print(f"{number} of {len(mutants)} tried, {len(survivors)} survived", file=sys.stderr)
    return survivors


def scores(mutants: list[Mutant], survivors: list[Mutant]) -> str:
    """Give the table of how many mutants of each module were found."""
    made, survived = (Counter(mutant.module for mutant in some) for some in (mutants, survivors))
    rows = [(f"`{module}`", number, number - survived[module]) for module, number in made.items()]
    rows.append(("together", made.total(), made.total() - survived.total()))
    lines = [f"| {name} | {number} | {found} | {found / number:.1%} |" for name, number, found in rows]
    return "\n".join(["| module | mutants | found | share |", "| --- | --: | --: | --: |", *lines])


def page(table: str, minutes: int, workers: int) -> str:
    """Give the text of the page in the documentation, where no survivor is unknown."""
    listed: list[str] = []
    for entry in equivalent():
        listed.append(f"- `{'.'.join(filter(None, (entry['module'], entry['function'])))}`: {entry['reason']}")
        listed.extend(f"  - {_as_code(was)} → {_as_code(becomes)}" for was, becomes in entry["mutants"])
    return PAGE_TEXT.format(
        date=dt.datetime.now(dt.UTC).strftime("%-d %B %Y"),
        python=platform.python_version(),
        system=platform.system(),
        versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mutmut", "pytest", "hypothesis")),
        minutes=minutes,
        workers=workers,
        table=table,
        listed="\n".join(listed),
    )


def _as_code(text: str) -> str:
    return f"`` {' '.join(text.split())} ``" if text else "nothing"


def main() -> int:
    parser = argparse.ArgumentParser(description="Tells how many small faults in mg_middleware the tests find.")
    parser.add_argument("module", nargs="*", help="a module of mg_middleware, such as keys or idempotency.asgi")
    parser.add_argument("--page", action="store_true", help="write the result to docs/explanation/proof/mutation.md")
    parser.add_argument("--workers", type=int, default=1, help="how many mutants are tried at once")
    arguments = parser.parse_args()
    if arguments.page and arguments.module:
        parser.error("the page is about all modules")
    chosen = arguments.module or modules()
    mutants = [
        mutant
        for module in chosen
        for mutant in mutants_of(ROOT / "mg_middleware" / f"{module.replace('.', '/')}.py", module)
    ]
    if not mutants:
        parser.error("there is nothing to change in these modules")
    begun = time.monotonic()
    survivors = try_mutants(mutants, arguments.workers)
    minutes = round((time.monotonic() - begun) / 60)
    entries = equivalent()
    known = {(entry["module"], entry["function"], *pair) for entry in entries for pair in entry["mutants"]}
    unknown = [mutant for mutant in survivors if mutant.name not in known]
    stale = {name for name in known if name[0] in chosen} - {mutant.name for mutant in survivors}
    for mutant in unknown:
        print(f"survived: {mutant.module} {mutant.function}\n  - {mutant.was}\n  + {mutant.becomes}")
        print(f"  {json.dumps([mutant.was, mutant.becomes])},")
    for module, function, was, becomes in sorted(stale):
        print(f"in {EQUIVALENT.name}, but found or gone: {module} {function}\n  - {was}\n  + {becomes}")
    table = scores(mutants, survivors)
    print(table)
    if arguments.page and not unknown and not stale:
        PAGE.write_text(page(table, minutes, arguments.workers))
    return 1 if unknown or stale else 0


if __name__ == "__main__":
    sys.exit(main())
