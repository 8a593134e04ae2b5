"""Memories in SQLite or PostgreSQL, each once by its content; erased for good."""

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import RowMapping, text

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.domain_memory import Memory, NewMemory, Scope
from cloud.wire.errors import NotFound

_COLUMNS = "id, scope, owner, content, passage_group, place, source, speaker, said_at, expires_at, created_at"
_INSERT = text(
    "INSERT INTO memories (tenant, id, scope, owner, user_name, passage_group, place, source, speaker, "
    "content, content_hash, said_at, expires_at, created_at) VALUES (:tenant, :id, :scope, :owner, :user, "
    ":group, :place, :source, :speaker, :content, :hash, :said_at, :expires_at, :now) "
    "ON CONFLICT (tenant, scope, owner, content_hash) DO NOTHING"
)
_ALIVE = "(expires_at IS NULL OR expires_at > :now)"


class SqlMemories:
    """The ports MemoryStore and Erasable over one database. What belongs to another tenant is not there."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def add(self, tenant: str, memories: Sequence[NewMemory]) -> tuple[str, ...]:
        """Ids in order, durable when this returns; one that is there already keeps its id."""
        ids: list[str] = []
        async with self._database.writing() as connection:
            for memory in memories:
                values = {
                    "tenant": tenant,
                    "id": f"mem_{uuid.uuid4().hex}",
                    "scope": memory.scope,
                    "owner": memory.owner,
                    "user": memory.user,
                    "group": memory.group,
                    "place": memory.place,
                    "source": memory.source,
                    "speaker": memory.speaker,
                    "content": memory.text,
                    "hash": memory.content_hash,
                    "said_at": memory.said_at,
                    "expires_at": memory.expires_at,
                    "now": self._clock(),
                }
                await connection.execute(_INSERT, values)
                kept = await rows(
                    connection,
                    "SELECT id FROM memories WHERE tenant = :tenant AND scope = :scope AND owner = :owner "
                    "AND content_hash = :hash",
                    **{name: values[name] for name in ("tenant", "scope", "owner", "hash")},
                )
                ids.append(kept[0]["id"])
        return tuple(ids)

    async def stamp(self, tenant: str, scope: Scope, owner: str) -> tuple[int, float]:
        """Changes with every memory that comes or goes; cheap."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                "SELECT count(*) AS n, coalesce(max(created_at), 0) AS newest FROM memories "
                f"WHERE tenant = :tenant AND scope = :scope AND owner = :owner AND {_ALIVE}",
                tenant=tenant,
                scope=scope,
                owner=owner,
                now=self._clock(),
            )
        return int(found[0]["n"]), float(found[0]["newest"])

    async def of(self, tenant: str, scope: Scope, owner: str) -> tuple[Memory, ...]:
        """All of one owner's, each group in its order."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                f"SELECT {_COLUMNS} FROM memories WHERE tenant = :tenant AND scope = :scope "
                f"AND owner = :owner AND {_ALIVE} ORDER BY passage_group, place, created_at",
                tenant=tenant,
                scope=scope,
                owner=owner,
                now=self._clock(),
            )
        return tuple(map(_memory, found))

    async def page(self, tenant: str, *, limit: int, after: str = "") -> tuple[Memory, ...]:
        """By id."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                f"SELECT {_COLUMNS} FROM memories WHERE tenant = :tenant AND id > :after AND {_ALIVE} "
                "ORDER BY id LIMIT :limit",
                tenant=tenant,
                after=after,
                limit=limit,
                now=self._clock(),
            )
        return tuple(map(_memory, found))

    async def delete(self, tenant: str, memory: str) -> None:
        """Raises NotFound."""
        async with self._database.writing() as connection:
            gone = await counted(
                connection,
                "DELETE FROM memories WHERE tenant = :tenant AND id = :id",
                tenant=tenant,
                id=memory,
            )
        if not gone:
            raise NotFound(f"there is no memory `{memory}`")
        await self._database.scrub()

    async def ingested_through(self, tenant: str, session: str) -> int:
        """The last turn of a session that is remembered; 0 before the first."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                "SELECT coalesce(max(place), 0) AS place FROM memories WHERE tenant = :tenant "
                "AND passage_group = :group",
                tenant=tenant,
                group=f"session/{session}",
            )
        return int(found[0]["place"])

    async def drop_expired(self) -> int:
        """Deletes what has outlived its time."""
        async with self._database.writing() as connection:
            return await counted(
                connection, "DELETE FROM memories WHERE expires_at <= :now", now=self._clock()
            )

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        async with self._database.writing() as connection:
            gone = await counted(
                connection,
                "DELETE FROM memories WHERE tenant = :tenant AND (user_name = :user OR (scope = 'user' "
                "AND owner = :user))",
                tenant=tenant,
                user=user,
            )
        return {"memories": gone}

    async def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                f"SELECT {_COLUMNS} FROM memories WHERE tenant = :tenant AND (user_name = :user OR "
                "(scope = 'user' AND owner = :user)) ORDER BY id",
                tenant=tenant,
                user=user,
            )
        for row in found:
            yield {"kind": "memory", **dict(row)}


def _memory(row: RowMapping) -> Memory:
    return Memory(
        id=row["id"],
        scope=cast("Scope", row["scope"]),
        owner=row["owner"],
        text=row["content"],
        group=row["passage_group"],
        place=row["place"],
        source=row["source"],
        speaker=row["speaker"],
        said_at=row["said_at"],
        expires_at=row["expires_at"],
        created_at=row["created_at"],
    )
