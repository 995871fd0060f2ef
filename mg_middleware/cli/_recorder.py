"""Recording verified deliveries, one file for each."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from pytest_meetgeek.recording import Recording, headers_to_keep

if TYPE_CHECKING:
    from mg_middleware.cli._observer import Observation

_LOGGER = logging.getLogger("mg_middleware")


def recording_of(observation: Observation) -> Recording:
    """Turn a delivery into what may be kept of it.

    Args:
        observation: a verified delivery.
    """
    return Recording(
        body=bytes(observation.body),
        headers=headers_to_keep(observation.headers),
        method=observation.method,
        path=observation.path,
        received=observation.received.isoformat(),
    )


class Recorder:
    """An observer that writes each verified delivery to a file of its own.

    What was refused is never written: a stranger could fill the disk, and sending a recording signs it.

    Args:
        folder: where to write. It is created if it doesn't exist.

    Raises:
        OSError: the folder can't be created or written to.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        trial = self._folder / f".{token_hex(8)}"
        trial.touch(mode=0o600)
        trial.unlink()

    def decided(self, observation: Observation) -> None:
        """Wait for the response: a recording is written after it."""

    async def finished(self, observation: Observation) -> None:
        """Write the file. A full disk is a warning, and changes nothing for the sender, who has the response."""
        if observation.is_verified:
            await asyncio.to_thread(self._write, observation)

    def _write(self, observation: Observation) -> None:
        content = recording_of(observation).to_json().encode()
        name = f"{observation.received:%Y%m%dT%H%M%S.%fZ}-{token_hex(4)}"
        unfinished = self._folder / f".{name}.unfinished"
        try:
            try:
                # The mode is set when the file is created, so nobody else can open it before.
                with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.rename(self._folder / f"{name}.json")
            except OSError:
                with suppress(OSError):
                    unfinished.unlink()
                raise
        except OSError as error:
            _LOGGER.warning("a delivery was not recorded: %s", error.strerror)
