"""Statements written as text, run with bound values."""

from collections.abc import AsyncGenerator, Mapping, Sequence

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.adapters.database import Database


async def rows(connection: AsyncConnection, query: str, **values: object) -> Sequence[RowMapping]:
    """What the query finds."""
    return (await connection.execute(text(query), values)).mappings().all()


async def counted(connection: AsyncConnection, query: str, **values: object) -> int:
    """How many rows the statement changed."""
    return (await connection.execute(text(query), values)).rowcount


async def paged(
    database: Database, query: str, *, start: Mapping[str, object], **values: object
) -> AsyncGenerator[RowMapping]:
    """Rows of a query that takes a page at a time, each page read in a transaction of its own.

    `start` binds where the first page begins. Its names are the query's columns, too: the next page begins
    behind their last values.
    """
    place = dict(start)
    while True:
        async with database.reading() as connection:
            page = await rows(connection, query, **place, **values)
        if not page:
            return
        for row in page:
            yield row
        place = {name: page[-1][name] for name in place}
