"""The event loop that an asynchronous client belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mg_middleware.idempotency.store import StoreError

if TYPE_CHECKING:
    import asyncio


class OneEventLoop:
    """Refuses steps from a second event loop, before anything is sent.

    A client's connections belong to the loop that opened them. Used from another one, a claim could reach the server
    while its result is lost.

    Args:
        client: what the client is, for the error.
    """

    def __init__(self, client: str) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Keep the loop of the first step, and raise on any other.

        Raises:
            StoreError: this is another loop.
        """
        import asyncio  # loaded already: it runs

        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise StoreError(
                f"this {self._client} was used on another event loop before; make a store with a client of its own "
                "for each event loop, or use a client that isn't asynchronous"
            )
