"""How late the event loop is: the one queue of a service that no counter sees."""

import asyncio
import math

_TICK_S = 0.02
_WEIGHT = 0.05


class LoopLag:
    """The lateness of a timer that comes every twenty milliseconds, smoothed, seconds.

    A loop that is late has more to do than it can; everything accepted then waits for everything else. One
    long stall, or a burst that is soon worked off, is not that: a tick counts for `most_s` at most, so that
    only lateness that stands adds up to half of it.
    """

    def __init__(self, *, most_s: float = math.inf) -> None:
        self.late_s = 0.0
        self._most_s = most_s
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From now on, in the running loop; once."""
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + _TICK_S
        self._timer = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.late_s += _WEIGHT * (min(max(0.0, loop.time() - self._due), self._most_s) - self.late_s)
        self._arm(loop)
