"""A memory as a row, and the row that tells what changed of whose: shared by the statements on memories."""

import uuid
from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.adapters.sql import counted
from cloud.domain_memory import Memory, Scope

OF_OWNER: Final = "tenant = :tenant AND scope = :scope AND owner = :owner"
COLUMNS: Final = (
    'id, lineage, scope, owner, user_name AS "user", content AS text, passage_group AS "group", place, '
    "source, speaker, said_at, valid_until, expires_at, created_at"
)
INSERT: Final = text(
    "INSERT INTO memories (tenant, id, lineage, scope, owner, user_name, passage_group, place, source, "
    "speaker, content, content_hash, said_at, valid_until, expires_at, created_at, seq) "
    "VALUES (:tenant, :id, :lineage, :scope, :owner, :user, :group, :place, :source, :speaker, :text, :hash, "
    ":said_at, :valid_until, :expires_at, :created_at, :seq) ON CONFLICT DO NOTHING"
)


async def reserve(connection: AsyncConnection, tenant: str, scope: Scope, owner: str, *, count: int) -> int:
    """The last of `count` sequence numbers for the owner's next changes.

    The row stays locked until the transaction ends, so that whoever has seen a number has seen all before it.
    """
    last = await connection.scalar(
        text(
            "INSERT INTO memory_owners (tenant, scope, owner, incarnation, last_seq) "
            "VALUES (:tenant, :scope, :owner, :incarnation, :count) ON CONFLICT (tenant, scope, owner) "
            "DO UPDATE SET last_seq = memory_owners.last_seq + :count RETURNING last_seq"
        ),
        {
            "tenant": tenant,
            "scope": scope,
            "owner": owner,
            "incarnation": uuid.uuid4().hex,
            "count": count,
        },
    )
    assert last is not None, "an insert or an update returns its row"
    return int(last)


async def mark_removed(connection: AsyncConnection, tenant: str, owners: Iterable[tuple[Scope, str]]) -> None:
    """Tell whoever keeps these owners' passages ready that some are gone."""
    for scope, owner in sorted(owners):
        await counted(
            connection,
            f"UPDATE memory_owners SET removed = removed + 1 WHERE {OF_OWNER}",
            tenant=tenant,
            scope=scope,
            owner=owner,
        )


def new_id() -> str:
    return f"mem_{uuid.uuid4().hex}"


def memory_of(row: RowMapping) -> Memory:
    return Memory(**{name: row[name] for name in Memory.__struct_fields__})


def row_of(tenant: str, memory: Memory, *, digest: str, seq: int) -> dict[str, object]:
    """The values that INSERT binds."""
    return {"tenant": tenant, "hash": digest, "seq": seq, **msgspec.structs.asdict(memory)}
