"""Calling a store from an event loop, asyncio or trio: the loop never waits, and what was begun is carried out."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from mg_middleware.idempotency.claims import calling
from mg_middleware.idempotency.claims.renewing import interval_of, log_lost, log_too_long
from mg_middleware.idempotency.store import Claimed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from mg_middleware.idempotency.claims.calling import AsynchronousStoreCalls
    from mg_middleware.idempotency.claims.threads import ThreadedCalls
    from mg_middleware.idempotency.decision import Ending, HeldClaim
    from mg_middleware.idempotency.store import Claim

_Result = TypeVar("_Result")


class EventLoopThreadedCalls:
    """The steps of a blocking store, as coroutines that wait for its threads.

    If the request is cancelled, the step goes on, and a claim that it still gets is released.

    Args:
        calls: the steps in threads.
    """

    def __init__(self, calls: ThreadedCalls) -> None:
        self._calls = calls

    async def claim(self, key: str) -> Claim | None:
        """Claim a delivery; see `StoreCalls.claim`."""
        future = self._calls.begin_claim(key)
        try:
            if await _is_done_in_time(future):
                return future.result()
        except BaseException:
            self._calls.abandon_claim(key, future)
            raise
        self._calls.abandon_claim(key, future)
        calling.log_given_up(self._calls.name, "claim")
        return None

    async def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim; see `StoreCalls.end`."""
        if not await _is_done_in_time(self._calls.begin_end(step, key, token)):
            calling.log_given_up(self._calls.name, step)

    def release_later(self, key: str, token: str) -> None:
        """Release a claim without waiting for it."""
        self._calls.begin_end("release", key, token)


class EventLoopCalls:
    """The steps of an asynchronous store.

    Under asyncio a step runs in a task of its own: if the request is cancelled, the step goes on, and a claim for which
    nobody waits any more is released. Under trio the step is shielded, and a cancelled request waits for its end.

    Args:
        calls: the steps.
    """

    def __init__(self, calls: AsynchronousStoreCalls) -> None:
        self._calls = calls
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio keeps only weak references to tasks

    async def claim(self, key: str) -> Claim | None:
        """Claim a delivery; see `StoreCalls.claim`."""
        return await self._carry_out("claim", self._calls.claim(key), partial(self._give_back, key))

    async def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim; see `StoreCalls.end`."""
        await self._carry_out(step, self._calls.end(step, key, token))

    async def renew(self, key: str, token: str) -> bool | None:
        """Renew a claim; see `StoreCalls.renew`."""
        return await self._carry_out("renew", self._calls.renew(key, token))

    def release_later(self, key: str, token: str) -> None:
        """Leave a claim to expire: whoever cannot wait cannot start a task either."""

    def start(self, step: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Run a coroutine in a task of its own, under asyncio."""
        import asyncio  # loaded already: it runs

        task = asyncio.ensure_future(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry_out(
        self,
        name: str,
        step: Coroutine[Any, Any, _Result],
        when_abandoned: Callable[[asyncio.Task[_Result]], object] | None = None,
    ) -> _Result | None:
        trio = running_trio()
        if trio is not None:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + calling.STEP_SECONDS):
                return await step
            calling.log_given_up(self._calls.name, name)
            return None
        import asyncio  # loaded already: it runs

        task = self.start(step)
        try:
            await asyncio.wait([task], timeout=calling.STEP_SECONDS)
        except asyncio.CancelledError:
            if when_abandoned is not None:
                task.add_done_callback(when_abandoned)
            raise
        if not task.done():
            if when_abandoned is not None:
                task.add_done_callback(when_abandoned)
            task.cancel()
            calling.log_given_up(self._calls.name, name)
            return None
        if task.cancelled():
            calling.log_failure(self._calls.name, name, asyncio.CancelledError())
            return None
        return task.result()

    def _give_back(self, key: str, task: asyncio.Task[Claim | None]) -> None:
        claim = None if task.cancelled() else task.result()
        if isinstance(claim, Claimed):
            self.start(self._calls.end("release", key, claim.token))


class EventLoopRenewing:
    """Renews the claims of an asynchronous store on the event loop: nothing else may touch its connections.

    If the loop is blocked for a whole lease, the claims expire.

    Args:
        calls: the store's steps.
        name: the name of the store's class.
        lease: how many seconds a claim lives.
        max_lease: for how many seconds a claim is renewed.
    """

    def __init__(self, calls: EventLoopCalls, name: str, lease: float, max_lease: float) -> None:
        self._calls = calls
        self._name = name
        self._interval = interval_of(lease)
        self._max_lease = max_lease

    def begin(self, claim: HeldClaim) -> None:
        """Renew a claim from now on."""
        end = monotonic() + self._max_lease
        trio = running_trio()
        if trio is not None:
            claim.renewal = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._renew_on_trio, trio, claim, end)
        else:
            self._schedule(claim, end)

    def end(self, claim: HeldClaim) -> None:
        """Renew a claim no longer."""
        claim.renewal.cancel()

    def _schedule(self, claim: HeldClaim, end: float) -> None:
        import asyncio  # loaded already: it runs

        loop = asyncio.get_running_loop()
        claim.renewal = loop.call_later(self._interval, lambda: self._calls.start(self._renew_on_asyncio(claim, end)))

    async def _renew_on_asyncio(self, claim: HeldClaim, end: float) -> None:
        if await self._renew(claim, end):
            self._schedule(claim, end)

    async def _renew_on_trio(self, trio: Any, claim: HeldClaim, end: float) -> None:
        with claim.renewal:
            while True:
                await trio.sleep(self._interval)
                if not await self._renew(claim, end):
                    return

    async def _renew(self, claim: HeldClaim, end: float) -> bool:
        """Renew a claim once, and return whether to go on."""
        if monotonic() >= end:
            log_too_long(self._name, self._max_lease)
            return False
        renewed = await self._calls.renew(claim.key, claim.token)
        if claim.ended:
            return False
        if renewed is False:
            log_lost(self._name)
        return renewed is not False


async def sleep(seconds: float) -> None:
    """Sleep on the running event loop."""
    trio = running_trio()
    if trio is not None:
        await trio.sleep(seconds)
        return
    import asyncio  # loaded already: it runs

    await asyncio.sleep(seconds)


def running_trio() -> Any:
    """Return the module trio if it runs the current task; it then has been imported."""
    trio: Any = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_task() else None


async def _is_done_in_time(future: Future[Any]) -> bool:
    """Wait for a step in a thread, and return whether it returned in time."""
    trio = running_trio()
    if trio is not None:
        event = trio.Event()
        future.add_done_callback(partial(_wake, trio.lowlevel.current_trio_token().run_sync_soon, event.set))
        with trio.move_on_after(calling.STEP_SECONDS):
            await event.wait()
        return future.done()
    import asyncio  # loaded already: it runs

    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    # By hand, since asyncio.wrap_future and asyncio.wait together take half as long again.
    future.add_done_callback(partial(_wake, loop.call_soon_threadsafe, partial(_set, waiter)))
    timer = loop.call_later(calling.STEP_SECONDS, _set, waiter)
    try:
        await waiter
    finally:
        timer.cancel()
    return future.done()


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _wake(call_soon: Callable[[Callable[[], None]], object], wake: Callable[[], None], _future: Future[Any]) -> None:
    with suppress(RuntimeError):  # the loop may have ended
        call_soon(wake)
