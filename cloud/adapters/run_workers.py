"""Which processes that do runs are alive, and who goes on with the runs of those that are not.

Each holds a lock on a file in its data folder as long as it lives, which the system lets go when it dies:
others on the same machine see that at once. Those elsewhere see that its row is no longer renewed.
"""

import asyncio
import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows

BEAT_S = 1.0


class RunWorkers:
    """This process among those that do runs."""

    def __init__(
        self, database: Database, folder: Path, *, lease_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        """`lease_s`: a process of another machine that was not heard of for so long is dead."""
        self._database = database
        self._folder = folder
        self._lease_s = lease_s
        self._clock = clock
        self.executor = uuid.uuid4().hex
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._file(self.executor), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    async def beat(self) -> None:
        """Say that this one is alive."""
        async with self._database.writing() as connection:
            await counted(
                connection,
                "INSERT INTO run_workers (executor, seen_at) VALUES (:executor, :now) "
                "ON CONFLICT (executor) DO UPDATE SET seen_at = :now",
                executor=self.executor,
                now=self._clock(),
            )

    async def dead(self) -> list[str]:
        """Those that will not go on."""
        async with self._database.reading() as connection:
            known = await rows(
                connection,
                "SELECT executor, seen_at FROM run_workers WHERE executor <> :executor",
                executor=self.executor,
            )
        return [row["executor"] for row in known if self._is_dead(row["executor"], row["seen_at"])]

    async def forget(self, executor: str) -> None:
        """Its runs are taken over."""
        async with self._database.writing() as connection:
            await counted(connection, "DELETE FROM run_workers WHERE executor = :executor", executor=executor)
        self._file(executor).unlink(missing_ok=True)

    async def watch(self, take_over: Callable[[str], Awaitable[None]]) -> None:
        """Beat, and take over from the dead, until cancelled."""
        while True:
            with contextlib.suppress(
                Exception
            ):  # a database that is away comes back, or it is told elsewhere
                await self.beat()
                for executor in await self.dead():
                    await take_over(executor)
                    await self.forget(executor)
            await asyncio.sleep(BEAT_S)

    def close(self) -> None:
        """From here on this process is as good as dead; its row says so to those who look."""
        os.close(self._lock)

    def _is_dead(self, executor: str, seen_at: float) -> bool:
        file = self._file(executor)
        if file.exists():
            descriptor = os.open(file, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            finally:
                os.close(descriptor)
            return True
        return seen_at < self._clock() - self._lease_s

    def _file(self, executor: str) -> Path:
        return self._folder / f"{executor}.lock"
