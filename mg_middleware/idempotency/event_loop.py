"""Calling a store from an event loop, asyncio or trio: the loop never waits, and what was begun is carried out."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from mg_middleware.idempotency.calls import AsynchronousStoreCalls, StoreCalls
from mg_middleware.idempotency.decision import ClaimedDelivery

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from mg_middleware._refusals import Refusal
    from mg_middleware.idempotency.decision import Ending
    from mg_middleware.idempotency.store import Execution, IdempotencyStore

_Result = TypeVar("_Result")


class EventLoopCalls:
    """The steps of a store that blocks or is asynchronous, as coroutines.

    Under asyncio a step runs in a task of its own: if the request is cancelled, the step goes on, and a claim for which
    nobody waits any more is released. Under trio the step is shielded, and a cancelled request waits for its end.

    Args:
        store: the store.
        execution: how its steps are to be called.
    """

    def __init__(self, store: IdempotencyStore, execution: Execution) -> None:
        if execution == "asynchronous":
            asynchronous = AsynchronousStoreCalls(store)
            self._claim, self._end = asynchronous.claim, asynchronous.end
        else:
            blocking = StoreCalls(store)
            self._claim, self._end = partial(_in_thread, blocking.claim), partial(_in_thread, blocking.end)
        self._tasks: set[asyncio.Task[Any]] = set()  # since the loop holds its tasks but weakly

    async def claim(self, key: str) -> Refusal | ClaimedDelivery | None:
        """Claim a delivery, and decide what follows; `None` if the store failed.

        Args:
            key: the key of the delivery.
        """
        return await self._carry_out(self._claim(key), partial(self._give_back, key))

    async def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim.

        Args:
            step: how it ends.
            key: the key that was claimed.
            token: the token of the claim.
        """
        await self._carry_out(self._end(step, key, token))

    async def _carry_out(
        self,
        step: Coroutine[Any, Any, _Result],
        when_abandoned: Callable[[asyncio.Task[_Result]], object] | None = None,
    ) -> _Result:
        trio = _running_trio()
        if trio is not None:
            with trio.CancelScope(shield=True):
                return await step
        import asyncio  # noqa: PLC0415 - loaded already: it runs

        task = self._start(step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if when_abandoned is not None:
                task.add_done_callback(when_abandoned)
            raise

    def _start(self, step: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        import asyncio  # noqa: PLC0415 - loaded already: it runs

        task = asyncio.ensure_future(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _give_back(self, key: str, task: asyncio.Task[Refusal | ClaimedDelivery | None]) -> None:
        decision = None if task.cancelled() else task.result()
        if isinstance(decision, ClaimedDelivery):
            self._start(self._end("release", key, decision.token))


def _running_trio() -> Any:  # noqa: ANN401 - a module that need not be installed
    """Give the module trio if it runs the current task; it then has been imported."""
    trio: Any = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_task() else None


async def _in_thread(function: Callable[..., _Result], *arguments: str) -> _Result:
    trio = _running_trio()
    if trio is not None:
        result: _Result = await trio.to_thread.run_sync(function, *arguments)
        return result
    from asgiref.sync import sync_to_async  # noqa: PLC0415 - it imports asyncio, which not every loop needs

    return await sync_to_async(function, thread_sensitive=False)(*arguments)
