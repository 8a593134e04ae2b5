"""An operator's own database, read-only: PostgreSQL in a read-only transaction, SQLite opened for reading."""

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from cloud.tools.database_guard import FUNCTIONS, confined
from cloud.tools.results import cell_of
from cloud.tools.sandbox_jobs import Cell, Column, Rows
from cloud.wire.service.settings import Secret


class QueryFailed(Exception):
    """The database refused the query, was late, or is not there; the message may be shown to a model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """What may be read."""

    tables: Mapping[str, Sequence[str]]
    """Of each table its columns."""
    tenant_column: str | None = None
    """Of every table: the caller's rows are those where it holds the caller's tenant."""
    schema: str = "public"
    """Where the tables are; of PostgreSQL only."""
    timeout_s: float = 5.0
    max_rows: int = 200
    max_bytes: int = 100_000


class OperatorDatabase(Protocol):
    async def query(self, sql: str, *, tenant: str, timeout_s: float) -> Rows:
        """A checked SELECT. Raises QueryFailed."""
        ...


def database_of(url: Secret, allowed: Allowed) -> OperatorDatabase:
    """`postgresql://…` or `sqlite:///FILE`. Raises ValueError."""
    scheme, _, rest = url.reveal().partition("://")
    match scheme:
        case "postgresql" | "postgres":
            return PostgresqlDatabase(url, allowed)
        case "sqlite" if rest.startswith("/") and len(rest) > 1:
            return SqliteDatabase(Path(rest[1:]), allowed)
        case _:
            raise ValueError("a database's URL is postgresql://… or sqlite:///FILE")


class PostgresqlDatabase:
    """A connection for each query: few, and none that a query could have left in another state."""

    def __init__(self, url: Secret, allowed: Allowed) -> None:
        self._url = url
        self._allowed = allowed
        self._free = asyncio.Semaphore(4)

    async def query(self, sql: str, *, tenant: str, timeout_s: float) -> Rows:
        import psycopg

        try:
            async with asyncio.timeout(timeout_s + 1.0), self._free:
                return await self._query(sql, tenant=tenant, timeout_s=timeout_s)
        except TimeoutError as error:
            raise QueryFailed(f"it took longer than {timeout_s:g} s") from error
        except psycopg.errors.QueryCanceled as error:
            raise QueryFailed(f"it took longer than {timeout_s:g} s") from error
        except psycopg.OperationalError as error:
            raise QueryFailed("the database cannot be reached") from error
        except psycopg.Error as error:
            raise QueryFailed(str(error).partition("\n")[0][:500]) from error

    async def _query(self, sql: str, *, tenant: str, timeout_s: float) -> Rows:
        from psycopg import AsyncConnection
        from psycopg.sql import SQL, Identifier, Literal

        allowed = self._allowed
        async with await AsyncConnection.connect(
            self._url.reveal(),
            connect_timeout=max(1, round(timeout_s)),
            options=(
                f"-c default_transaction_read_only=on -c statement_timeout={round(timeout_s * 1000)}"
                " -c search_path= -c lock_timeout=1000"
            ),
        ) as connection:
            await connection.set_read_only(True)
            condition = ""
            if allowed.tenant_column is not None:
                equals = SQL("{} = {}").format(Identifier(allowed.tenant_column), Literal(tenant))
                condition = equals.as_string(connection)
            whole = confined(
                sql,
                allowed.tables,
                source=lambda table: Identifier(allowed.schema, table).as_string(connection),
                condition=condition,
                max_rows=allowed.max_rows,
            )
            async with connection.cursor() as cursor:
                # Prepared: the protocol itself then takes one statement only.
                await cursor.execute(whole.encode(), prepare=True)
                names = [column.name for column in cursor.description or ()]
                return _rows(names, await cursor.fetchall(), allowed)


class SqliteDatabase:
    """A file that is opened for reading alone, by a connection that asks us before every access."""

    def __init__(self, path: Path, allowed: Allowed) -> None:
        self._uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        self._allowed = allowed
        columns = {
            name.lower(): {column.lower() for column in (*columns, allowed.tenant_column or "", "")}
            for name, columns in allowed.tables.items()
        }
        self._columns: Mapping[str, set[str]] = columns

    async def query(self, sql: str, *, tenant: str, timeout_s: float) -> Rows:
        return await asyncio.to_thread(self._query, sql, tenant, timeout_s)

    def _query(self, sql: str, tenant: str, timeout_s: float) -> Rows:
        allowed = self._allowed
        deadline = time.monotonic() + timeout_s
        whole = confined(
            sql,
            allowed.tables,
            source=lambda table: f'main."{table}"',
            condition=f'"{allowed.tenant_column}" = :tenant' if allowed.tenant_column is not None else "",
            max_rows=allowed.max_rows,
        )
        try:
            connection = sqlite3.connect(self._uri, uri=True, timeout=timeout_s)
        except sqlite3.Error as error:
            raise QueryFailed("the database cannot be opened") from error
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000_000)
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            connection.set_authorizer(self._authorize)
            cursor = connection.execute(whole, {"tenant": tenant})
            names = [str(entry[0]) for entry in cursor.description or ()]
            return _rows(names, cursor.fetchall(), allowed)
        except sqlite3.Error as error:
            if time.monotonic() > deadline:
                raise QueryFailed(f"it took longer than {timeout_s:g} s") from error
            raise QueryFailed(str(error)[:500]) from error
        finally:
            connection.close()

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, source: str | None
    ) -> int:
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_FUNCTION if (second or "").lower() in _SQLITE_FUNCTIONS:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_READ if (second or "").lower() in self._columns.get(
                (first or "").lower(), ()
            ):
                return sqlite3.SQLITE_OK
            case _:
                return sqlite3.SQLITE_DENY


_SQLITE_FUNCTIONS = FUNCTIONS | {"like", "glob", "total", "group_concat"}


def _rows(names: Sequence[str], rows: Sequence[Sequence[Any]], allowed: Allowed) -> Rows:
    kept: list[tuple[Cell, ...]] = []
    size = 0
    for row in rows:
        cells = tuple(map(cell_of, row))
        size += sum(len(str(cell)) for cell in cells)
        if len(kept) == allowed.max_rows or size > allowed.max_bytes:
            break
        kept.append(cells)
    columns = tuple(Column(name=name, type="") for name in names)
    return Rows(columns=columns, rows=tuple(kept), is_cut=len(kept) < len(rows))
