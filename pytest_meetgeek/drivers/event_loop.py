"""What asyncio and trio have in common: events, locks, one background task, several at once."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager


class Event(Protocol):
    """What asyncio.Event and trio.Event have in common."""

    def set(self) -> object:
        """Wake all who wait."""
        ...

    def is_set(self) -> bool:
        """Tell whether it was set."""
        ...

    async def wait(self) -> object:
        """Wait until it is set."""
        ...


class Background(Protocol):
    """One background task on the event loop that is running, and what goes with it."""

    def event(self) -> Event:
        """Make an event of this loop."""
        ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Make a lock of this loop."""
        ...

    async def open(self) -> None:
        """Make ready, in the task that will call `stop`."""
        ...

    async def start(self, run: Callable[[], Awaitable[None]]) -> None:
        """Start the task."""
        ...

    async def stop(self) -> None:
        """Cancel the task if it still runs, and wait for its end."""
        ...

    async def limited(self, seconds: float, run: Callable[[], Awaitable[None]]) -> None:
        """Run something for a limited time; TimeoutError when it is over."""
        ...

    async def together(self, runs: list[Callable[[], Awaitable[None]]]) -> None:
        """Run all at once and wait for all."""
        ...

    async def give_way(self) -> None:
        """Let the other tasks run."""
        ...


class AsyncioBackground:
    """A background task on asyncio. Not for trio: see `background`."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def event(self) -> Event:
        """Make an event of this loop."""
        return asyncio.Event()

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Make a lock of this loop."""
        return asyncio.Lock()

    async def open(self) -> None:
        """Make ready, in the task that will call `stop`."""

    async def start(self, run: Callable[[], Awaitable[None]]) -> None:
        """Start the task."""

        async def task() -> None:
            await run()

        self._task = asyncio.create_task(task())

    async def stop(self) -> None:
        """Cancel the task if it still runs, and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def limited(self, seconds: float, run: Callable[[], Awaitable[None]]) -> None:
        """Run something for a limited time; TimeoutError when it is over."""
        async with asyncio.timeout(seconds):
            await run()

    async def together(self, runs: list[Callable[[], Awaitable[None]]]) -> None:
        """Run all at once and wait for all."""
        await asyncio.gather(*(run() for run in runs))

    async def give_way(self) -> None:
        """Let the other tasks run."""
        await asyncio.sleep(0)


class TrioBackground:
    """A background task on trio, in a nursery of its own."""

    def __init__(self, trio: Any) -> None:  # the module: we import none
        self._trio = trio
        self._manager: Any = trio.open_nursery()
        self._nursery: Any = None

    def event(self) -> Event:
        """Make an event of this loop."""
        event: Event = self._trio.Event()
        return event

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Make a lock of this loop."""
        lock: AbstractAsyncContextManager[object] = self._trio.Lock()
        return lock

    async def open(self) -> None:
        """Make ready, in the task that will call `stop`: a nursery closes where it was opened."""
        self._nursery = await self._manager.__aenter__()

    async def start(self, run: Callable[[], Awaitable[None]]) -> None:
        """Start the task."""
        self._nursery.start_soon(run)

    async def stop(self) -> None:
        """Cancel the task if it still runs, and wait for its end."""
        self._nursery.cancel_scope.cancel()
        # No exception is handed in: the nursery would wrap it into a group.
        await self._manager.__aexit__(None, None, None)

    async def limited(self, seconds: float, run: Callable[[], Awaitable[None]]) -> None:
        """Run something for a limited time; TimeoutError when it is over."""
        with self._trio.move_on_after(seconds) as limit:
            await run()
        if limit.cancelled_caught:
            raise TimeoutError

    async def together(self, runs: list[Callable[[], Awaitable[None]]]) -> None:
        """Run all at once and wait for all."""
        async with self._trio.open_nursery() as nursery:
            for run in runs:
                nursery.start_soon(run)

    async def give_way(self) -> None:
        """Let the other tasks run."""
        await self._trio.lowlevel.checkpoint()


def inside_trio() -> Any:  # the module, which we do not import
    """Find the module trio if this code runs in a trio task, else None."""
    trio: Any = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return None
    return trio


def background() -> Background:
    """Make the background of the event loop that is running."""
    trio = inside_trio()
    return AsyncioBackground() if trio is None else TrioBackground(trio)
