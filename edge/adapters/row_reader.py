"""Reads the semantic cache's rows: candidates for the event loop, vectors for an index."""

import hashlib
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.domain import Entry, Keys, Scope, StoredAnswer, Vector

Vectors = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Keys and their unit vectors, shape (n, dimensions)."""

SELECT = """
SELECT tenant, scope, entry, question, completion, embedding, created, expires, checksum
FROM entries WHERE key = ?
"""
_AT_ONCE = 4096
_TIMES = struct.Struct(">dd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One entry with its key, proven to be what was written."""

    key: int
    entry: Entry


class RowReader:
    """A connection of its own, for one thread at a time. In WAL mode a reader waits for no writer.

    Raises sqlite3.Error, OSError, UnicodeDecodeError.
    """

    def __init__(self, path: Path) -> None:
        """The file is there already, with its tables."""
        self._database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )

    def close(self) -> None:
        self._database.close()

    def read(self, key: int) -> Row | None:
        """The row, or None when it is gone or damaged."""
        found = self._database.execute(SELECT, (key,)).fetchone()
        return None if found is None else _checked(key, found)

    def keys(self, scope: Scope, *, now: float) -> npt.NDArray[np.int64]:
        """Of a scope's live rows."""
        found = self._database.execute(
            "SELECT key FROM entries WHERE tenant = ? AND scope = ? AND expires > ?",
            (scope.tenant, scope.digest, now),
        ).fetchall()
        return np.array([key for (key,) in found], np.int64)

    def vectors(self, scope: Scope, *, dimensions: int, now: float) -> Iterator[Vectors]:
        """Those of a scope's live rows, some thousands at a time, damaged ones left out."""
        cursor = self._database.execute(
            "SELECT key, embedding FROM entries WHERE tenant = ? AND scope = ? AND expires > ?",
            (scope.tenant, scope.digest, now),
        )
        while found := cursor.fetchmany(_AT_ONCE):
            kept = [
                (key, blob) for key, blob in found if isinstance(blob, bytes) and len(blob) == 2 * dimensions
            ]
            keys = np.array([key for key, _ in kept], np.int64)
            matrix = np.frombuffer(b"".join(blob for _, blob in kept), "<f2").reshape(len(kept), dimensions)
            matrix = matrix.astype(np.float32)
            norms = np.linalg.norm(matrix, axis=1)
            sound = np.isfinite(norms) & (norms > 0.5) & (norms < 2.0)
            yield keys[sound], np.ascontiguousarray(matrix[sound])


def _checked(key: int, found: tuple[object, ...]) -> Row | None:
    match found:
        case (
            str(tenant),
            str(scope),
            str(entry),
            bytes(question),
            bytes(completion),
            bytes(embedding),
            float(created),
            float(expires),
            bytes(checksum),
        ):
            fields = (tenant, scope, entry, question, completion, embedding, created, expires)
            if checksum != checksum_of(*fields):
                return None
        case _:
            return None
    vector: Vector = np.frombuffer(embedding, "<f2").astype(np.float32)
    return Row(
        key=key,
        entry=Entry(
            keys=Keys(entry=entry, scope=Scope(tenant=tenant, digest=scope)),
            question=question.decode(),
            embedding=vector,
            answer=StoredAnswer(id=entry, completion=completion, created=created, expires=expires),
        ),
    )


def checksum_of(
    tenant: str,
    scope: str,
    entry: str,
    question: bytes,
    completion: bytes,
    embedding: bytes,
    created: float,
    expires: float,
) -> bytes:
    digest = hashlib.blake2b(_TIMES.pack(created, expires), digest_size=16)
    for part in (tenant.encode(), scope.encode(), entry.encode(), question, completion, embedding):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
