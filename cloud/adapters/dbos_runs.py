"""Durable runs on DBOS Transact: each step is recorded before the next begins, in SQLite or PostgreSQL.

A process that dies leaves its runs to others, or to itself when it comes back (`run_workers.py`); they go
on after the last step that was recorded. DBOS allows one instance in a process, so does this module.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from dbos import DBOS, Serializer, SetWorkflowID, _serialization
from dbos._error import DBOSAwaitedWorkflowCancelledError, DBOSWorkflowCancelledError
from sqlalchemy import event, make_url

from cloud.domain_runs import (
    CANCELLED,
    ENDED,
    ModelStep,
    Run,
    RunEnd,
    RunSpec,
    RunStatus,
    RunStep,
    ToolStep,
    lost,
    prefix_of,
    run_of,
)
from cloud.ports import RunWork
from cloud.wire.errors import NotFound, UpstreamUnavailable
from cloud.wire.service.settings import StartUpError

T = TypeVar("T")
_QUEUE = "runs"
_VERSION = "runs-1"
"""Of the way runs are recorded: processes of the same one can take up each other's."""
_POLL_S = 0.1
_STATUS: Mapping[str, RunStatus] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "in_progress",
    "SUCCESS": "completed",
    "CANCELLED": "cancelled",
}


class DbosRuns:
    """The ports Runs and Erasable. Open with `open_dbos_runs`."""

    kinds: frozenset[str] = frozenset({"run"})

    def __init__(self, begin: Callable[..., Any], engine: sa.Engine, *, executes: bool) -> None:
        self._begin = begin
        self._engine = engine
        self._executes = executes

    async def start(self, spec: RunSpec) -> None:
        with SetWorkflowID(spec.id):
            given = msgspec.to_builtins(spec)
            if self._executes:
                await DBOS.start_workflow_async(self._begin, given)
            else:
                await DBOS.enqueue_workflow_async(_QUEUE, self._begin, given)

    async def end(self, run: str) -> RunEnd:
        handle: Any = await DBOS.retrieve_workflow_async(run)
        try:
            return msgspec.convert(await handle.get_result(polling_interval_sec=_POLL_S), RunEnd)
        except (DBOSAwaitedWorkflowCancelledError, DBOSWorkflowCancelledError):
            return RunEnd(agent="", failure=CANCELLED)
        except RunLost as error:
            return RunEnd(agent="", failure=lost(str(error)))

    async def find(self, tenant: str, run: str) -> Run:
        if not run.startswith(prefix_of(tenant)):
            raise NotFound(f"there is no run `{run}`")
        found = await DBOS.list_workflows_async(workflow_ids=[run])
        runs = [one for one in map(_run, found) if one.spec.tenant == tenant]
        if not runs:
            raise NotFound(f"there is no run `{run}`")
        return msgspec.structs.replace(runs[0], steps=await _steps(run))

    async def listed(self, tenant: str, *, limit: int, user: str | None = None) -> tuple[Run, ...]:
        found = await DBOS.list_workflows_async(
            workflow_id_prefix=prefix_of(tenant, user), sort_desc=True, limit=limit
        )
        mine = [one for one in map(_run, found) if one.spec.tenant == tenant]
        return tuple(one for one in mine if user is None or one.spec.user == user)

    async def cancel(self, tenant: str, run: str) -> None:
        if (await self.find(tenant, run)).status not in ENDED:
            await DBOS.cancel_workflow_async(run)

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        mine = await self._all(tenant, user)
        ids = [one.spec.id for one in mine]
        if ids:
            await DBOS.cancel_workflows_async([one.spec.id for one in mine if one.status not in ENDED])
            await DBOS.delete_workflows_async(ids)
            await asyncio.to_thread(_scrub, self._engine)
        return {"runs": len(ids)}

    async def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        for one in await self._all(tenant, user):
            run = msgspec.structs.replace(one, steps=await _steps(one.spec.id))
            yield {"kind": "run", **msgspec.to_builtins(run)}

    async def restore(self, tenant: str, user: str, records: Sequence[Mapping[str, Any]]) -> int:
        """Nothing: what an import brings is history, not work to be done (`sql_run_history.py`)."""
        return 0

    async def drop_before(self, moment: float) -> int:
        """Forget ended runs that were begun before `moment`, Unix time in seconds; how many."""
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
        old = await DBOS.list_workflows_async(
            end_time=until,
            status=["SUCCESS", "ERROR", "CANCELLED"],
            load_input=False,
            load_output=False,
            limit=1000,
        )
        if old:
            await DBOS.delete_workflows_async([one.workflow_id for one in old])
            await asyncio.to_thread(_scrub, self._engine)
        return len(old)

    async def take_over(self, executor: str) -> None:
        """Let the runs go on that a process left when it died."""
        # No method of the public interface names dead executors; this one is idempotent, which matters here.
        await asyncio.to_thread(DBOS._recover_pending_workflows, [executor])

    async def _all(self, tenant: str, user: str) -> list[Run]:
        found: list[Run] = []
        while True:
            page = await DBOS.list_workflows_async(
                workflow_id_prefix=prefix_of(tenant, user), limit=500, offset=len(found)
            )
            found += map(_run, page)
            if len(page) < 500:
                return [one for one in found if one.spec.tenant == tenant and one.spec.user == user]


class RunLost(Exception):
    """A run that DBOS itself gave up."""


class _Steps:
    """The port Journal, in the workflow that is under way."""

    async def once(self, name: str, kind: type[T], work: Callable[[], Awaitable[T]]) -> T:
        async def step() -> Any:
            return msgspec.to_builtins(await work())

        # A cancelled run gives up the step it is in, and with it the upstream's connection.
        done = await DBOS.run_step_async({"name": name, "preemptible": True}, step)
        return msgspec.convert(done, kind)


class _Json(Serializer):
    """What DBOS keeps is JSON. Its own way is pickle, which would run what somebody planted."""

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):
            data = {"run_lost": f"{type(data).__name__}: {data}"[:500]}
        return msgspec.json.encode(data).decode()

    def deserialize(self, serialized_data: str) -> Any:
        data = msgspec.json.decode(serialized_data)
        if isinstance(data, dict) and data.keys() == {"run_lost"}:
            return RunLost(data["run_lost"])
        return data

    def name(self) -> str:
        return "json"


@asynccontextmanager
async def open_dbos_runs(
    work: RunWork, *, database_url: str, runs_file: Path, executor: str, executes: bool, at_once: int
) -> AsyncIterator[DbosRuns]:
    """On the PostgreSQL of `database_url`, or in `runs_file`.

    `executor` names this process among all, alive or dead; only one that `executes` takes runs up.
    """
    engine = _engine(database_url, runs_file)

    async def run(given: dict[str, Any]) -> Any:
        return msgspec.to_builtins(await work(msgspec.convert(given, RunSpec), _Steps()))

    # A row may say that it was pickled: nothing here is ever read that way.
    _serialization.DBOSDefaultSerializer = _Json()
    DBOS(
        config={
            "name": "wayside",
            "system_database_url": engine.url.render_as_string(hide_password=False),
            "system_database_engine": engine,
            "executor_id": executor,
            "application_version": _VERSION,
            "serializer": _Json(),
            "log_level": "CRITICAL",
            "notification_listener_polling_interval_sec": 1.0,
        }
    )
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    begin = DBOS.workflow(name="run", max_recovery_attempts=1000)(run)
    if not executes:
        DBOS.listen_queues([])
    try:
        DBOS.launch()  # in this thread: DBOS then runs what it takes up in this event loop
        await asyncio.to_thread(
            partial(DBOS.register_queue, _QUEUE, worker_concurrency=at_once, polling_interval_sec=0.2)
        )
    except Exception as error:
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        raise StartUpError(f"cannot open the store of runs: {type(error).__name__}: {error}") from error
    try:
        yield DbosRuns(begin, engine, executes=executes)
    finally:
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        engine.dispose()


def _engine(database_url: str, runs_file: Path) -> sa.Engine:
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_size=8, max_overflow=8)
    runs_file.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{runs_file.absolute()}")

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "busy_timeout = 30000",
            "foreign_keys = ON",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _scrub(engine: sa.Engine) -> None:
    """What was deleted leaves the write-ahead log, too."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _run(status: Any) -> Run:
    try:
        spec = msgspec.convert(status.input["args"][0], RunSpec)
    except (TypeError, KeyError, IndexError, msgspec.ValidationError) as error:
        raise UpstreamUnavailable(f"the run `{status.workflow_id}` cannot be read") from error
    return run_of(
        spec,
        status=_STATUS.get(status.status, "failed"),
        updated_at=(status.updated_at or 0) / 1000,
        end=msgspec.convert(status.output, RunEnd) if status.status == "SUCCESS" else None,
        lost_by=str(status.error or status.status),
    )


async def _steps(run: str) -> tuple[RunStep, ...]:
    recorded = await DBOS.list_workflow_steps_async(run)
    return tuple(
        RunStep(
            number=number,
            started_at=(one["started_at_epoch_ms"] or 0) / 1000,
            ended_at=(one["completed_at_epoch_ms"] or 0) / 1000,
            step=msgspec.convert(one["output"], ModelStep | ToolStep),
        )
        for number, one in enumerate(recorded, start=1)
        if isinstance(one["output"], dict)
    )
