"""The route table in force: follows its file, and keeps the last good one."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from edge.routes import RoutesRefused, RouteTable, read_routes

_RECHECK_S = 1.0


class WatchedRoutes:
    """Reads the file again when it has changed, looked at once a second.

    A table takes the place of another at once and whole. A bad file changes nothing: `told` hears what
    is wrong with it (empty when all is well again), and the table before it stays in force.
    """

    def __init__(
        self, path: Path, *, told: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises RoutesRefused: an edge does not start on a bad table."""
        self._path = path
        self._told = told
        self._clock = clock
        self._checked_at = clock()
        self._stamp = self._file_stamp()
        self._table = read_routes(path)

    def current(self) -> RouteTable:
        now = self._clock()
        if now - self._checked_at >= _RECHECK_S:
            self._checked_at = now
            stamp = self._file_stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._table = read_routes(self._path)
                except RoutesRefused as error:
                    self._told(str(error))
                else:
                    self._told("")
        return self._table

    def _file_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
