"""Group commit: writes that wait for SQLite's one writer at the same time share a transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
"""Reads and writes over the connection and changes nothing else: it is done again where it shared a
transaction with one that failed."""

_MOST_IN_ONE: Final = 64
"""Writes of one transaction: others, in this process or another, wait no longer than for these."""


@dataclass(kw_only=True, slots=True)
class _Write:
    work: Work[Any]
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    value: Any = None
    error: Exception | None = None


class _Left(Exception):
    """Whoever asked for a write left before it was committed."""


class GroupCommit:
    """Carries out writes one after another, as many as wait in one transaction.

    What a commit costs, waiting for the disk, is shared by all of them (DeWitt et al. 1984). Each is told how
    it went only once the transaction is durable: those that failed as well, since they may have seen what
    the others wrote.
    """

    def __init__(self, transaction: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        """`transaction`: durable once it ends normally, undone when it raises."""
        self._transaction = transaction
        self._waiting: deque[_Write] = deque()
        self._carrying: asyncio.Task[None] | None = None

    async def write(self, work: Work[T]) -> T:
        """What `work` gives, durable; nothing where it raises or its caller leaves before the commit."""
        asked = _Write(work=work)
        self._waiting.append(asked)
        if self._carrying is None:
            self._carrying = asyncio.create_task(self._carry_out())
        value: T = await asked.done
        return value

    async def close(self) -> None:
        """Gives up what is under way; nobody may wait for it any more."""
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.gather(self._carrying, return_exceptions=True)

    async def _carry_out(self) -> None:
        try:
            while self._waiting:
                await self._one_transaction()
        finally:
            self._carrying = None
            for asked in self._waiting:  # only where it was cancelled
                asked.done.cancel()

    async def _one_transaction(self) -> None:
        """Without savepoints first, which would cost each write two statements more: few ever fail."""
        group: list[_Write] = []
        try:
            async with self._transaction() as connection:
                while self._waiting and len(group) < _MOST_IN_ONE:
                    asked = self._waiting.popleft()
                    if not asked.done.done():
                        group.append(asked)
                        asked.value = await asked.work(connection)
                _all_wanted(group)
        except asyncio.CancelledError:
            for asked in group:
                asked.done.cancel()
            raise
        except Exception as error:
            if len(group) > 1:
                await self._apart(group)
                return
            # Who could not even begin is told, too: it is why they wait.
            _tell(group or self._drained(), error)
        else:
            _tell(group)

    async def _apart(self, group: Sequence[_Write]) -> None:
        """Once more, each so that it fails alone; without those whose callers have left."""
        while group := [asked for asked in group if not asked.done.done()]:
            try:
                async with self._transaction() as connection:
                    for asked in group:
                        await _in_savepoint(connection, asked)
                    _all_wanted(group)
            except asyncio.CancelledError:
                for asked in group:
                    asked.done.cancel()
                raise
            except _Left:
                continue
            except Exception as error:
                _tell(group, error)
            else:
                _tell(group)

    def _drained(self) -> list[_Write]:
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting


def _tell(group: Sequence[_Write], error: Exception | None = None) -> None:
    """How each went; `error` where nothing of the group was kept."""
    for asked in group:
        failed = error or asked.error
        if asked.done.done():
            continue  # its caller has left
        if failed is not None:
            asked.done.set_exception(failed)
        else:
            asked.done.set_result(asked.value)


def _all_wanted(group: Sequence[_Write]) -> None:
    """The last moment to leave: from here on the transaction is committed."""
    if any(asked.done.done() for asked in group):
        raise _Left


async def _in_savepoint(connection: AsyncConnection, asked: _Write) -> None:
    """Raises only where the whole transaction is lost, as SQLite's is by a full disk."""
    asked.error = None
    try:
        async with connection.begin_nested():
            try:
                asked.value = await asked.work(connection)
            except Exception as error:
                asked.error = error  # going back to the savepoint may raise another in its place
                raise
    except Exception as error:
        raw = await connection.get_raw_connection()
        cause = asked.error or error
        if raw.driver_connection is None or not raw.driver_connection.in_transaction:
            raise cause from error
        asked.error = cause
