"""Prints how many small faults in `mg_middleware` the tests find, and the ones that they do not find.

    python tools/mutation                         # all modules but the command line; about half an hour
    python tools/mutation _keys idempotency.asgi  # these alone

A mutant is the package with one small fault, made by mutmut's operators: a comparison turned round, a number one
higher, an argument left out, a text changed. The test modules that run the changed line are run on it, the quickest
first, until one fails. Nothing is stored: whether a survivor matters is for the reader to say. Some can't be found,
such as an encoding in another letter case.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import coverage
import hypothesis
import pytest
from mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]

# The tests of the package without those of the command line, the frameworks and the servers.
TESTS = ("test_*.py", "idempotency/test_*.py")
NOT_OF_THE_GUARD = {"test_front_door.py", "test_installs.py", "test_packaging.py", "test_readme.py", "test_typing.py"}
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
    loaded: list[str]  # names of modules
    ran: dict[str, list[int]]  # the lines of each module of the package, where that was asked for


def run_tests(tree: Path, test: str, most_time: float, *, first: bool = False) -> Run:
    """Run one test module on the package in `tree`, in a process of its own; `first`: and note which lines run."""
    with tempfile.TemporaryDirectory() as folder:
        output, noted = Path(folder) / "output", Path(folder) / "noted"
        child = os.fork()
        if child == 0:
            _run_tests_here(tree, test, most_time, output, noted, first=first)
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
        notes = json.loads(noted.read_text()) if noted.exists() else {"loaded": [], "ran": {}}
        return Run(status == 0, output.read_text(errors="replace"), usage.ru_utime + usage.ru_stime, **notes)


def _run_tests_here(tree: Path, test: str, most_time: float, output: Path, noted: Path, *, first: bool) -> None:
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
        sys.dont_write_bytecode = not first
        os.environ["PYTHONDONTWRITEBYTECODE"] = "" if first else "1"
        importlib.invalidate_caches()
        package = tree / "mg_middleware"
        measured = coverage.Coverage(data_file=None, config_file=False, source=[str(package)])
        if first:
            measured.start()
        code = int(pytest.main([*OPTIONS, f"tests/{test}", f"--basetemp={output.parent / 'files'}"]))
        if first:
            measured.stop()
        data = measured.get_data()
        ran = {_name_of(Path(path), package): data.lines(path) for path in data.measured_files()}
        noted.write_text(json.dumps({"loaded": list(sys.modules), "ran": ran}))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _name_of(path: Path, package: Path) -> str:
    return ".".join(path.relative_to(package).with_suffix("").parts)


class TestModules:
    """What each test module runs of the package, and in which time."""

    def __init__(self, tree: Path, tests: Iterable[str]) -> None:
        """Run them on the package as it is, and load what they load, so that no mutant has to wait for that."""
        sys.path.insert(0, str(tree))
        self.ran: dict[str, dict[str, set[int]]] = {}
        self.times: dict[str, float] = {}
        self._at_import = defaultdict[str, set[int]](set)
        for test in tests:
            run = self._run(tree, test, first=True)
            self.ran[test] = {module: set(lines) for module, lines in run.ran.items()}
            for name in run.loaded:
                if not name.startswith(("mg_middleware", "pytest_meetgeek", "__main__")):
                    _load(name, tree)
        gc.freeze()
        for test in tests:
            self.times[test] = self._run(tree, test, first=False).time
        for module in {module for ran in self.ran.values() for module in ran}:
            having = [ran[module] for ran in self.ran.values() if module in ran]
            self._at_import[module] = set.intersection(*having)

    @staticmethod
    def _run(tree: Path, test: str, *, first: bool) -> Run:
        run = run_tests(tree, test, 600, first=first)
        if not run.passed:
            sys.exit(f"tests/{test} fails without a mutant:\n{run.printed}")
        return run

    def of(self, mutant: Mutant) -> list[str]:
        """Name those that run the changed line, the quickest first; for a line of the import, the module's users."""
        running = [test for test, ran in self.ran.items() if mutant.line in ran.get(mutant.module, ())]
        if mutant.line in self._at_import[mutant.module] or not running:
            running = [
                test for test, ran in self.ran.items() if ran.get(mutant.module, set()) - self._at_import[mutant.module]
            ]
        return sorted(running or self.ran, key=self.times.__getitem__)


def _load(name: str, tree: Path) -> None:
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # then each run loads it anew
        warnings.simplefilter("ignore")
        specification = importlib.util.find_spec(name)
        if specification and specification.origin and not specification.origin.startswith(str(tree)):
            importlib.import_module(name)


class Worker:
    """One process that tries mutants in a tree of its own."""

    tree: Path
    tests: TestModules

    @classmethod
    def begin(cls, first: Path, tests: TestModules) -> None:
        """Copy the tree, once for each process."""
        cls.tree = Path(shutil.copytree(first, first.with_name(str(os.getpid()))))
        cls.tests = tests

    @classmethod
    def survives(cls, mutant: Mutant) -> bool:
        """Run the tests on a mutant until one fails."""
        path = cls.tree / "mg_middleware" / f"{mutant.module.replace('.', '/')}.py"
        original = path.read_text()
        path.write_text(mutant.code)
        Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
        try:
            return all(
                run_tests(cls.tree, test, max(Limits.least_time, cls.tests.times[test] * Limits.times_the_usual)).passed
                for test in cls.tests.of(mutant)
            )
        finally:
            path.write_text(original)


def modules() -> list[str]:
    """Name every module of the package but the command line."""
    package = ROOT / "mg_middleware"
    names = (_name_of(path, package) for path in package.rglob("*.py"))
    return sorted(name for name in names if name != "__main__" and not name.startswith("cli."))


def tests() -> list[str]:
    """Name the test modules of the guard and the stores."""
    folder = ROOT / "tests"
    found = (path for pattern in TESTS for path in folder.glob(pattern))
    return sorted(path.relative_to(folder).as_posix() for path in found if path.name not in NOT_OF_THE_GUARD)


def try_mutants(mutants: list[Mutant], workers: int) -> list[Mutant]:
    """Give those that survive."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # and no search for a shorter example
    hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=phases)
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        shutil.copytree(ROOT, first, ignore=shutil.ignore_patterns(".*", "__pycache__", "site", "dist"))
        test_modules = TestModules(first, tests())
        with ProcessPoolExecutor(workers, get_context("fork"), Worker.begin, (first, test_modules)) as pool:
            verdicts = pool.map(Worker.survives, mutants)
            for number, (mutant, survives) in enumerate(zip(mutants, verdicts, strict=True), 1):
                if survives:
                    survivors.append(mutant)
                    print(f"survived: {mutant.module}, line {mutant.line}\n  - {mutant.was}\n  + {mutant.becomes}")
                if number % 100 == 0:
                    print(f"{number} of {len(mutants)} tried, {len(survivors)} survived", file=sys.stderr)
    return survivors


def scores(mutants: list[Mutant], survivors: list[Mutant]) -> str:
    """Give the table of how many mutants of each module were found."""
    made, survived = (Counter(mutant.module for mutant in some) for some in (mutants, survivors))
    rows = [(module, number, number - survived[module]) for module, number in made.items()]
    rows.append(("together", made.total(), made.total() - survived.total()))
    return "\n".join(f"{name:32} {found:5} of {number:5} found, {found / number:6.1%}" for name, number, found in rows)


def main() -> int:
    """Run the command; the exit status is 0 unless it could not be carried out."""
    parser = argparse.ArgumentParser(description="Print how many small faults in mg_middleware the tests find.")
    parser.add_argument("module", nargs="*", help="a module of mg_middleware, such as _keys or idempotency.asgi")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="how many mutants are tried at once")
    arguments = parser.parse_args()
    chosen = arguments.module or modules()
    if unknown := set(chosen) - set(modules()):
        parser.error(f"no such module of mg_middleware: {', '.join(sorted(unknown))}")
    mutants = [
        mutant
        for module in chosen
        for mutant in mutants_of(ROOT / "mg_middleware" / f"{module.replace('.', '/')}.py", module)
    ]
    if not mutants:
        parser.error("there is nothing to change in these modules")
    print(scores(mutants, try_mutants(mutants, arguments.workers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
