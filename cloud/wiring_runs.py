"""Opens the store of runs, and what goes on with them when a process has died."""

import asyncio
import time
from contextlib import AsyncExitStack

from cloud.adapters.database import Database
from cloud.adapters.dbos_runs import DbosRuns, open_dbos_runs
from cloud.adapters.processes import Processes
from cloud.adapters.run_workers import RunWorkers
from cloud.adapters.sql_run_history import RunsWithHistory
from cloud.adapters.task_runs import TaskRuns
from cloud.background import keep_running
from cloud.ports import RunWork
from cloud.settings import CloudSettings
from cloud.wire.service.observe import Log

_SWEEP_S = 600.0


async def open_runs(
    settings: CloudSettings,
    work: RunWork,
    database: Database,
    processes: Processes,
    log: Log,
    stack: AsyncExitStack,
) -> DbosRuns | TaskRuns:
    if not settings.durable_runs:
        runs = TaskRuns(work)
        stack.push_async_callback(runs.close)
        return runs
    workers = RunWorkers(database, processes, lease_s=settings.run_worker_lease_s)
    durable = await stack.enter_async_context(
        open_dbos_runs(
            work,
            database_url=settings.database,
            runs_file=settings.data_dir / "runs.db",
            executor=processes.name,
            executes=settings.process_role != "api",
            at_once=settings.max_runs_at_once,
        )
    )
    if settings.process_role != "api":
        await workers.beat()  # before the first run is taken up: its process must be known to die
        keep_running(stack, workers.watch(durable.take_over))
        keep_running(stack, sweep_runs(durable, settings.run_ttl_s, log))
    return durable


async def sweep_runs(runs: DbosRuns | RunsWithHistory, ttl_s: float, log: Log) -> None:
    """Forgets runs, over and over, once they are older than `ttl_s` seconds."""
    while True:
        await asyncio.sleep(_SWEEP_S)
        try:
            await runs.drop_before(time.time() - ttl_s)
        except Exception as error:  # tried again; what is too old stays a while longer
            log.event("runs_not_swept", error=type(error).__name__)
