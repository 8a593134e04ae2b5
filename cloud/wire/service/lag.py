"""How late the event loop is: the one queue of a service that no counter sees."""

import asyncio
import math

_TICK_S = 0.02
_WEIGHT = 0.05
_PATIENCE_S = 0.1
_CALM_S = 1.0
_MOST_OF_A_TICK = 16
"""Of the lateness that is too much: so that one long stall is not enough."""


class LoopLag:
    """Whether a timer that comes every twenty milliseconds is late on average, and has been for a while.

    A loop that is late has more to do than it can; everything accepted then waits for everything else. A
    stall or a burst that is soon worked off is not that, so lateness has to stand before it counts (as in
    CoDel, RFC 8289); it counts at once where the last is less than a second ago.
    """

    def __init__(self, *, latest_s: float = math.inf) -> None:
        self.late_s = 0.0
        """Smoothed."""
        self.is_late = False
        self._latest_s = latest_s
        self._since = -math.inf
        self._last = -math.inf
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
        now = loop.time()
        late_s = min(max(0.0, now - self._due), _MOST_OF_A_TICK * self._latest_s)
        self.late_s += _WEIGHT * (late_s - self.late_s)
        if self.late_s > self._latest_s:
            if now - self._last > _CALM_S:
                self._since = now
            self._last = now
            self.is_late = now - self._since >= _PATIENCE_S
        else:
            self.is_late = False
        self._arm(loop)
