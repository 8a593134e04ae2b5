"""Which processes of this machine are alive: each locks a file in a shared folder for as long as it lives.

The system lets the lock go when a process dies, however it dies: its neighbours know at once.
"""

import fcntl
import os
import uuid
from pathlib import Path

_MOST_DEAD = 100
"""Files of the dead that are kept: whoever asks about one of these is told."""


class Processes:
    """This process among those that share the folder, under a name that no other ever had."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = uuid.uuid4().hex
        folder.mkdir(parents=True, exist_ok=True)
        self._tidy()
        self._lock = os.open(self._file(self.name), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def is_alive(self, name: str) -> bool | None:
        """Whether the process lives; None where nothing here tells: it is of elsewhere, or long gone."""
        try:
            descriptor = os.open(self._file(name), os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def close(self) -> None:
        """From here on this process is as good as dead."""
        os.close(self._lock)

    def _tidy(self) -> None:
        files = sorted(self._folder.glob("*.lock"), key=_made_at, reverse=True)
        dead = [file for file in files if self.is_alive(file.stem) is False]
        for file in dead[_MOST_DEAD:]:
            file.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _made_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # a neighbour tidied it away
        return 0.0
