"""Checks that a test's services left no task running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def nothing_left_behind() -> AsyncIterator[None]:
    """Around everything else: at its end, no task may be left that was not there before."""
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)
