"""Writes that wait for one thread are done in groups, so that reads never queue behind them all."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_MOST_AT_ONCE = 8


class WriteGroups(Generic[Item, Outcome]):
    """Hands waiting items to `write` on the executor, a group at a time.

    The next group joins the executor's queue when the one before it is done: whatever was submitted
    to the executor meanwhile comes first. A group is one transaction, and costs little more than one write.
    """

    def __init__(self, executor: Executor, write: Callable[[list[Item]], list[Outcome]]) -> None:
        """`write` says of each item what became of it, and raises nothing."""
        self._executor = executor
        self._write = write
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._turns: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> Outcome:
        """What became of the item, once it is written."""
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, told))
        if self._turns is None or self._turns.done():
            self._turns = asyncio.create_task(self._take_turns())
        return await told

    async def settled(self) -> None:
        """Return when nothing waits to be written."""
        while self._turns is not None and not self._turns.done():
            await asyncio.wait([self._turns])

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
            outcomes = await loop.run_in_executor(self._executor, self._write, [item for item, _ in group])
            for (_, told), outcome in zip(group, outcomes, strict=True):
                if not told.done():  # whoever put it may have left
                    told.set_result(outcome)
