"""Writes that share a transaction: none waits for the disk alone, none pays for another's failure."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.adapters.database import Database, open_database
from cloud.adapters.group_commit import Work
from cloud.wire.errors import StorageFull

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'c.db'}") as opened:
        async with opened.writing() as connection:
            await connection.execute(text("CREATE TABLE kept (n INTEGER PRIMARY KEY, said TEXT)"))
        yield opened


def keeping(number: int, said: str = "") -> Work[int]:
    async def write(connection: AsyncConnection) -> int:
        await connection.execute(text("INSERT INTO kept VALUES (:n, :said)"), {"n": number, "said": said})
        return number

    return write


async def kept(database: Database) -> list[int]:
    async with database.reading() as connection:
        return list(await connection.scalars(text("SELECT n FROM kept ORDER BY n")))


async def test_writes_that_wait_at_once_are_committed_together(database: Database) -> None:
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    async with database.writing():  # somebody has the lock: the others gather
        writes = [asyncio.create_task(database.write(keeping(number))) for number in range(20)]
        await asyncio.sleep(0)
        event.listen(database._engine.sync_engine, "commit", count)
    assert await asyncio.gather(*writes) == list(range(20))
    assert commits == 2, "the lock's holder, and all who waited"
    assert await kept(database) == list(range(20))


async def test_one_that_fails_takes_no_other_with_it_and_leaves_nothing(database: Database) -> None:
    async def fails(connection: AsyncConnection) -> None:
        await keeping(50)(connection)
        raise RuntimeError("on its own account")

    told = await asyncio.gather(
        database.write(keeping(1)),
        database.write(fails),
        database.write(keeping(1)),
        database.write(keeping(2)),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in told] == ["int", "RuntimeError", "IntegrityError", "int"]
    assert await kept(database) == [1, 2]


async def test_nobody_is_told_before_it_is_durable(database: Database, tmp_path: Path) -> None:
    let_go = asyncio.Event()

    async def slow(connection: AsyncConnection) -> None:
        await keeping(2)(connection)
        await let_go.wait()

    first, second = asyncio.create_task(database.write(keeping(1))), asyncio.create_task(database.write(slow))
    await asyncio.sleep(0.2)
    assert not first.done(), "what it wrote is not committed yet"
    with sqlite3.connect(tmp_path / "c.db") as another:
        assert another.execute("SELECT n FROM kept").fetchall() == []
    another.close()
    let_go.set()
    await second
    assert await first == 1


async def test_what_somebody_asked_for_who_left_is_not_kept_and_the_rest_is(database: Database) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slow(connection: AsyncConnection) -> None:
        await keeping(2)(connection)
        begun.set()
        await let_go.wait()

    works = (keeping(0), keeping(1), slow, keeping(3), keeping(4))
    writes = [asyncio.create_task(database.write(work)) for work in works]
    await begun.wait()
    for left in writes[1:4]:  # one that was done and not yet committed, one under way, one still waiting
        left.cancel()
    await asyncio.sleep(0)
    let_go.set()
    told = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(one).__name__ for one in told] == ["int", *["CancelledError"] * 3, "int"]
    assert await kept(database) == [0, 4]


async def test_a_full_disk_is_told_to_all_it_took_down_and_the_next_are_kept(database: Database) -> None:
    async with database.writing() as connection:
        pages = await connection.scalar(text("PRAGMA page_count"))
        await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    told = await asyncio.gather(
        database.write(keeping(1)), database.write(keeping(2, "x" * 99_000)), return_exceptions=True
    )
    assert isinstance(told[1], StorageFull)
    assert await kept(database) == [one for one in told if one == 1], "kept is what was told to be"
    async with database.writing() as connection:
        await connection.execute(text("PRAGMA max_page_count = 100000"))
    assert await database.write(keeping(3)) == 3


async def test_another_process_that_writes_is_waited_for(database: Database, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "c.db", isolation_level=None, check_same_thread=False) as another:
        another.execute("BEGIN IMMEDIATE")
        another.execute("INSERT INTO kept VALUES (1, '')")
        writing = asyncio.create_task(database.write(keeping(2)))
        await asyncio.sleep(0.1)
        assert not writing.done()
        another.execute("COMMIT")
    another.close()
    assert await writing == 2
    assert await kept(database) == [1, 2]
