"""The semantic cache's entries in SQLite: the truth that every index is made from."""

import secrets
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edge.adapters.row_reader import SELECT, checksum_of
from edge.domain import Entry, Scope

_SCHEMA = """
CREATE TABLE IF NOT EXISTS store (identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
  key INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, so that an index cannot mean another row
  tenant TEXT NOT NULL,
  scope TEXT NOT NULL,
  entry TEXT NOT NULL,
  question BLOB NOT NULL,
  completion BLOB NOT NULL,
  embedding BLOB NOT NULL,                -- float16, little-endian, unit norm
  created REAL NOT NULL,
  expires REAL NOT NULL,
  used REAL NOT NULL,
  checksum BLOB NOT NULL,
  UNIQUE (tenant, scope, entry)
);
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (tenant, used);
CREATE INDEX IF NOT EXISTS entries_by_expiry ON entries (expires);
"""
_INSERT = """
INSERT INTO entries (tenant, scope, entry, question, completion, embedding, created, expires, used, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_BUSY_S = 2.0

Gone = list[tuple[int, Scope]]
"""Keys that were deleted, with the scope each was in."""


class SemanticRows:
    """One database file, for one thread at a time. Raises sqlite3.Error, OSError, UnicodeDecodeError."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or starts a new one in place of one that is damaged."""
        self.path = path
        try:
            self._database = _opened(path)
        except (sqlite3.DatabaseError, UnicodeDecodeError):  # the latter from a damaged schema's text
            delete_database(path)
            self._database = _opened(path)
        self.identity: str
        (self.identity,) = self._database.execute("SELECT identity FROM store").fetchone()

    def close(self) -> None:
        self._database.close()

    def add(self, entries: Iterable[Entry], *, now: float) -> list[tuple[int, Gone]]:
        """Of each its new row's key, and what it takes the place of. All are committed when this returns."""
        with _Transaction(self._database):
            return [self._added(entry, now=now) for entry in entries]

    def _added(self, entry: Entry, *, now: float) -> tuple[int, Gone]:
        scope = entry.keys.scope
        embedding = entry.embedding.astype("<f2").tobytes()
        answer = entry.answer
        fields = (
            scope.tenant,
            scope.digest,
            entry.keys.entry,
            entry.question.encode(),
            answer.completion,
            embedding,
            answer.created,
            answer.expires,
        )
        old = self._deleted("tenant = ? AND scope = ? AND entry = ?", fields[:3])
        cursor = self._database.execute(_INSERT, (*fields, now, checksum_of(*fields)))
        assert cursor.lastrowid is not None
        return cursor.lastrowid, old

    def drop(self, tenant: str, *, entry: str | None, scope: str | None) -> Gone:
        conditions, values = ["tenant = ?"], [tenant]
        for column, value in (("entry", entry), ("scope", scope)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        with _Transaction(self._database):
            return self._deleted(" AND ".join(conditions), values)

    def forget(self, key: int) -> None:
        with _Transaction(self._database):
            self._deleted("key = ?", (key,))

    def drop_expired(self, *, now: float, most: int) -> Gone:
        with _Transaction(self._database):
            return self._deleted(
                "key IN (SELECT key FROM entries WHERE expires <= ? ORDER BY expires LIMIT ?)", (now, most)
            )

    def drop_least_used(self, tenant: str, *, most: int) -> Gone:
        with _Transaction(self._database):
            return self._deleted(
                "key IN (SELECT key FROM entries WHERE tenant = ? ORDER BY used LIMIT ?)", (tenant, most)
            )

    def touch(self, used: Iterable[tuple[int, float]]) -> None:
        """Note when keys were last of use."""
        with _Transaction(self._database):
            self._database.executemany(
                "UPDATE entries SET used = ? WHERE key = ?", [(when, key) for key, when in used]
            )

    def count(self, tenant: str) -> int:
        (count,) = self._database.execute(
            "SELECT count(*) FROM entries WHERE tenant = ?", (tenant,)
        ).fetchone()
        return int(count)

    def _deleted(self, where: str, values: Iterable[object]) -> Gone:
        found = self._database.execute(
            f"DELETE FROM entries WHERE {where} RETURNING key, tenant, scope",  # noqa: S608  # fixed strings
            tuple(values),
        ).fetchall()
        return [(key, Scope(tenant=tenant, digest=scope)) for key, tenant, scope in found]


class _Transaction:
    """One transaction, begun for writing at once so that it cannot deadlock half-way."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._database.execute("COMMIT")
            return
        with suppress(sqlite3.Error):  # a failed disk may have rolled back already
            self._database.execute("ROLLBACK")


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        # With WAL a commit survives the process at once; NORMAL syncs at checkpoints, which is for the
        # machine's own crash: the last entries may be lost then, the file is whole.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        database.executescript(_SCHEMA)
        if database.execute("SELECT identity FROM store").fetchone() is None:
            database.execute("INSERT INTO store VALUES (?)", (secrets.token_hex(16),))
        database.execute(SELECT, (0,))
    except BaseException:
        database.close()
        raise
    return database


def delete_database(path: Path) -> None:
    """The file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
