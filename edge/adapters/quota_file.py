"""Keeps what keys have spent in one file, so that a restart does not hand out new quotas."""

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec

from cloud.wire.service.keyfile import write_private
from edge.quotas import Quotas, Spent

_EVERY_S = 5.0


def read_spent(path: Path) -> dict[str, Spent]:
    """What was saved last; nothing where the file is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Spent])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}


class QuotaFile:
    """Saves every few seconds what has changed: a crash gives back at most what was spent in between."""

    def __init__(self, path: Path, quotas: Quotas) -> None:
        self._path = path
        self._quotas = quotas
        self._saved = b"{}"
        self._saving = asyncio.create_task(self._keep_saving())

    async def aclose(self) -> None:
        self._saving.cancel()
        await asyncio.gather(self._saving, return_exceptions=True)
        await self._save()

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            await self._save()

    async def _save(self) -> None:
        content = msgspec.json.encode(self._quotas.spent)
        if content != self._saved:
            with suppress(OSError):  # a full disk passes; the counts in memory are the ones that bind
                await asyncio.to_thread(self._write, content)
                self._saved = content

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged = self._path.with_suffix(".new")
        write_private(staged, content)
        staged.replace(self._path)
