"""Imported runs: read like the others, given out the same, never gone on with."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from cloud.adapters.database import Database, open_database
from cloud.adapters.sql_run_history import RunsWithHistory
from cloud.adapters.task_runs import TaskRuns
from cloud.domain import Artifact, ToolResult
from cloud.domain_runs import ModelStep, RunEnd, RunSpec, ToolStep, run_id
from cloud.ports import Erasable, Journal
from cloud.wire.errors import InvalidRequest, NotFound

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


def spec(created_at: float, *, user: str = "ada", tenant: str = "acme", body: str = "{}") -> RunSpec:
    return RunSpec(
        id=run_id(tenant, user),
        tenant=tenant,
        agent="analysis",
        model="m",
        body=body,
        request_id="req_1",
        created_at=created_at,
        deadline_at=created_at + 60,
        user=user,
    )


async def work(asked: RunSpec, journal: Journal) -> RunEnd:
    async def model() -> ModelStep:
        return ModelStep(agent="analysis", model="m", content="canary")

    async def tool() -> ToolStep:
        chart = Artifact(name="chart.png", media_type="image/png", content=b"\x89PNG\x00")
        return ToolStep(agent="analysis", tool="t", result=ToolResult(text="r", artifacts=(chart,)), mark="x")

    await journal.once("model", ModelStep, model)
    await journal.once("tool", ToolStep, tool)
    if asked.body == "hold":
        await asyncio.Event().wait()
    return RunEnd(agent="analysis", text="done")


async def records_of(*stores: Erasable, user: str = "ada") -> list[Any]:
    return [record for store in stores async for record in store.export("acme", user)]


async def test_an_export_is_taken_back_once_read_like_any_run_and_exported_the_same(
    database: Database,
) -> None:
    here = TaskRuns(work)
    history = RunsWithHistory(here, database)
    told = [spec(1.0), spec(2.0), spec(3.0, user="bob")]
    for one in told:
        await history.start(one)
        await history.end(one.id)
    before = await records_of(here, history)
    found = await history.find("acme", told[0].id)
    assert await history.restore("acme", "ada", before) == 0, "they are here"

    assert await here.erase("acme", "ada") == {"runs": 2}
    as_json = msgspec.json.decode(msgspec.json.encode(before))
    assert [await history.restore("acme", "ada", as_json) for _ in range(2)] == [2, 0]
    assert await records_of(here, history) == before
    assert await history.find("acme", told[0].id) == found
    assert found.artifacts[0].content == b"\x89PNG\x00"
    listed = await history.listed("acme", limit=9)
    assert [run.spec.created_at for run in listed] == [3.0, 2.0, 1.0]
    assert [run.spec.created_at for run in await history.listed("acme", limit=1, user="ada")] == [2.0]
    await history.cancel("acme", told[0].id)
    assert (await history.find("acme", told[0].id)).status == "completed", "it has ended"

    assert await history.erase("acme", "ada") == {"imported_runs": 2}
    assert await records_of(here, history) == []
    with pytest.raises(NotFound):
        await history.find("acme", told[0].id)


async def test_a_run_that_was_under_way_and_another_persons_are_not_taken_back(database: Database) -> None:
    here = TaskRuns(work)
    await here.start(spec(1.0, body="hold"))
    await asyncio.sleep(0)
    under_way = await records_of(here)
    await here.close()
    history = RunsWithHistory(TaskRuns(work), database)
    assert await history.restore("acme", "ada", under_way) == 0
    with pytest.raises(InvalidRequest, match="not of `bob`"):
        await history.restore("acme", "bob", under_way)
    with pytest.raises(InvalidRequest, match="not a run"):
        await history.restore("acme", "ada", [{"kind": "run", "status": "completed"}])


async def test_an_imported_run_is_the_importing_tenants_and_nobody_elses(database: Database) -> None:
    here = TaskRuns(work)
    one = spec(1.0, tenant="zeta")
    await here.start(one)
    await here.end(one.id)
    records = [record async for record in here.export("zeta", "ada")]
    history = RunsWithHistory(TaskRuns(work), database)
    assert await history.restore("acme", "ada", records) == 1
    assert (await history.find("acme", one.id)).spec.tenant == "acme"
    with pytest.raises(NotFound):
        await history.find("zeta", one.id)
    assert await history.listed("zeta", limit=9) == ()


async def test_imported_runs_are_forgotten_as_old_as_others(database: Database) -> None:
    here = TaskRuns(work)
    for at in (1.0, 5.0):
        one = spec(at)
        await here.start(one)
        await here.end(one.id)
    history = RunsWithHistory(TaskRuns(work), database)
    assert await history.restore("acme", "ada", await records_of(here)) == 2
    assert await history.drop_before(3.0) == 1
    assert [run.spec.created_at for run in await history.listed("acme", limit=9)] == [5.0]
