"""Work that goes on beside requests, and ends with the service."""

import asyncio
import contextlib
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any


def keep_running(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` until the stack closes; then it is cancelled and waited for."""
    task = asyncio.create_task(work)

    async def stopped() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stopped)
