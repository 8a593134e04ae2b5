"""Opens the ledger, and has what it gathers written."""

import asyncio
from contextlib import AsyncExitStack

from cloud.adapters.database import Database
from cloud.adapters.sql_ledger import FLUSH_S, SqlLedger
from cloud.background import keep_running
from cloud.wire.service.observe import Log


async def open_ledger(database: Database, log: Log, stack: AsyncExitStack) -> SqlLedger:
    ledger = SqlLedger(database)

    async def flush() -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await ledger.flush()
            except Exception as error:  # it is still gathered: the next time, then
                log.event("usage_not_written", error=type(error).__name__)

    stack.push_async_callback(ledger.flush)  # after the last of it: the stack closes backwards
    keep_running(stack, flush())
    return ledger
