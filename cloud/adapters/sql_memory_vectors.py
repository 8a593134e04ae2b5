"""Embeddings of memories in SQLite or PostgreSQL, each for the bundle that made it."""

from collections.abc import Sequence

from sqlalchemy import text

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.domain_memory import Behind, Scope

_PUT = text(
    "INSERT INTO memory_vectors (tenant, id, bundle, vector) "
    "SELECT tenant, id, :bundle, :vector FROM memories WHERE tenant = :tenant AND id = :id "
    "ON CONFLICT DO NOTHING"
)
_OWNERS_AT_ONCE = 16
_PAGE = 2000


class SqlMemoryVectors:
    """The port MemoryVectors over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def behind(self, bundle: str) -> tuple[Behind, ...]:
        """Some of the owners with memories the bundle has not read."""
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                "SELECT o.tenant, o.scope, o.owner, o.incarnation, o.last_seq, "
                "coalesce(e.through, 0) AS through FROM memory_owners o LEFT JOIN memory_embedded e "
                "ON e.tenant = o.tenant AND e.scope = o.scope AND e.owner = o.owner AND e.bundle = :bundle "
                "WHERE coalesce(e.through, 0) < o.last_seq LIMIT :limit",
                bundle=bundle,
                limit=_OWNERS_AT_ONCE,
            )
        return tuple(Behind(**row) for row in found)

    async def put(
        self, owner: Behind, bundle: str, *, through: int, vectors: Sequence[tuple[str, bytes]]
    ) -> None:
        """Keeps vectors of the owner's memories up to `through`. One erased meanwhile keeps nothing."""
        async with self._database.writing() as connection:
            kept = await counted(
                connection,
                "INSERT INTO memory_embedded (tenant, scope, owner, bundle, through) "
                "SELECT tenant, scope, owner, :bundle, :through FROM memory_owners WHERE tenant = :tenant "
                "AND scope = :scope AND owner = :owner AND incarnation = :incarnation "
                "ON CONFLICT (tenant, scope, owner, bundle) DO UPDATE SET through = excluded.through "
                "WHERE memory_embedded.through < excluded.through",
                tenant=owner.tenant,
                scope=owner.scope,
                owner=owner.owner,
                incarnation=owner.incarnation,
                bundle=bundle,
                through=through,
            )
            if kept and vectors:
                await connection.execute(
                    _PUT,
                    [
                        {"tenant": owner.tenant, "id": identity, "bundle": bundle, "vector": vector}
                        for identity, vector in vectors
                    ],
                )

    async def since(
        self, tenant: str, scope: Scope, owner: str, bundle: str, *, seq: int, up_to: int
    ) -> tuple[int, tuple[tuple[str, bytes], ...]]:
        """How far this page reaches, at most `up_to`, and vectors by memory id of what came after `seq`."""
        values = {"tenant": tenant, "scope": scope, "owner": owner, "bundle": bundle}
        async with self._database.reading() as connection:
            told = await rows(
                connection,
                "SELECT through FROM memory_embedded WHERE tenant = :tenant AND scope = :scope "
                "AND owner = :owner AND bundle = :bundle",
                **values,
            )
            through = min(up_to, int(told[0]["through"]) if told else 0)
            if through <= seq:
                return through, ()
            found = await rows(
                connection,
                "SELECT m.seq, m.id, v.vector FROM memories m JOIN memory_vectors v "
                "ON v.tenant = m.tenant AND v.id = m.id AND v.bundle = :bundle "
                "WHERE m.tenant = :tenant AND m.scope = :scope AND m.owner = :owner "
                "AND m.seq > :seq AND m.seq <= :through ORDER BY m.seq LIMIT :limit",
                seq=seq,
                through=through,
                limit=_PAGE,
                **values,
            )
        reached = int(found[-1]["seq"]) if len(found) == _PAGE else through
        return reached, tuple((row["id"], bytes(row["vector"])) for row in found)

    async def drop_others(self, bundle: str) -> int:
        """Forgets the vectors of bundles other than this one; how many."""
        async with self._database.writing() as connection:
            await counted(connection, "DELETE FROM memory_embedded WHERE bundle <> :bundle", bundle=bundle)
            return await counted(
                connection, "DELETE FROM memory_vectors WHERE bundle <> :bundle", bundle=bundle
            )
