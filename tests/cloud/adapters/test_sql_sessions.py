"""What only a database can do wrong: full disks, processes killed in mid-write, clocks, two machines."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from cloud.adapters.database import Database, open_database
from cloud.adapters.sql_session_erasure import SqlSessionErasure
from cloud.adapters.sql_sessions import SqlSessions
from cloud.domain_sessions import EXTRACTIVE, Author, Lease, Line, NewTurn, State
from cloud.wire.answers import Usage
from cloud.wire.errors import StorageFull
from tests.support.sessions import AllOfSessions

pytestmark = pytest.mark.anyio


def said(content: str) -> NewTurn:
    return NewTurn(document=msgspec.json.encode({"role": "user", "content": content}), tokens=10)


def sessions(database: Database, *, lease_s: float = 15) -> AllOfSessions:
    return AllOfSessions(database, lease_s=lease_s, compaction_at=0.7)


async def append(store: SqlSessions, *contents: str, limit: int = 100) -> int:
    lease = await taken(store)
    return await store.append(
        lease, [said(content) for content in contents], user=None, prompt_tokens=0, limit_tokens=limit
    )


async def taken(store: SqlSessions) -> Lease:
    while (lease := await store.take("acme", "s", user=None)) is None:
        await asyncio.sleep(0.02)
    return lease


HOLDER = """
import asyncio, sys
from cloud.adapters.database import open_database
from cloud.adapters.sql_session_erasure import SqlSessionErasure
from cloud.adapters.sql_sessions import SqlSessions

async def main():
    async with open_database(sys.argv[1]) as database:
        lease = await SqlSessions(database, lease_s=0.6, compaction_at=0.7).take("acme", "s", user=None)
        print("held" if lease else "refused", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_process_frees_its_session_when_its_lease_lapses(database_url: str) -> None:
    async with open_database(database_url) as database:
        store = sessions(database, lease_s=0.6)
        await append(store, "before")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, database_url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"held"
        assert await store.take("acme", "s", user=None) is None
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
        async with asyncio.timeout(10):
            assert await append(store, "after") == 2
        assert [turn.text for turn in await store.turns("acme", "s")] == ["before", "after"]


async def test_a_clock_set_back_does_not_lock_a_session_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'c.db'}") as database:
        store = sessions(database)
        await append(store, "one")
        assert await store.take("acme", "s", user=None) is not None
        now = time.time()
        monkeypatch.setattr("time.time", lambda: now - 1e6)
        assert await append(store, "two") == 2
        turns = await store.turns("acme", "s")
        assert [turn.text for turn in turns] == ["one", "two"]
        assert turns[1].created_at < turns[0].created_at


async def test_on_a_full_disk_nothing_is_half_written(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'c.db'}") as database:
        store = sessions(database)
        for number in range(8):
            await append(store, f"turn {number}")
        window = await store.window("acme", "s")
        async with database.writing() as connection:
            pages = (await connection.execute(text("PRAGMA page_count"))).scalar()
            await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        state = State(version=1, covered_through=4, facts=(Line(text="x" * 9000, seqs=(1,)),))
        with pytest.raises(StorageFull, match="nothing was written"):
            await store.publish("acme", "s", state, replaces=window, state_tokens=5)
        lease = await taken(store)
        with pytest.raises(StorageFull):
            await store.append(
                lease, [said("y"), said("x" * 9000)], user=None, prompt_tokens=0, limit_tokens=100
            )
        assert await store.window("acme", "s") == window
        async with database.writing() as connection:
            await connection.execute(text("PRAGMA max_page_count = 100000"))
        assert await store.publish("acme", "s", state, replaces=window, state_tokens=5)
        await store.append(lease, [said("room again")], user=None, prompt_tokens=0, limit_tokens=100)
        assert [turn.seq for turn in await store.turns("acme", "s")] == list(range(1, 10))


async def test_a_threshold_that_was_lowered_finds_the_sessions_it_now_concerns(database_url: str) -> None:
    async with open_database(database_url) as database:
        await append(sessions(database), "a", "b", "c")
        assert await sessions(database).claim_due(limit=9) == ()
        stricter = AllOfSessions(database, compaction_at=0.2)
        await stricter.mark_due()
        assert await stricter.claim_due(limit=9) == (("acme", "s"),)


@pytest.mark.parametrize(
    ("kept", "author"),
    [
        ('"summarizer":"extractive"', EXTRACTIVE),
        ('"summarizer":"gpt-4o-mini"', Author(by="provider", model="gpt-4o-mini")),
        (
            '"written_by":{"by":"provider","provider":"p","model":"m","usage":{"total_tokens":7}}',
            Author(by="provider", provider="p", model="m", usage=Usage(total_tokens=7)),
        ),
    ],
)
async def test_a_checkpoint_says_who_wrote_it_also_one_of_before_that_had_fields(
    kept: str, author: Author, tmp_path: Path
) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'c.db'}") as database:
        store = sessions(database)
        await append(store, "a", "b")
        state = State(version=1, covered_through=1, facts=(Line(text="a", seqs=(1,)),))
        window = await store.window("acme", "s")
        assert await store.publish("acme", "s", state, replaces=window, state_tokens=5)
        document = '{"version":1,"covered_through":1,"facts":[{"text":"a","seqs":[1]}],' + kept + "}"
        async with database.writing() as connection:
            await connection.execute(
                text("UPDATE session_states SET document = :document"), {"document": document}
            )
        told = (await store.window("acme", "s")).state
        assert told == msgspec.structs.replace(state, written_by=author)


async def test_what_looks_like_sql_is_text(database_url: str) -> None:
    async with open_database(database_url) as database:
        store = sessions(database)
        nasty = "'); DROP TABLE turns; -- :tenant %s {x} \\"
        await append(store, nasty)
        assert [turn.text for turn in await store.turns("acme", "s")] == [nasty]
        assert await store.turns("acme' OR '1'='1", "s") == ()


async def test_a_person_is_exported_and_erased_with_what_was_derived_from_them(database_url: str) -> None:
    async with open_database(database_url) as database:
        store = sessions(database)

        erasure = SqlSessionErasure(database, compaction_at=0.7)

        async def exchange(session: str, user: str | None, content: str) -> None:
            lease = await store.take("acme", session, user=user)
            assert lease is not None
            await store.append(lease, [said(content)] * 2, user=user, prompt_tokens=0, limit_tokens=50)

        await exchange("hers", "ada", "canary one")
        await exchange("hers", None, "canary two")
        await exchange("shared", "bob", "bob was here")
        await exchange("shared", "ada", "canary three")
        await exchange("his", "bob", "bob alone")
        state = State(version=1, covered_through=4, facts=(Line(text="canary four", seqs=(3,)),))
        window = await store.window("acme", "shared")
        assert await store.publish("acme", "shared", state, replaces=window, state_tokens=5)
        window = await store.window("acme", "shared")
        under_way = await store.take("acme", "shared", user="bob")
        assert under_way is not None

        records = [record async for record in erasure.export("acme", "ada")]
        assert (records[0]["kind"], records[0]["session"]) == ("session", "hers")
        told = [(record["kind"], record["session"], record["seq"]) for record in records[1:]]
        hers = [("turn", "hers", seq) for seq in (1, 2, 3, 4)]
        assert told == [*hers, ("turn", "shared", 3), ("turn", "shared", 4)]
        assert await erasure.erase("zeta", "ada") == {"sessions": 0, "turns": 0, "session_states": 0}
        assert await erasure.erase("acme", "ada") == {"sessions": 1, "turns": 6, "session_states": 1}
        assert [record async for record in erasure.export("acme", "ada")] == []
        assert [turn.text for turn in await store.turns("acme", "shared")] == ["bob was here"] * 2
        assert (await store.session("acme", "his")).turns == 2
        assert not await store.renew(under_way), "its prompt may have held what is erased"
        late = State(version=2, covered_through=4, facts=(Line(text="canary five", seqs=(3,)),))
        assert not await store.publish("acme", "shared", late, replaces=window, state_tokens=5)
        anew = await store.window("acme", "shared")
        assert (anew.state.is_empty, anew.state.covered_through) == (True, 0)
        fresh = State(version=anew.state.version + 1, covered_through=1, facts=(Line(text="bob", seqs=(1,)),))
        assert await store.publish("acme", "shared", fresh, replaces=anew, state_tokens=5)
