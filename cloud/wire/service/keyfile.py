"""The key file: hashed API keys on disk, read by the service, written by its command line."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cloud.wire.keys import NO_LIMITS, TENANT, KeyRecord, Keyring, Limits, Role, new_key
from cloud.wire.service.settings import StartUpError

_RECHECK_S = 1.0
"""How long a revoked key may still be honoured."""


class KeyFile:
    """One JSON file of key records, mode 0600, replaced whole.

    A plain file, so that it can be mounted read-only where an orchestrator keeps secrets.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> tuple[KeyRecord, ...]:
        """Every key. Raises StartUpError when the file is there but not a key file."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=tuple[KeyRecord, ...])
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StartUpError(f"cannot read the key file {self.path}: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StartUpError(f"{self.path} is not a key file: {error}") from error

    def add(
        self,
        *,
        tenant: str,
        role: Role = "client",
        development: bool = False,
        pins: bool = False,
        limits: Limits = NO_LIMITS,
    ) -> str:
        """Make a key, keep its hash, return the key itself: the only time it is seen."""
        if not TENANT.fullmatch(tenant):
            raise StartUpError("a tenant's name is 1 to 64 letters, digits, '.', '_' or '-'")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        token, record = new_key(
            tenant=tenant, role=role, created_at=now, development=development, pins=pins, limits=limits
        )
        self.keep(record)
        return token

    def keep(self, record: KeyRecord) -> None:
        """Store a record, in place of one with the same id."""
        with self._locked():
            others = (kept for kept in self.records() if kept.id != record.id)
            self._write((*others, record))

    def revoke(self, key_id: str) -> bool:
        """Forget a key; False when there is none with this id. Running services follow in a second."""
        with self._locked():
            records = self.records()
            kept = tuple(record for record in records if record.id != key_id)
            if len(kept) == len(records):
                return False
            self._write(kept)
            return True

    def _write(self, records: tuple[KeyRecord, ...]) -> None:
        staged = self.path.with_suffix(".new")
        write_private(staged, msgspec.json.format(msgspec.json.encode(records)) + b"\n")
        staged.replace(self.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two command lines at once must not lose each other's key."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self.path.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StartUpError(f"cannot write the key file {self.path}: {error.strerror}") from error


class WatchedKeyring:
    """The current ring of a key file, re-read when the file changes, looked at once a second."""

    def __init__(
        self,
        file: KeyFile,
        *,
        honours_development_keys: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._development = honours_development_keys
        self._clock = clock
        self._checked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._ring = Keyring(())

    def current(self) -> Keyring:
        now = self._clock()
        if now - self._checked_at >= _RECHECK_S:
            self._checked_at = now
            stamp = self._file_stamp()
            if stamp != self._stamp:
                self._read(stamp)
        return self._ring

    def _file_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._file.path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self, stamp: tuple[int, int, int] | None) -> None:
        try:
            records = self._file.records()
        except StartUpError:
            # An unreadable file honours nobody: failing open would bring revoked keys back. It is
            # read again the next second, changed or not, since a fault may pass.
            self._ring, self._stamp = Keyring(()), None
            return
        self._ring = Keyring(
            tuple(record for record in records if self._development or not record.development)
        )
        self._stamp = stamp


def write_private(path: Path, content: bytes) -> None:
    """Write a file only its owner can read, and have it on disk before returning."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
