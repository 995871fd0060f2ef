"""Counts how often the user's own function runs, without replacing it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from pytest_meetgeek._targets import find_owner
from pytest_meetgeek.drivers.event_loop import inside_trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Spy"]

FAILURE_TEXT = "the handler was made to fail (Spy.fail_next)"


class SpyFailure(RuntimeError):  # noqa: N818  # it simulates a failure of the handler
    """Raised by a handler that `fail_next` makes fail."""


class Spy:
    """Counts calls: of a function it watches, or of itself, plugged in as the handler.

    Not a mock: a watched function does its work. `undo` (or the fixture `meetgeek_spy`) puts everything back.

    Attributes:
        count: How often the function was called, calls made to fail included.
        calls: The positional and keyword arguments of each call.
        fail_next: How many of the next calls raise SpyFailure in place of running.
        delay: Seconds that each call takes longer.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.fail_next: int = 0
        self.delay: float = 0.0
        self._undo: list[Callable[[], None]] = []
        self._wrappers: list[object] = []
        self._targets: list[str] = []

    def __repr__(self) -> str:
        return f"<Spy count={self.count}>"

    @property
    def watching(self) -> bool:
        """Whether it watches a function."""
        return bool(self._undo)

    @property
    def targets(self) -> tuple[str, ...]:
        """The functions it watches, as they were given to `watch`."""
        return tuple(self._targets)

    def __call__(self, *args: Any, **kwargs: Any) -> None:  # any handler's arguments
        """Take the place of a handler: note the call.

        Args:
            args: Kept in `calls`.
            kwargs: Kept in `calls`.

        Raises:
            SpyFailure: `fail_next` is not 0.
        """
        if self.delay:
            time.sleep(self.delay)
        self._note(args, kwargs)

    def _note(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.count += 1
        self.calls.append((args, kwargs))
        if self.fail_next > 0:
            self.fail_next -= 1
            raise SpyFailure(FAILURE_TEXT)

    def watch(self, target: str) -> Self:
        """Count the runs of a function, sync or async, wherever a module holds it under a global name.

        A reference that is held elsewhere, such as in a router's table, is not seen: watch what the handler calls.

        Args:
            target: "module:function" or "module:Class.method".

        Raises:
            TargetError: There is no such function.
            TypeError: It is not callable.
        """
        owner, name = find_owner(target)
        found: object = inspect.getattr_static(owner, name)
        if any(found is wrapper for wrapper in self._wrappers):
            return self
        wrapped = self._wrap(found)
        if wrapped is None:
            raise TypeError(f"{target!r} is not a function: {type(found).__name__}")
        inherited = name not in getattr(owner, "__dict__", {name: found})
        setattr(owner, name, wrapped)
        # `from shop.tasks import process` made further references: they are the ones a handler uses.
        _replace_in_modules(found, wrapped)

        def undo() -> None:
            if inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, found)
            # A module that was imported meanwhile took the counting function.
            _replace_in_modules(wrapped, found)

        self._undo.append(undo)
        self._wrappers.append(wrapped)
        self._targets.append(target)
        return self

    def undo(self) -> None:
        """Put every watched function back."""
        while self._undo:
            self._undo.pop()()
        self._wrappers.clear()
        self._targets.clear()

    def _wrap(self, found: Any) -> object:
        """Wrap what a module or class holds under a name; None for what cannot be called."""
        if isinstance(found, staticmethod):
            return staticmethod(self._counting(_unbound(found)))
        if isinstance(found, classmethod):
            return classmethod(self._counting(_unbound(found)))
        return self._counting(found) if callable(found) else None

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:  # any function's arguments
                if self.delay:  # time.sleep() would stop every other request, too
                    await (inside_trio() or asyncio).sleep(self.delay)
                self._note(args, kwargs)
                return await function(*args, **kwargs)

            return asynchronous

        @functools.wraps(function)
        def synchronous(*args: Any, **kwargs: Any) -> Any:  # any function's arguments
            self(*args, **kwargs)
            return function(*args, **kwargs)

        return synchronous


def _unbound(method: Any) -> Callable[..., Any]:
    function: Callable[..., Any] = method.__func__
    return function


def _replace_in_modules(old: object, new: object) -> None:
    for module in list(sys.modules.values()):
        namespace: dict[str, object] = getattr(module, "__dict__", {})
        # Compared by identity, in C: there are thousands of modules, and names whose == does odd things.
        if id(old) in map(id, namespace.values()):
            for name in [name for name, value in namespace.items() if value is old]:
                setattr(module, name, new)
