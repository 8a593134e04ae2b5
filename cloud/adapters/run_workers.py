"""Which processes that do runs are alive, and who goes on with the runs of those that are not.

Those on this machine are seen to die at once (`processes.py`); of those elsewhere it is seen that their
row is no longer renewed.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from cloud.adapters.database import Database
from cloud.adapters.processes import Processes
from cloud.adapters.sql import counted, rows

BEAT_S = 1.0


class RunWorkers:
    """This process among those that do runs."""

    def __init__(
        self,
        database: Database,
        processes: Processes,
        *,
        lease_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`lease_s`: a process of another machine that was not heard of for so long is dead."""
        self._database = database
        self._processes = processes
        self._lease_s = lease_s
        self._clock = clock

    async def beat(self) -> None:
        """Say that this one is alive."""
        async with self._database.writing() as connection:
            await counted(
                connection,
                "INSERT INTO run_workers (executor, seen_at) VALUES (:executor, :now) "
                "ON CONFLICT (executor) DO UPDATE SET seen_at = :now",
                executor=self._processes.name,
                now=self._clock(),
            )

    async def dead(self) -> list[str]:
        """Those that will not go on."""
        async with self._database.reading() as connection:
            known = await rows(
                connection,
                "SELECT executor, seen_at FROM run_workers WHERE executor <> :executor",
                executor=self._processes.name,
            )
        return [row["executor"] for row in known if self._is_dead(row["executor"], row["seen_at"])]

    async def forget(self, executor: str) -> None:
        """Its runs are taken over."""
        async with self._database.writing() as connection:
            await counted(connection, "DELETE FROM run_workers WHERE executor = :executor", executor=executor)

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

    def _is_dead(self, executor: str, seen_at: float) -> bool:
        alive = self._processes.is_alive(executor)
        return not alive if alive is not None else seen_at < self._clock() - self._lease_s
