"""Circuit breakers: after repeated failures, refuse at once and ask again with one probe.

The state machine of Nygard, "Release It!" (2nd edition, section 5.2), pure but for an injected clock:

    closed ──N consecutive failures──▶ open ──cool-down over, next call──▶ half-open (that call is the probe)
       ▲                                ▲                                     │
       └──────────── answered ──────────┼─────────────────────────────────────┤
                                        └── failed: a longer cool-down ───────┘

A probe that was only *answered* (a stream's first document, a refusal of the request) closes the breaker on
trial: the next failure opens it again, the first whole answer ends the trial.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from cloud.wire.errors import (
    DeadlineExceeded,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnavailable,
)

State = Literal["closed", "open", "half_open"]
Judgement = Literal["failed", "answered", "unknown"]
Clock = Callable[[], float]

_NEAR_THE_DEADLINE_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerLimits:
    """When a breaker opens and when it asks again. Times in seconds."""

    failures: int = 3
    """Consecutive failures that open it: the Nth one does."""
    cool_down_s: float = 5.0
    """From opening to the first probe. Each failed probe doubles it."""
    longest_cool_down_s: float = 20.0
    probe_s: float = 10.0
    """How long a probe may stay without any answer before another call may probe beside it."""


class Breaker:
    """One breaker. Every call asks `admit`, and settles the permit it got."""

    __slots__ = (
        "_clock",
        "_cool_down_s",
        "_era",
        "_failures",
        "_limits",
        "_on_change",
        "_probe",
        "_probe_until",
        "_retry_at",
        "_state",
    )

    def __init__(
        self,
        limits: BreakerLimits,
        *,
        clock: Clock = time.monotonic,
        on_change: Callable[[State, State], None] | None = None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._on_change = on_change
        self._state: State = "closed"
        self._failures = 0
        self._cool_down_s = limits.cool_down_s
        self._era = 0
        """Counts openings and closings: what was admitted in another era says nothing about this one."""
        self._retry_at = 0.0
        self._probe: Permit | None = None
        self._probe_until = 0.0

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_idle(self) -> bool:
        """Nothing would be forgotten with it."""
        return self._state == "closed" and self._failures == 0

    def admit(self) -> "Permit":
        """A permit for one call. Raises UpstreamUnavailable, with the time left, while it is open."""
        if self._state == "closed":
            return Permit(self, self._era)
        now = self._clock()
        if now < self._retry_at:
            raise self._refusal(self._retry_at - now)
        if self._probe is not None and now < self._probe_until:
            raise self._refusal(self._probe_until - now)
        self._probe = Permit(self, self._era)
        self._probe_until = now + self._limits.probe_s
        self._become("half_open")
        return self._probe

    def _refusal(self, wait_s: float) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            "the upstream failed repeatedly and is given time to recover",
            retry_after_s=max(1, math.ceil(wait_s)),
        )

    def _answered(self, permit: "Permit") -> None:
        if permit.era == self._era and self._state != "closed":
            self._era += 1
            permit.era = self._era
            self._probe = None
            self._failures = self._limits.failures - 1
            self._become("closed")

    def _succeeded(self, permit: "Permit") -> None:
        self._answered(permit)
        if permit.era == self._era:
            self._failures = 0
            self._cool_down_s = self._limits.cool_down_s

    def _failed(self, permit: "Permit") -> None:
        if permit.era != self._era:
            return
        if self._state == "closed":
            self._failures += 1
            if self._failures >= self._limits.failures:
                self._open()
        elif permit is self._probe:
            self._open()

    def _abandoned(self, permit: "Permit") -> None:
        if permit is self._probe:
            self._probe = None

    def _open(self) -> None:
        self._era += 1
        self._probe = None
        self._retry_at = self._clock() + self._cool_down_s
        self._cool_down_s = min(self._limits.longest_cool_down_s, self._cool_down_s * 2)
        self._become("open")

    def _become(self, state: State) -> None:
        before, self._state = self._state, state
        if before != state and self._on_change is not None:
            self._on_change(before, state)


class Permit:
    """The right to make one call, to be settled by what came of it; the first settlement counts."""

    __slots__ = ("_breaker", "_is_settled", "era")

    def __init__(self, breaker: Breaker, era: int) -> None:
        self._breaker = breaker
        self._is_settled = False
        self.era = era

    def answered(self) -> None:
        """The upstream lives; whether its answer is whole is not known yet. The permit stays open."""
        if not self._is_settled:
            self._breaker._answered(self)

    def succeeded(self) -> None:
        """A whole answer came."""
        if self._settles():
            self._breaker._succeeded(self)

    def failed(self) -> None:
        """The upstream did not answer, or not as it should."""
        if self._settles():
            self._breaker._failed(self)

    def abandoned(self) -> None:
        """Nothing was learned: the caller left, or never got as far as asking."""
        if self._settles():
            self._breaker._abandoned(self)

    def settle(self, judgement: Judgement) -> None:
        match judgement:
            case "failed":
                self.failed()
            case "answered":
                self.answered()
                self.abandoned()
            case "unknown":
                self.abandoned()

    def _settles(self) -> bool:
        first, self._is_settled = not self._is_settled, True
        return first


class Breakers:
    """A breaker for each key, such as a model's name; at most `most` of them at a time.

    Keys may come from callers. When too many are known, idle ones are forgotten, and while none is idle,
    further keys share one breaker, so that inventing keys neither fills the memory nor clears a failure.
    """

    def __init__(
        self,
        limits: BreakerLimits,
        *,
        clock: Clock = time.monotonic,
        on_change: Callable[[str, State, State], None] | None = None,
        most: int = 128,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._on_change = on_change
        self._most = most
        self._by_key: dict[str, Breaker] = {}
        self._of_all_others = self._new("*")

    def of(self, key: str) -> Breaker:
        breaker = self._by_key.get(key)
        if breaker is not None:
            return breaker
        if len(self._by_key) >= self._most:
            self._by_key = {key: known for key, known in self._by_key.items() if not known.is_idle}
            if len(self._by_key) >= self._most:
                return self._of_all_others
        breaker = self._by_key[key] = self._new(key)
        return breaker

    def _new(self, key: str) -> Breaker:
        return Breaker(
            self._limits,
            clock=self._clock,
            on_change=partial(self._on_change, key) if self._on_change is not None else None,
        )


def judge(error: BaseException, *, waited_s: float, remaining_s: float, patience_s: float) -> Judgement:
    """What a call's error says about its upstream.

    `waited_s` is how long nothing had come, `remaining_s` what was left to the caller's deadline. A deadline
    speaks against the upstream only if the caller waited `patience_s`: whoever asks for an answer in a
    millisecond must not close the way for everybody. What goes wrong as a deadline passes is the deadline's.
    """
    is_late = isinstance(error, DeadlineExceeded) or (
        isinstance(error, UpstreamRefused)
        and error.status == 504
        and error.error.get("code") == DeadlineExceeded.code
    )
    match error:
        case UpstreamRefused() if error.status < 500:
            return "answered"
        case UpstreamBroken() if error.code == "upstream_credential":
            return "answered"
        case UpstreamRefused() | UpstreamUnavailable() | UpstreamBroken() | DeadlineExceeded():
            if is_late or remaining_s < _NEAR_THE_DEADLINE_S:
                return "failed" if waited_s >= patience_s else "unknown"
            return "failed"
        case _:
            return "unknown"
