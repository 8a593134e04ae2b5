"""The exact cache on diskcache: bytes only, each value sealed with a checksum."""

import asyncio
import hashlib
import shutil
import sqlite3
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import diskcache

from edge.domain import Keys, StoredAnswer
from edge.ports import EntryKey

_HEAD = struct.Struct(">4sdd")
_MAGIC = b"wex1"
_BUSY_S = 0.05
"""How long a read or write waits for another process before it counts as a miss."""
_CACHED_PAGES = 512
"""Of 4 KiB."""
_OUT_OF_REACH = (OSError, sqlite3.Error, diskcache.Timeout, UnicodeDecodeError)

Result = TypeVar("Result")


class _NotBytes(Exception):
    """A stored value is of a kind we never store: somebody else put it there."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """diskcache's storage without its pickle: text keys, bytes values, nothing else either way.

    diskcache loads whatever a row's mode says is a pickle, so that whoever can write its folder can
    run code in its reader (CVE-2025-69872). Here such a row is an error, read or written.
    """

    def put(self, key: object) -> tuple[str, bool]:
        if not isinstance(key, str):
            _refuse()
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or not isinstance(key, str):
            _refuse()
        return key

    def store(self, value: object, read: bool, key: object = None) -> Any:
        if not isinstance(value, bytes) or read:
            _refuse()
        return super().store(value, False, key)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes:
        if mode not in (diskcache.core.MODE_RAW, diskcache.core.MODE_BINARY) or read:
            _refuse()
        fetched = super().fetch(mode, filename, value, False)
        if not isinstance(fetched, bytes):
            _refuse()
        return fetched


def _refuse() -> NoReturn:
    raise _NotBytes


class DiskcacheExact:
    """Answers by entry, in one folder private to its owner, at most `max_bytes` of them.

    Reads happen on the event loop: at a few microseconds they are shorter than a hop to a thread.
    Writes, which may wait for the disk, have a thread of their own. Answers read lately are kept in
    memory as well, up to `memory_bytes`. Whatever is written or dropped leaves the memory, before and
    after: a read in between may have brought the old answer back.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        memory_bytes: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._clock = clock
        self._recent = _Recent(memory_bytes)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="exact-cache")
        self._cache = self._opened()

    async def get(self, key: EntryKey) -> StoredAnswer | None:
        cache = self._cache
        if cache is None:
            return None
        place = _key(key.tenant, key.entry)
        if (recent := self._recent.get(place)) is not None:
            return recent if recent.expires > self._clock() else None
        try:
            sealed = cache.get(place)
        except (*_OUT_OF_REACH, _NotBytes, ValueError, TypeError) as error:
            self._writer.submit(self._after, error)
            return None
        if sealed is None:
            return None
        answer = _unsealed(place, sealed)
        if answer is None or answer.expires <= self._clock():
            return None
        found = StoredAnswer(
            id=key.entry, completion=answer.completion, created=answer.created, expires=answer.expires
        )
        self._recent.keep(place, found)
        return found

    async def put(self, keys: Keys, answer: StoredAnswer) -> bool:
        key = _key(keys.tenant, keys.entry)
        self._recent.forget(key)
        kept = await self._write(lambda: self._put(keys, answer), otherwise=False)
        self._recent.forget(key)
        return kept

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        self._recent.clear()
        dropped = await self._write(lambda: self._drop(tenant, entry, scope), otherwise=0)
        self._recent.clear()
        return dropped

    async def aclose(self) -> None:
        await asyncio.to_thread(self._writer.shutdown)
        if self._cache is not None:
            self._cache.close()

    async def _write(self, work: Callable[[], Result], *, otherwise: Result) -> Result:
        def guarded() -> Result:
            try:
                return work()
            except (*_OUT_OF_REACH, _NotBytes) as error:
                self._after(error)
                return otherwise

        return await asyncio.get_running_loop().run_in_executor(self._writer, guarded)

    def _put(self, keys: Keys, answer: StoredAnswer) -> bool:
        left_s = answer.expires - self._clock()
        if self._cache is None or left_s <= 0:
            return False
        key = _key(keys.tenant, keys.entry)
        tag = _key(keys.tenant, keys.scope.digest)
        kept = self._cache.set(key, _sealed(key, answer), expire=left_s, tag=tag)
        return bool(kept)

    def _drop(self, tenant: str, entry: str | None, scope: str | None) -> int:
        if self._cache is None:
            return 0
        if entry is not None:
            return int(self._cache.delete(_key(tenant, entry)))
        if scope is not None:
            return int(self._cache.evict(_key(tenant, scope)))
        own = _key(tenant, "")
        mine = [key for key in self._cache.iterkeys() if key.startswith(own)]
        return sum(int(self._cache.delete(key)) for key in mine)

    def _opened(self) -> Any:
        """The cache, emptied if it cannot be read; None when there is no place for one."""
        for _ in range(2):
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._folder.chmod(0o700)
                cache = diskcache.Cache(
                    str(self._folder),
                    timeout=_BUSY_S,
                    disk=BytesDisk,
                    size_limit=self._max_bytes,
                    eviction_policy="least-recently-stored",  # any other turns reads into writes
                    tag_index=True,
                    statistics=False,
                    # Each thread has a connection, and its defaults are 32 MB of pages for each and
                    # 64 MB mapped: memory that only grows. Answers read lately are kept by ourselves.
                    sqlite_cache_size=_CACHED_PAGES,
                    sqlite_mmap_size=0,
                )
                (sound,) = cache._sql("PRAGMA quick_check(1)").fetchone()
                if sound == "ok":
                    return cache
                cache.close()
            except (*_OUT_OF_REACH, _NotBytes, ValueError, TypeError, KeyError, AttributeError):
                pass  # a damaged settings table fails in many ways, all of them mended the same way
            shutil.rmtree(self._folder, ignore_errors=True)
        return None

    def _after(self, error: Exception) -> None:
        """Start anew when the database is damaged. A full disk or a busy one passes by itself."""
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if damaged and self._cache is not None:
            self._cache.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._cache = self._opened()


class _Recent:
    """Answers by key, the least recently read let go first."""

    def __init__(self, most_bytes: int) -> None:
        self._left = self._most = most_bytes
        self._answers: OrderedDict[str, StoredAnswer] = OrderedDict()

    def get(self, key: str) -> StoredAnswer | None:
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def keep(self, key: str, answer: StoredAnswer) -> None:
        self.forget(key)
        self._answers[key] = answer
        self._left -= _cost(answer)
        while self._left < 0:
            _, oldest = self._answers.popitem(last=False)
            self._left += _cost(oldest)

    def forget(self, key: str) -> None:
        if (answer := self._answers.pop(key, None)) is not None:
            self._left += _cost(answer)

    def clear(self) -> None:
        self._answers.clear()
        self._left = self._most


def _cost(answer: StoredAnswer) -> int:
    return len(answer.completion) + 512


def _key(tenant: str, rest: str) -> str:
    # No tenant's name holds a slash, so no tenant's keys begin with another's.
    return f"{tenant}/{rest}"


def _sealed(key: str, answer: StoredAnswer) -> bytes:
    body = _HEAD.pack(_MAGIC, answer.created, answer.expires) + answer.completion
    return _checksum(key, body) + body


def _unsealed(key: str, sealed: bytes) -> StoredAnswer | None:
    """The answer, or None when these are not the very bytes that were stored under this key."""
    digest, body = sealed[:32], sealed[32:]
    if len(body) < _HEAD.size or digest != _checksum(key, body):
        return None
    magic, created, expires = _HEAD.unpack_from(body)
    if magic != _MAGIC:
        return None
    return StoredAnswer(id="", completion=body[_HEAD.size :], created=created, expires=expires)


def _checksum(key: str, body: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + b"\0" + body, digest_size=32).digest()
