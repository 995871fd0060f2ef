"""The spy counts, lets through, fails on demand, and leaves nothing behind."""

import asyncio
import sys
import types

import pytest

from pytest_meetgeek import Spy
from pytest_meetgeek._targets import TargetError, load
from pytest_meetgeek.spy import SpyFailure

SOURCE = """
def process(event): return event * 2
async def aprocess(event): return event * 3
class Worker:
    def run(self, event): return event * 4
    @staticmethod
    def static(event): return event * 5
    @classmethod
    def of_class(cls, event): return (cls.__name__, event)
class Senior(Worker): pass
senior = Senior()
number = 5
"""


@pytest.fixture
def tasks(monkeypatch):
    module = types.ModuleType("plugin_shop_tasks")
    exec(SOURCE, module.__dict__)  # noqa: S102  # a module made up for the test
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_a_function_is_counted_and_runs(tasks):
    spy = Spy().watch("plugin_shop_tasks:process")
    assert tasks.process(4) == 8
    assert (spy.count, spy.calls, spy.watching) == (1, [((4,), {})], True)
    assert repr(spy) == "<Spy count=1>"
    spy.undo()
    tasks.process(4)
    assert (spy.count, spy.watching) == (1, False)


def test_a_function_that_is_watched_twice_is_counted_once(tasks):
    spy = Spy().watch("plugin_shop_tasks:process").watch("plugin_shop_tasks:process")
    tasks.process(4)
    assert spy.count == 1
    spy.undo()
    assert not hasattr(tasks.process, "__wrapped__")


def test_a_coroutine_function_stays_one(tasks):
    spy = Spy().watch("plugin_shop_tasks:aprocess")
    assert asyncio.run(tasks.aprocess(4)) == 12
    assert spy.count == 1
    spy.undo()


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("Worker.run", lambda tasks: tasks.Worker().run(1) == 4),
        ("Worker.static", lambda tasks: tasks.Worker.static(1) == tasks.Worker().static(1) == 5),
        ("Worker.of_class", lambda tasks: tasks.Senior.of_class(1) == ("Senior", 1)),
        ("Senior.run", lambda tasks: tasks.Senior().run(1) == 4),
        ("senior.run", lambda tasks: tasks.senior.run(1) == 4),
    ],
)
def test_methods_are_counted(target, call, tasks):
    spy = Spy()
    before = dict(tasks.Senior.__dict__), dict(tasks.Worker.__dict__), dict(vars(tasks.senior))
    if target == "senior.run":
        spy.watch("plugin_shop_tasks:Senior.run")
    else:
        spy.watch(f"plugin_shop_tasks:{target}")
    assert call(tasks)
    assert spy.count >= 1
    spy.undo()
    assert (dict(tasks.Senior.__dict__), dict(tasks.Worker.__dict__), dict(vars(tasks.senior))) == before


def test_references_in_other_modules_are_counted_too(tasks, monkeypatch):
    early = types.ModuleType("plugin_shop_early")
    early.renamed = tasks.process
    monkeypatch.setitem(sys.modules, early.__name__, early)
    spy = Spy().watch("plugin_shop_tasks:process")
    late = types.ModuleType("plugin_shop_late")
    late.process = tasks.process
    monkeypatch.setitem(sys.modules, late.__name__, late)
    early.renamed(1)
    late.process(1)
    assert spy.count == 2
    spy.undo()
    assert early.renamed is late.process is tasks.process


def test_the_next_runs_can_be_made_to_fail(tasks):
    spy = Spy().watch("plugin_shop_tasks:process")
    spy.fail_next = 1
    with pytest.raises(SpyFailure, match="made to fail"):
        tasks.process(1)
    assert tasks.process(1) == 2
    assert spy.count == 2
    spy.undo()


def test_a_spy_can_be_the_handler():
    spy = Spy()
    spy("event", urgent=True)
    assert (spy.count, spy.calls, spy.watching) == (1, [(("event",), {"urgent": True})], False)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("plugin_shop_tasks", "not of the form module:attribute"),
        (":process", "not of the form module:attribute"),
        ("plugin_shop_tasks:a..b", "not of the form module:attribute"),
        ("plugin_shop_taks:process", "cannot import 'plugin_shop_taks' for .*: ModuleNotFoundError: No module named"),
        ("plugin_shop_tasks:proces", "'plugin_shop_tasks' of .* has no 'proces': did you mean 'process'"),
        ("plugin_shop_tasks:Worker.rum", "'Worker' of .* has no 'rum': did you mean 'run'"),
        ("plugin_shop_tasks:senior.rum", "'Senior' of .* has no 'rum': did you mean 'run'"),
    ],
)
def test_a_target_that_is_wrong_says_where(target, message, tasks):
    with pytest.raises(TargetError, match=message):
        Spy().watch(target)
    with pytest.raises(TargetError, match=message):
        load(target)


def test_only_functions_are_watched(tasks):
    with pytest.raises(TypeError, match="not a function: int"):
        Spy().watch("plugin_shop_tasks:number")


def test_a_failing_import_names_its_line(tmp_path, monkeypatch):
    tmp_path.joinpath("plugin_shop_broken.py").write_text("import json\nimport no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=r"No module named 'no_such_module_at_all', at plugin_shop_broken\.py:2"):
        load("plugin_shop_broken:app")
