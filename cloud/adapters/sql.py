"""Statements written as text, run with bound values."""

from collections.abc import Sequence

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection


async def rows(connection: AsyncConnection, query: str, **values: object) -> Sequence[RowMapping]:
    """What the query finds."""
    return (await connection.execute(text(query), values)).mappings().all()


async def counted(connection: AsyncConnection, query: str, **values: object) -> int:
    """How many rows the statement changed."""
    return (await connection.execute(text(query), values)).rowcount
