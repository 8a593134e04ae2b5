"""Memories in SQLite or PostgreSQL, each once by its content, superseded by version, deleted for good."""

import time
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.adapters.sql_memory_rows import (
    COLUMNS,
    INSERT,
    OF_OWNER,
    mark_removed,
    memory_of,
    new_id,
    reserve,
    row_of,
)
from cloud.domain_memory import TURNS_OF, Memory, NewMemory, Scope, Stamp, content_hash
from cloud.wire.errors import InvalidRequest, NotFound

_SAME = text(
    "SELECT id, content_hash FROM memories WHERE tenant = :tenant AND scope = :scope AND owner = :owner "
    "AND content_hash IN :hashes"
).bindparams(bindparam("hashes", expanding=True))
_ALIVE = "(expires_at IS NULL OR expires_at > :now)"
_PAGE = 2000


class SqlMemories:
    """The port MemoryStore over one database, and what clients ask of single memories.

    What belongs to another tenant is not there.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is told when there is something new to read."""
        self._database = database
        self._on_change = on_change
        self._clock = clock

    async def add(self, tenant: str, memories: Sequence[NewMemory]) -> tuple[str, ...]:
        """Ids in order, durable when this returns; one that is there already keeps its id."""
        now = self._clock()
        ids: dict[tuple[Scope, str, str], str] = {}
        # Always in one order, so that two batches never wait for each other.
        by_owner: dict[tuple[Scope, str], list[NewMemory]] = {}
        for memory in sorted(memories, key=lambda one: (one.scope, one.owner)):
            by_owner.setdefault((memory.scope, memory.owner), []).append(memory)
        async with self._database.writing() as connection:
            for (scope, owner), theirs in by_owner.items():
                last = await reserve(connection, tenant, scope, owner, count=len(theirs))
                fresh = [
                    _values(tenant, memory, seq=seq, now=now)
                    for seq, memory in enumerate(theirs, start=last - len(theirs) + 1)
                ]
                await connection.execute(INSERT, fresh)
                hashes = sorted({str(one["hash"]) for one in fresh})
                found = await connection.execute(
                    _SAME, {"tenant": tenant, "scope": scope, "owner": owner, "hashes": hashes}
                )
                ids |= {(scope, owner, digest): memory for memory, digest in found.all()}
        self._on_change()
        return tuple(ids[memory.scope, memory.owner, memory.content_hash] for memory in memories)

    async def revise(self, tenant: str, memory: str, new_text: str, *, valid_from: float | None) -> Memory:
        """A version in place of the one that holds, which is kept with the time it held until.

        `memory` is the id of any version; `valid_from` is Unix seconds, now where None. The same text again
        changes nothing. Raises NotFound, and InvalidRequest for a time that is before the version it replaces
        or still to come, or a text that another memory of the owner says.
        """
        async with self._database.writing() as connection:
            known = await _version_that_holds(connection, tenant, memory, self._clock())
            last = await reserve(connection, tenant, known.scope, known.owner, count=2)
            # Read once more behind the lock: another revision may have come first.
            now = self._clock()
            known = await _version_that_holds(connection, tenant, memory, now)
            digest = content_hash(group=known.group, place=known.place, speaker=known.speaker, text=new_text)
            if " ".join(new_text.split()) == " ".join(known.text.split()):
                return known
            latest = max(now, known.said_at)  # a clock that went back must not stop anybody
            since = latest if valid_from is None else valid_from
            if not known.said_at <= since <= latest:
                raise InvalidRequest(
                    "a version holds from a time after the one it replaces, and not from one to come",
                    param="valid_from",
                )
            # The old text may be said again: what makes it one of a kind is given to whoever holds now.
            await counted(
                connection,
                "UPDATE memories SET valid_until = :since, seq = :seq, "
                "content_hash = content_hash || '/' || id WHERE tenant = :tenant AND id = :id",
                since=since,
                seq=last - 1,
                tenant=tenant,
                id=known.id,
            )
            fresh = msgspec.structs.replace(
                known, id=new_id(), text=new_text, said_at=since, valid_until=None, created_at=now
            )
            if not (
                await connection.execute(INSERT, row_of(tenant, fresh, digest=digest, seq=last))
            ).rowcount:
                raise InvalidRequest("another memory of the same owner says just that", param="text")
        self._on_change()
        return fresh

    async def history(self, tenant: str, memory: str) -> tuple[Memory, ...]:
        """All versions of a memory, by the id of any, newest first. Raises NotFound."""
        async with self._database.reading() as connection:
            found = await _lineage(connection, tenant, memory, self._clock())
        return tuple(map(memory_of, found))

    async def stamp(self, tenant: str, scope: Scope, owner: str) -> Stamp:
        """Differs from an earlier one whenever the owner's memories do; one row is read for it."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                f"SELECT incarnation, last_seq, removed FROM memory_owners WHERE {OF_OWNER}",
                tenant=tenant,
                scope=scope,
                owner=owner,
            )
        return Stamp(**found[0]) if found else Stamp()

    async def since(
        self, tenant: str, scope: Scope, owner: str, *, seq: int = 0, limit: int = _PAGE
    ) -> tuple[tuple[int, Memory], ...]:
        """Versions that came or were superseded after `seq`, each with its own, in order."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                f"SELECT seq, {COLUMNS} FROM memories WHERE {OF_OWNER} AND seq > :seq AND {_ALIVE} "
                "ORDER BY seq LIMIT :limit",
                tenant=tenant,
                scope=scope,
                owner=owner,
                seq=seq,
                limit=limit,
                now=self._clock(),
            )
        return tuple((row["seq"], memory_of(row)) for row in found)

    async def ids(self, tenant: str, scope: Scope, owner: str) -> frozenset[str]:
        """Of all versions that are kept."""
        async with self._database.reading() as connection:
            found = await connection.scalars(
                text(f"SELECT id FROM memories WHERE {OF_OWNER}"),
                {"tenant": tenant, "scope": scope, "owner": owner},
            )
            return frozenset(found)

    async def page(self, tenant: str, *, limit: int, after: str = "") -> tuple[Memory, ...]:
        """What holds, by id."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                f"SELECT {COLUMNS} FROM memories WHERE tenant = :tenant AND id > :after AND {_ALIVE} "
                "AND valid_until IS NULL ORDER BY id LIMIT :limit",
                tenant=tenant,
                after=after,
                limit=limit,
                now=self._clock(),
            )
        return tuple(map(memory_of, found))

    async def delete(self, tenant: str, memory: str) -> None:
        """All versions, by the id of any. Raises NotFound."""
        async with self._database.writing() as connection:
            found = await _lineage(connection, tenant, memory, self._clock())
            await counted(
                connection,
                "DELETE FROM memories WHERE tenant = :tenant AND lineage = :lineage",
                tenant=tenant,
                lineage=found[0]["lineage"],
            )
            await mark_removed(connection, tenant, [(found[0]["scope"], found[0]["owner"])])
        await self._database.scrub()

    async def ingested_through(self, tenant: str, session: str) -> int:
        """The last turn of a session that is remembered; 0 before the first."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                "SELECT coalesce(max(place), 0) AS place FROM memories WHERE tenant = :tenant "
                "AND passage_group = :group",
                tenant=tenant,
                group=f"{TURNS_OF}{session}",
            )
        return int(found[0]["place"])

    async def drop_expired(self) -> int:
        """Deletes what has outlived its time."""
        now = self._clock()
        async with self._database.reading() as connection:
            if not await rows(
                connection, "SELECT 1 AS n FROM memories WHERE expires_at <= :now LIMIT 1", now=now
            ):
                return 0
        async with self._database.writing() as connection:
            owners = await rows(
                connection,
                "SELECT DISTINCT tenant, scope, owner FROM memories WHERE expires_at <= :now",
                now=now,
            )
            for row in owners:
                await mark_removed(connection, row["tenant"], [(row["scope"], row["owner"])])
            return await counted(connection, "DELETE FROM memories WHERE expires_at <= :now", now=now)


def _values(tenant: str, new: NewMemory, *, seq: int, now: float) -> dict[str, object]:
    identity = new_id()
    memory = Memory(
        id=identity,
        lineage=identity,
        scope=new.scope,
        owner=new.owner,
        user=new.user,
        text=new.text,
        group=new.group,
        place=new.place,
        source=new.source,
        speaker=new.speaker,
        said_at=new.said_at,
        valid_until=None,
        expires_at=new.expires_at,
        created_at=now,
    )
    return row_of(tenant, memory, digest=new.content_hash, seq=seq)


async def _lineage(connection: AsyncConnection, tenant: str, memory: str, now: float) -> Sequence[RowMapping]:
    found = await rows(
        connection,
        f"SELECT {COLUMNS} FROM memories WHERE tenant = :tenant AND {_ALIVE} AND lineage = "
        "(SELECT lineage FROM memories WHERE tenant = :tenant AND id = :id) "
        "ORDER BY said_at DESC, created_at DESC",
        tenant=tenant,
        id=memory,
        now=now,
    )
    if not found:
        raise NotFound(f"there is no memory `{memory}`")
    return found


async def _version_that_holds(connection: AsyncConnection, tenant: str, memory: str, now: float) -> Memory:
    found = await _lineage(connection, tenant, memory, now)
    for row in found:
        if row["valid_until"] is None:
            return memory_of(row)
    raise NotFound(f"no version of memory `{memory}` holds any more")
