"""The sandbox's own process: computes what it is sent on its standard input, and can do nothing else.

It has no environment, no file that DuckDB may open, and a limit on memory; whoever started it kills it
when it is late. Messages are MessagePack behind four bytes of length, in both directions.
"""

import contextlib
import io
import resource
import struct
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from cloud.tools.columns import TypedColumn, typed
from cloud.tools.results import cell_of
from cloud.tools.sandbox_jobs import (
    Cell,
    Chart,
    ChartJob,
    Column,
    Described,
    DescribeJob,
    Failed,
    Job,
    Outcome,
    Parsed,
    ParseJob,
    QueryJob,
    Rows,
    TableData,
)

if TYPE_CHECKING:
    import duckdb

_LIBRARIES_MB = 1024
"""Address space that Python, DuckDB and matplotlib map, most of it never touched."""
_LOCKS = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET disabled_filesystems = 'LocalFileSystem'",
    "SET max_temp_directory_size = '0B'",
    "SET lock_configuration = true",
    "BEGIN TRANSACTION READ ONLY",
)


def main(memory_mb: int) -> None:
    address_space = (memory_mb + _LIBRARIES_MB) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    decoder = msgspec.msgpack.Decoder(Job)
    while header := source.read(4):
        (length,) = struct.unpack(">I", header)
        answer = msgspec.msgpack.encode(_outcome(decoder.decode(source.read(length)), memory_mb))
        target.write(struct.pack(">I", len(answer)) + answer)
        target.flush()


def _outcome(job: Job, memory_mb: int) -> Outcome:
    try:
        match job:
            case DescribeJob():
                return Described(tables=tuple(columns_of(table) for table in job.tables))
            case QueryJob():
                return _queried(job, memory_mb)
            case ChartJob():
                return _drawn(job)
            case ParseJob():
                return _parsed(job, memory_mb)
            case _:
                assert_never(job)
    except MemoryError:
        return Failed(message="it needs more memory than it may have")


def _parsed(job: ParseJob, memory_mb: int) -> Outcome:
    import duckdb

    with _database(memory_mb) as database:
        try:
            ((tree,),) = database.execute("SELECT json_serialize_sql(?)", [job.sql]).fetchall()
        except duckdb.Error as error:
            return Failed(message=str(error)[:1_000])
        return Parsed(tree=str(tree))


def _typed(table: TableData) -> list[TypedColumn]:
    return [typed([row[index] for row in table.rows]) for index in range(len(table.columns))]


def columns_of(table: TableData) -> tuple[Column, ...]:
    return tuple(
        Column(name=name, type=column.sql_type, kind=column.kind, unit=column.unit)
        for name, column in zip(table.columns, _typed(table), strict=True)
    )


@contextlib.contextmanager
def _database(memory_mb: int) -> "Iterator[duckdb.DuckDBPyConnection]":
    """An empty database of its own, in memory: nothing of one job is there for the next."""
    import duckdb

    config: dict[str, Any] = {"threads": 1, "memory_limit": f"{memory_mb}MB"}
    with duckdb.connect(":memory:", config=config) as database:
        yield database


def _queried(job: QueryJob, memory_mb: int) -> Outcome:
    import duckdb

    with _database(memory_mb) as database:
        timer = threading.Timer(job.timeout_s, database.interrupt)
        timer.start()
        try:
            for table in job.tables:
                _load(database, table)
            for lock in _LOCKS:
                database.execute(lock)
            refusal = _refusal(database, job.sql)
            if refusal is not None:
                return Failed(message=refusal)
            return _rows(database.execute(job.sql), job)
        except duckdb.InterruptException:
            return Failed(message=f"it took longer than {job.timeout_s:g} s")
        except duckdb.Error as error:
            return Failed(message=str(error)[:1_000])
        finally:
            timer.cancel()


def _load(database: "duckdb.DuckDBPyConnection", table: TableData) -> None:
    columns = list(zip(table.columns, _typed(table), strict=True))
    selected = ", ".join(
        f'CAST(unnest(CAST(? AS VARCHAR[])) AS {column.sql_type}) AS "{name}"' for name, column in columns
    )
    database.execute(f'CREATE TABLE "{table.name}" AS SELECT {selected}', [list(c.cells) for _, c in columns])


def _refusal(database: "duckdb.DuckDBPyConnection", sql: str) -> str | None:
    """One statement that reads, or the reason why not."""
    import duckdb

    statements = database.extract_statements(sql)
    if len(statements) != 1:
        return f"one statement is run at a time, these are {len(statements)}"
    if statements[0].type != duckdb.StatementType.SELECT:
        return "only SELECT is run"
    return None


def _rows(cursor: "duckdb.DuckDBPyConnection", job: QueryJob) -> Rows:
    columns = tuple(Column(name=str(entry[0]), type=str(entry[1])) for entry in cursor.description or ())
    rows: list[tuple[Cell, ...]] = []
    size = 0
    while (row := cursor.fetchone()) is not None:
        cells = tuple(cell_of(value) for value in row)
        size += sum(len(str(cell)) for cell in cells)
        if len(rows) == job.max_rows or size > job.max_bytes:
            return Rows(columns=columns, rows=tuple(rows), is_cut=True)
        rows.append(cells)
    return Rows(columns=columns, rows=tuple(rows))


def _drawn(job: ChartJob) -> Outcome:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    names = [str(value) for value in job.x]
    are_numbers = all(isinstance(value, int | float) for value in job.x)
    x: list[Any] = list(job.x) if are_numbers and job.kind != "bar" else list(range(len(names)))
    for number, (label, values) in enumerate(zip(job.labels[1:], job.series, strict=True)):
        heights = [float("nan") if value is None else value for value in values]
        match job.kind:
            case "bar":
                width = 0.8 / len(job.series)
                axes.bar(
                    [at + (number - (len(job.series) - 1) / 2) * width for at in x],
                    heights,
                    width,
                    label=label,
                )
            case "line":
                axes.plot(x, heights, marker="o" if len(x) <= 40 else "", label=label)
            case "scatter":
                axes.scatter(x, heights, label=label)
            case _:
                axes.hist([value for value in values if value is not None], bins="auto", label=label)
    if job.kind != "histogram" and not (are_numbers and job.kind != "bar"):
        step = max(1, len(names) // 25)
        axes.set_xticks(x[::step], names[::step], rotation=45 if len(names) > 6 else 0, ha="center")
    axes.set_title(job.title, parse_math=False)
    axes.set_xlabel(job.labels[0], parse_math=False)
    if len(job.series) > 1:
        axes.legend()
    elif job.kind != "histogram":
        axes.set_ylabel(job.labels[1], parse_math=False)
    content = io.BytesIO()
    figure.savefig(content, format=job.format)
    return Chart(content=content.getvalue())


if __name__ == "__main__":
    main(int(sys.argv[1]))
