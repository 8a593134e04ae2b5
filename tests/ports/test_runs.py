"""Runs, as tasks of this process and as DBOS's workflows on both databases: one suite for all."""

import asyncio
import base64
import pickle
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud.adapters.dbos_runs import DbosRuns, open_dbos_runs
from cloud.adapters.task_runs import TaskRuns
from cloud.domain import ToolResult
from cloud.domain_runs import Failure, ModelStep, RunEnd, RunSpec, ToolStep, run_id
from cloud.ports import Journal, RunWork
from cloud.wire.errors import NotFound

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["tasks", "sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def opened(
    kind: str, work: RunWork, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[TaskRuns | DbosRuns]:
    if kind == "tasks":
        runs = TaskRuns(work)
        yield runs
        await runs.close()
        return
    url = f"sqlite:///{tmp_path / 'cloud.db'}"
    if kind == "postgresql":
        from tests.support.databases import new_postgresql_database

        url = new_postgresql_database(request.getfixturevalue("postgresql_server"))
    file = tmp_path / "runs.db"
    async with open_dbos_runs(
        work, database_url=url, runs_file=file, executor="this", executes=True, at_once=8
    ) as durable:
        yield durable


def spec(tenant: str = "acme", user: str | None = "ann", key: str | None = None) -> RunSpec:
    now = time.time()
    return RunSpec(
        id=run_id(tenant, user, key=key),
        tenant=tenant,
        agent="analysis",
        model="m",
        body='{"model":"m","messages":[]}',
        request_id="req_1",
        created_at=now,
        deadline_at=now + 60,
        user=user,
    )


class Work:
    """Two steps; it can be held in the second."""

    def __init__(self) -> None:
        self.done = 0
        self.waiting = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.given_up = 0

    async def __call__(self, spec: RunSpec, journal: Journal) -> RunEnd:
        await journal.once("model analysis", ModelStep, self._model)
        await journal.once("tool analysis", ToolStep, self._tool)
        return RunEnd(agent="analysis", text=f"for {spec.user}", usd=0.5)

    async def _model(self) -> ModelStep:
        self.done += 1
        return ModelStep(agent="analysis", model="m", content="canary-7391")

    async def _tool(self) -> ToolStep:
        self.done += 1
        self.waiting.set()
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return ToolStep(agent="analysis", tool="t", result=ToolResult(text="42"), mark="x")


async def test_a_run_can_be_waited_for_and_looked_at_with_its_steps(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, Work(), tmp_path, request) as runs:
        asked = spec()
        await runs.start(asked)
        end = await runs.end(asked.id)
        assert (end.text, end.usd) == ("for ann", 0.5)
        run = await runs.find("acme", asked.id)
        assert run.status == "completed"
        assert run.spec == asked
        assert [type(one.step) for one in run.steps] == [ModelStep, ToolStep]
        assert isinstance(run.steps[1].step, ToolStep)
        assert run.steps[1].step.result.text == "42"
        assert [one.spec.id for one in await runs.listed("acme", limit=5)] == [asked.id]


async def test_a_run_of_the_same_id_is_begun_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work = Work()
    async with opened(kind, work, tmp_path, request) as runs:
        asked = spec(key="k")
        await runs.start(asked)
        await runs.start(spec(key="k"))
        await runs.end(asked.id)
        await runs.start(spec(key="k"))
        await runs.end(asked.id)
        assert work.done == 2


async def test_another_tenant_sees_nothing_of_a_run(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, Work(), tmp_path, request) as runs:
        asked = spec()
        await runs.start(asked)
        await runs.end(asked.id)
        with pytest.raises(NotFound):
            await runs.find("other", asked.id)
        with pytest.raises(NotFound):
            await runs.cancel("other", asked.id)
        assert await runs.listed("other", limit=5) == ()
        assert await runs.erase("other", "ann") == {"runs": 0}
        assert (await runs.find("acme", asked.id)).status == "completed"


async def test_cancelling_gives_up_the_step_under_way_and_tells_who_waits(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work = Work()
    work.may_go_on.clear()
    async with opened(kind, work, tmp_path, request) as runs:
        asked = spec()
        await runs.start(asked)
        await asyncio.wait_for(work.waiting.wait(), 10)
        waiting = asyncio.create_task(runs.end(asked.id))
        await asyncio.sleep(0.05)
        await runs.cancel("acme", asked.id)
        end = await asyncio.wait_for(waiting, 10)
        assert end.failure is not None
        assert end.failure.code == "run_cancelled"
        cancelled = await runs.find("acme", asked.id)
        assert cancelled.status == "cancelled"
        assert cancelled.end is not None
        assert cancelled.end.failure == end.failure
        async with asyncio.timeout(10):
            while not work.given_up:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["its own end", "a defect"])
async def test_a_run_that_failed_says_why(
    kind: str, how: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    own = Failure(kind="UpstreamBroken", message="cut", status=502)

    async def work(spec: RunSpec, journal: Journal) -> RunEnd:
        if how == "a defect":
            raise ValueError("no")
        return RunEnd(agent="analysis", failure=own)

    async with opened(kind, work, tmp_path, request) as runs:
        asked = spec()
        await runs.start(asked)
        told = (await runs.end(asked.id)).failure
        assert told is not None
        assert told == own if how == "its own end" else told.code == "run_failed"
        run = await runs.find("acme", asked.id)
        assert run.status == "failed"
        assert run.end is not None
        assert run.end.failure is not None
        assert run.end.failure.code == told.code


async def test_erasing_a_person_leaves_nothing_of_their_runs_and_others_theirs(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, Work(), tmp_path, request) as runs:
        hers, his = spec(), spec(user="bob")
        for one in (hers, his):
            await runs.start(one)
            await runs.end(one.id)
        exported = [record async for record in runs.export("acme", "ann")]
        assert len(exported) == 1
        assert "canary-7391" in str(exported)
        assert await runs.erase("acme", "ann") == {"runs": 1}
        assert await runs.erase("acme", "bob") == {"runs": 1}
        with pytest.raises(NotFound):
            await runs.find("acme", hers.id)
        if kind == "sqlite":
            for file in tmp_path.glob("runs.db*"):
                assert b"canary-7391" not in file.read_bytes()


async def test_what_was_planted_as_a_pickle_is_not_run(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    class Planted:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "planted",)

    async with opened("sqlite", Work(), tmp_path, request) as runs:
        asked = spec()
        await runs.start(asked)
        await runs.end(asked.id)
        planted = base64.b64encode(pickle.dumps(Planted())).decode()
        with sqlite3.connect(tmp_path / "runs.db") as connection:
            connection.execute(
                "UPDATE workflow_status SET output = ?, serialization = 'py_pickle'", (planted,)
            )
        with pytest.raises(Exception):  # noqa: B017 - whichever way it is refused
            await runs.find("acme", asked.id)
        assert not (tmp_path / "planted").exists()
