"""A person's memories, all versions of them: given out, taken back, erased."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, paged, rows
from cloud.adapters.sql_memory_rows import COLUMNS, INSERT, mark_removed, memory_of, reserve, row_of
from cloud.domain_memory import Memory, Scope, content_hash
from cloud.wire.errors import InvalidRequest

_THEIRS: Final = "tenant = :tenant AND (user_name = :user OR (scope = 'user' AND owner = :user))"
_PAGE: Final = 500


class _Record(Memory, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of an export."""

    kind: Literal["memory"]


class SqlMemorySubjects:
    """The port Erasable over the memories of one database."""

    kinds: frozenset[str] = frozenset({"memory"})

    def __init__(
        self, database: Database, *, after_erasure: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """`after_erasure` is told the tenant: whoever keeps memories ready lets go of them."""
        self._database = database
        self._after_erasure = after_erasure

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        """All versions, in every scope, and the name itself."""
        values = {"tenant": tenant, "user": user}
        async with self._database.writing() as connection:
            owners = await rows(
                connection, f"SELECT DISTINCT scope, owner FROM memories WHERE {_THEIRS}", **values
            )
            gone = await counted(connection, f"DELETE FROM memories WHERE {_THEIRS}", **values)
            await mark_removed(connection, tenant, [(row["scope"], row["owner"]) for row in owners])
            await counted(
                connection,
                "DELETE FROM memory_owners WHERE tenant = :tenant AND scope = 'user' AND owner = :user",
                **values,
            )
        if self._after_erasure is not None:
            await self._after_erasure(tenant)
        return {"memories": gone}

    async def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        """The port's `export`: one record a version, by id."""
        query = f"SELECT {COLUMNS} FROM memories WHERE {_THEIRS} AND id > :id ORDER BY id LIMIT :limit"
        async for row in paged(
            self._database, query, start={"id": ""}, tenant=tenant, user=user, limit=_PAGE
        ):
            yield {"kind": "memory", **msgspec.structs.asdict(memory_of(row))}

    async def restore(self, tenant: str, user: str, records: Sequence[Mapping[str, Any]]) -> int:
        """The port's `restore`. A memory that was told again meanwhile stays as it is."""
        try:
            memories = [msgspec.convert(record, _Record) for record in records]
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"not a memory as an export gives it: {error}") from error
        by_owner: dict[tuple[Scope, str], list[_Record]] = {}
        for memory in memories:
            if memory.user != user and (memory.scope, memory.owner) != ("user", user):
                raise InvalidRequest(f"memory `{memory.id}` is not of `{user}`", param="user")
            by_owner.setdefault((memory.scope, memory.owner), []).append(memory)
        kept = 0
        async with self._database.writing() as connection:
            for (scope, owner), theirs in sorted(by_owner.items()):
                last = await reserve(connection, tenant, scope, owner, count=len(theirs))
                for seq, memory in enumerate(theirs, start=last - len(theirs) + 1):
                    values = row_of(tenant, memory, digest=_hash_of(memory), seq=seq)
                    kept += (await connection.execute(INSERT, values)).rowcount
        return kept


def _hash_of(memory: Memory) -> str:
    digest = content_hash(group=memory.group, place=memory.place, speaker=memory.speaker, text=memory.text)
    return digest if memory.valid_until is None else f"{digest}/{memory.id}"
