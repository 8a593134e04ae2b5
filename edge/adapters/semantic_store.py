"""Keeps the semantic cache's rows within their quotas, and starts anew when they are damaged."""

import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from edge.adapters.row_reader import RowReader
from edge.adapters.semantic_rows import Gone, SemanticRows, delete_database
from edge.domain import Entry

STORE_ERRORS: Final = (sqlite3.Error, OSError, UnicodeDecodeError)
_SWEEP_EVERY = 256
_SWEEP_MOST = 4096

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """What became of an entry."""

    key: int | None
    """None when it was not kept."""
    gone: Gone
    """What left to make room for it, or because it takes its place."""


class SemanticStore:
    """For one thread, but for `used`, `identity` and `reader`. Errors are met here: a cache may forget."""

    def __init__(self, path: Path, *, entries_per_tenant: int, clock: Callable[[], float]) -> None:
        """Raises OSError or sqlite3.Error when the file cannot be used at all."""
        self._rows = SemanticRows(path)
        self.identity = self._rows.identity
        """Of the file: another after it had to be started anew."""
        self._quota = entries_per_tenant
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._puts = 0
        self.used: deque[tuple[int, float]] = deque()
        """Keys that were of use, and when; anyone may append."""

    def reader(self) -> RowReader:
        """A connection for another thread. Raises sqlite3.Error."""
        return RowReader(self._rows.path)

    def put(self, entries: list[Entry]) -> list[Put]:
        """One transaction for all of them."""
        return self.guarded(lambda: self._put(entries), [Put(key=None, gone=[]) for _ in entries])

    def drop(self, tenant: str, *, entry: str | None, scope: str | None) -> Gone:
        return self.guarded(lambda: self._counted_out(self._rows.drop(tenant, entry=entry, scope=scope)), [])

    def forget(self, key: int) -> None:
        self.guarded(lambda: self._rows.forget(key), None)

    def note_used(self) -> None:
        """Write down when keys were last of use."""
        latest = dict(self.used.popleft() for _ in range(len(self.used)))
        if latest:
            self.guarded(lambda: self._rows.touch(latest.items()), None)

    def guarded(self, work: Callable[[], Result], otherwise: Result) -> Result:
        """What `work` returns; when it cannot read or write, `otherwise`, after seeing to it."""
        try:
            return work()
        except STORE_ERRORS as error:
            self.recover(error)
            return otherwise

    def recover(self, error: Exception) -> None:
        """Start anew when the database is damaged. A full disk or a busy one passes by itself."""
        if isinstance(error, UnicodeDecodeError) or (
            isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        ):
            self._rows.close()
            with suppress(*STORE_ERRORS):  # tried again by the next request
                delete_database(self._rows.path)
                self._rows = SemanticRows(self._rows.path)
                self.identity = self._rows.identity
            self._counts.clear()
            self.used.clear()

    def close(self) -> None:
        self._rows.close()

    def _put(self, entries: list[Entry]) -> list[Put]:
        now = self._clock()
        live = [entry for entry in entries if entry.answer.expires > now]
        room = self._make_room(Counter(entry.keys.scope.tenant for entry in live), now)
        added = iter(self._rows.add(live, now=now) if live else ())
        outcomes = []
        for entry in entries:
            if entry.answer.expires <= now:
                outcomes.append(Put(key=None, gone=room))
            else:
                key, old = next(added)
                tenant = entry.keys.scope.tenant
                self._counts[tenant] = self._counts.get(tenant, 0) + 1
                outcomes.append(Put(key=key, gone=[*room, *self._counted_out(old)]))
            room = []  # told once
        return outcomes

    def _make_room(self, coming: Counter[str], now: float) -> Gone:
        """For so many entries of each tenant."""
        self.note_used()
        gone: Gone = []
        self._puts += coming.total()
        if self._puts >= _SWEEP_EVERY:
            self._puts = 0
            gone += self._counted_out(self._rows.drop_expired(now=now, most=_SWEEP_MOST))
        for tenant, count in coming.items():
            if tenant not in self._counts:
                self._counts[tenant] = self._rows.count(tenant)
            over = self._counts[tenant] + count - self._quota
            if over > 0:
                # A hundredth at once: sorting by use for every single entry would be waste.
                gone += self._counted_out(self._rows.drop_least_used(tenant, most=over + self._quota // 100))
        return gone

    def _counted_out(self, gone: Gone) -> Gone:
        for _, scope in gone:
            if scope.tenant in self._counts:
                self._counts[scope.tenant] -= 1
        return gone
