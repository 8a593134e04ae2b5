"""The error budget's samples in SQLite, so that what the traffic taught survives a restart."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from edge.adapters.semantic_rows import delete_database
from edge.error_budget import Namespace, Sample

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  score REAL NOT NULL,
  wrong INTEGER NOT NULL,
  at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS samples_by_namespace ON samples (tenant, name, number);
"""
_NEWEST = """
SELECT tenant, name, score, wrong FROM (
  SELECT *, row_number() OVER (PARTITION BY tenant, name ORDER BY number DESC) AS age FROM samples
) WHERE age <= ? ORDER BY tenant, name, number
"""
_TOO_OLD = """
DELETE FROM samples WHERE tenant = :tenant AND name = :name AND number <= (
  SELECT number FROM samples WHERE tenant = :tenant AND name = :name
  ORDER BY number DESC LIMIT 1 OFFSET :keep
)
"""
_SWEEP_EVERY = 64


class BudgetRows:
    """One file, one process. A sample that cannot be written is lost, and nothing else."""

    def __init__(self, path: Path, *, window: int, clock: Callable[[], float] = time.time) -> None:
        """Opens the file, or a new one in place of a damaged one. Raises OSError, sqlite3.Error."""
        self._path = path
        self._window = window
        self._clock = clock
        self._writes = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="error-budget")
        try:
            self._database = _opened(path)
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            delete_database(path)
            self._database = _opened(path)

    def kept(self) -> Iterator[tuple[Namespace, tuple[Sample, ...]]]:
        """What is known of each namespace, oldest sample first."""
        rows = self._database.execute(_NEWEST, (self._window,)).fetchall()
        for (tenant, name), group in groupby(rows, key=lambda row: (row[0], row[1])):
            samples = tuple(Sample(score=score, wrong=bool(wrong)) for _, _, score, wrong in group)
            yield Namespace(tenant=tenant, table=name), samples

    async def add(self, namespace: Namespace, sample: Sample) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._add, namespace, sample)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._writer.shutdown)
        self._database.close()

    def _add(self, namespace: Namespace, sample: Sample) -> None:
        row = (namespace.tenant, namespace.table, sample.score, sample.wrong, self._clock())
        with suppress(sqlite3.Error):
            self._database.execute(
                "INSERT INTO samples (tenant, name, score, wrong, at) VALUES (?, ?, ?, ?, ?)", row
            )
            self._writes += 1
            if self._writes % _SWEEP_EVERY == 0:
                names = {"tenant": namespace.tenant, "name": namespace.table, "keep": self._window}
                self._database.execute(_TOO_OLD, names)


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        database.executescript(_SCHEMA)
        database.execute(_NEWEST, (0,))
    except BaseException:
        database.close()
        raise
    path.chmod(0o600)
    return database
