"""One SQL database, SQLite or PostgreSQL by URL: connections, transactions, schema."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cloud.adapters.group_commit import GroupCommit, T, Work
from cloud.wire.errors import StorageFull, UpstreamUnavailable
from cloud.wire.service.settings import StartUpError

_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_LOCK = 0x57415953
"""Of PostgreSQL's advisory locks the one that whoever changes the schema holds."""

_HOLDING_WORDS = (
    "memories, memory_owners, memory_vectors, memory_embedded, turns, session_states, sessions, "
    "imported_runs, idempotent_answers"
)
"""Tables with what people said, or their names."""

_DISK_FULL = "53100"
"""Of PostgreSQL's error codes (SQLSTATE)."""


class Database:
    """A pool of connections. Open with `open_database`, which brings the schema up to date."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # SQLite has one writer. Those of this process wait here, in turn and without a connection, rather
        # than by asking the file over and over; for other processes' the file's own lock is waited for.
        self._one_writer = asyncio.Lock()
        self._group = GroupCommit(self.writing)

    @property
    def is_postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database and changes nothing."""
        with _translated():
            async with self._engine.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is durable once this ends normally, and undone when it raises."""
        with _translated():
            async with AsyncExitStack() as stack:
                if not self.is_postgresql:
                    await stack.enter_async_context(self._one_writer)
                connection = await stack.enter_async_context(self._engine.connect())
                if not self.is_postgresql:
                    # Taking the lock at once: one that is first needed after a read cannot be waited for.
                    connection = await connection.execution_options(wayside_writes=True)
                async with connection.begin():
                    yield connection

    async def write(self, work: Work[T]) -> T:
        """What `work` gives, in a transaction that is durable once this returns, and undone when it raises.

        For short writes of which many come at once: SQLite commits those that wait together.
        """
        if self.is_postgresql:
            async with self.writing() as connection:
                return await work(connection)
        with _translated():
            return await self._group.write(work)

    async def close(self) -> None:
        await self._group.close()
        await self._engine.dispose()

    async def scrub(self) -> None:
        """What was deleted leaves the files: the write-ahead log is emptied, free space was overwritten.

        PostgreSQL keeps deleted rows until it vacuums and its log until it is recycled; its files are its
        operator's to keep.
        """
        async with self._engine.connect() as connection:
            raw = await connection.execution_options(isolation_level="AUTOCOMMIT")
            if self.is_postgresql:
                await raw.exec_driver_sql(f"VACUUM {_HOLDING_WORDS}")
            else:
                await raw.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`, migrated to the newest schema.

    Raises StartUpError when it cannot be reached or its schema cannot be brought up to date.
    """
    engine = _engine(url)
    database = Database(engine)
    try:
        try:
            async with engine.connect() as connection:
                if engine.dialect.name == "postgresql":
                    await connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
                await connection.run_sync(_migrate)
                await connection.commit()
                if engine.dialect.name == "postgresql":
                    # The lock is the connection's, which goes back to the pool and would keep it.
                    await connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
                    await connection.commit()
        except (OSError, SQLAlchemyError) as error:
            cause = error.orig if isinstance(error, OperationalError) and error.orig else error
            shown = engine.url.render_as_string(hide_password=True)
            raise StartUpError(f"cannot use the database {shown}: {str(cause).splitlines()[0]}") from error
        yield database
    finally:
        await database.close()


@contextmanager
def _translated() -> Iterator[None]:
    """The database's own troubles in our terms; what a statement says of its data stays as it is."""
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        cause = getattr(error, "orig", None)
        if getattr(cause, "sqlstate", None) == _DISK_FULL or "disk is full" in str(cause):
            raise StorageFull("the database has no room left; nothing was written") from error
        raise UpstreamUnavailable("the database does not answer", retry_after_s=1) from error


def _engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StartUpError("database_url must be sqlite:///FILE or postgresql://…") from error
    match parsed.get_backend_name():
        case "postgresql":
            return create_async_engine(
                parsed.set(drivername="postgresql+psycopg"), pool_size=16, max_overflow=16
            )
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_async_engine(
                parsed.set(drivername="sqlite+aiosqlite"), pool_size=8, max_overflow=8, pool_timeout=30
            )
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
            return engine
        case _:
            raise StartUpError("database_url must be sqlite:///FILE or postgresql://…")


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, in `_begin_sqlite`
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # acknowledged is acknowledged, also when the power fails
        "foreign_keys = ON",
        "busy_timeout = 10000",
        "secure_delete = ON",  # what is erased must not be read from free pages
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("wayside_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "heads")
