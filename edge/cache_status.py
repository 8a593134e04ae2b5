"""The response headers that say what the edge decided and how long it took."""

import time

from edge.domain import Forward

_CACHE = "wayside"


def hit(*, ttl_s: float, detail: str) -> str:
    """`Cache-Status` of an answer from storage (RFC 9211); a stale one's `ttl` is negative."""
    stale = "; stale" if ttl_s < 0 else ""
    return f"{_CACHE}; hit; ttl={int(ttl_s)}{stale}; detail={detail}"


def forwarded(decision: Forward, *, collapsed: bool) -> str:
    """`Cache-Status` of a request that was sent on, and why."""
    shared = "; collapsed" if collapsed else ""
    return f"{_CACHE}; fwd={decision.cause}{shared}; detail={_string(decision.reason)}"


def _string(text: str) -> str:
    """A quoted string of structured fields (RFC 8941, section 3.3.3)."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Stages:
    """Time spent in each stage of one request, for `Server-Timing` (W3C)."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._spent: list[tuple[str, float]] = []

    def done(self, stage: str) -> None:
        """The stage that began when the one before it ended is over."""
        now = time.perf_counter()
        self._spent.append((stage, (now - self._last) * 1000))
        self._last = now

    def header(self) -> str:
        return ", ".join(f"{stage};dur={spent_ms:.3f}" for stage, spent_ms in self._spent)
