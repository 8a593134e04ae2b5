"""The sandbox: other people's SQL reaches no file, no network, no other job, and cannot stay."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud.tools.sandbox import Sandbox, open_sandbox
from cloud.tools.sandbox_jobs import Chart, ChartJob, Failed, Outcome, QueryJob, Rows, TableData

pytestmark = pytest.mark.anyio

SALES = TableData(
    name="sales",
    columns=("region", "amount", "day"),
    rows=(("North", "0.1", "2024-01-02"), ("North", "0.2", "2024-03-01"), ("South", None, "2024-03-01")),
)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with open_sandbox(tmp_path, processes=1) as opened:
        yield opened


async def query(sandbox: Sandbox, sql: str, *, timeout_s: float = 10.0, **limits: int) -> Outcome:
    job = QueryJob(
        tables=(SALES,),
        sql=sql,
        timeout_s=timeout_s,
        max_rows=limits.get("max_rows", 100),
        max_bytes=limits.get("max_bytes", 10_000),
    )
    return await sandbox.run(job, timeout_s=timeout_s)


async def rows(sandbox: Sandbox, sql: str) -> tuple[tuple[object, ...], ...]:
    outcome = await query(sandbox, sql)
    assert isinstance(outcome, Rows), outcome
    return outcome.rows


async def test_sums_of_decimals_are_exact(sandbox: Sandbox) -> None:
    sql = "SELECT region, sum(amount), count(*) FROM sales GROUP BY region ORDER BY region"
    assert await rows(sandbox, sql) == (("North", "0.3", 2), ("South", None, 1))


async def test_values_without_a_word_in_json_are_text(sandbox: Sandbox) -> None:
    sql = "SELECT max(day), TIMESTAMP '2024-01-01 10:00:00', [1, 2], 2::HUGEINT ** 100, true, 1.5::DOUBLE FROM sales"
    ((day, timestamp, numbers, _, truth, real),) = await rows(sandbox, sql)
    assert (day, timestamp, numbers, truth, real) == (
        "2024-03-01",
        "2024-01-01 10:00:00",
        "[1, 2]",
        True,
        1.5,
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM read_parquet('https://127.0.0.1/x.parquet')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/wayside-escape.csv'",
        "COPY sales FROM '/etc/passwd'",
        "ATTACH '/tmp/wayside-escape.db'",
        "ATTACH ':memory:' AS other",
        "EXPORT DATABASE '/tmp/wayside-escape'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "FORCE INSTALL sqlite",
        "PRAGMA database_list",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "CREATE SECRET s (TYPE s3)",
        "SELECT getenv('PATH')",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO sales VALUES ('x', 1, NULL)",
        "UPDATE sales SET amount = 1",
        "DELETE FROM sales",
        "DROP TABLE sales",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE SELECT 1",
        "CHECKPOINT",
        "SELECT 1; DROP TABLE sales",
        "SELECT * FROM query('DROP TABLE sales')",
        "WITH x AS (DELETE FROM sales RETURNING *) SELECT * FROM x",
        "",
        "SELEC 1",
    ],
)
async def test_nothing_but_one_select_over_the_tables_is_run(sandbox: Sandbox, sql: str) -> None:
    assert isinstance(await query(sandbox, sql), Failed)
    assert not Path("/tmp/wayside-escape.csv").exists()
    assert await rows(sandbox, "SELECT count(*) FROM sales") == ((3,),)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b",
        "WITH RECURSIVE r AS (SELECT 1 x UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r",
    ],
)
async def test_a_runaway_query_ends_and_the_loop_goes_on(sandbox: Sandbox, sql: str) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    outcome = await query(sandbox, sql, timeout_s=0.5)
    ticking.cancel()
    assert isinstance(outcome, Failed)
    assert "longer than 0.5 s" in outcome.message
    assert ticks > 5
    assert await rows(sandbox, "SELECT 1") == ((1,),)


async def test_a_query_cannot_take_all_memory(sandbox: Sandbox) -> None:
    for sql in ("SELECT len(repeat('x', 3000000000))", "SELECT list(range) FROM range(1000000000)"):
        assert isinstance(await query(sandbox, sql), Failed)
    assert await rows(sandbox, "SELECT 1") == ((1,),)


async def test_a_child_that_dies_is_replaced(sandbox: Sandbox) -> None:
    await rows(sandbox, "SELECT 1")
    (child,) = sandbox.pids
    os.kill(child, 9)
    await query(sandbox, "SELECT 1")  # may meet the dead one
    assert await rows(sandbox, "SELECT 1") == ((1,),)


async def test_who_stops_waiting_gets_no_other_jobs_answer_later(sandbox: Sandbox) -> None:
    late = asyncio.create_task(
        query(sandbox, "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b")
    )
    await asyncio.sleep(0.5)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert await rows(sandbox, "SELECT 7") == ((7,),)


async def test_results_are_cut_by_rows_and_by_size(sandbox: Sandbox) -> None:
    by_rows = await query(sandbox, "SELECT * FROM range(1000)", max_rows=10)
    by_size = await query(sandbox, "SELECT repeat('x', 100) FROM range(1000)", max_bytes=1_000)
    assert isinstance(by_rows, Rows)
    assert isinstance(by_size, Rows)
    assert (len(by_rows.rows), by_rows.is_cut) == (10, True)
    assert (len(by_size.rows), by_size.is_cut) == (10, True)


async def test_one_job_leaves_nothing_for_the_next(sandbox: Sandbox) -> None:
    await rows(sandbox, "SELECT count(*) FROM sales")
    job = QueryJob(tables=(), sql="SELECT * FROM sales", timeout_s=5, max_rows=1, max_bytes=100)
    assert isinstance(await sandbox.run(job, timeout_s=5), Failed)


@pytest.mark.parametrize("kind", ["bar", "line", "scatter", "histogram"])
async def test_charts_are_drawn(sandbox: Sandbox, kind: str) -> None:
    for form, magic in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        job = ChartJob(
            kind=kind,
            format=form,
            title="Costs in $x$ & <more>",
            labels=("region", "a", "b"),
            x=("North", "South"),
            series=((1.0, 2.0), (3.0, None)),
        )
        chart = await sandbox.run(job, timeout_s=60)
        assert isinstance(chart, Chart)
        assert chart.content.startswith(magic)


async def test_all_children_end_with_the_sandbox(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path, processes=1) as sandbox:
        await rows(sandbox, "SELECT 1")
        (child,) = sandbox.pids
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_a_child_does_not_outlive_a_cloud_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from cloud.tools.sandbox import open_sandbox\n"
        "from cloud.tools.sandbox_jobs import QueryJob\n"
        "async def main():\n"
        "    async with open_sandbox(Path(sys.argv[1])) as sandbox:\n"
        "        job = QueryJob(tables=(), sql='SELECT 1', timeout_s=5, max_rows=1, max_bytes=9)\n"
        "        await sandbox.run(job, timeout_s=5)\n"
        "        print(*sandbox.pids, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(30):
        while Path(f"/proc/{child}").exists() and "Z" not in _state(child):
            await asyncio.sleep(0.05)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
