"""The breaker's states, as a table and as a machine, and what counts as a failure."""

import asyncio
import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloud.wire.errors import (
    DeadlineExceeded,
    InternalError,
    Overloaded,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnavailable,
    WaysideError,
)
from cloud.wire.service.breaker import Breaker, BreakerLimits, Breakers, Permit, State, judge

LIMITS = BreakerLimits(failures=3, cool_down_s=5, longest_cool_down_s=20, probe_s=10)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    """A breaker that has just opened."""
    clock = Clock()
    breaker = Breaker(LIMITS, clock=clock)
    for _ in range(3):
        breaker.admit().failed()
    return breaker, clock


def refused_for_s(breaker: Breaker) -> int:
    with pytest.raises(UpstreamUnavailable) as refusal:
        breaker.admit()
    assert refusal.value.retry_after_s is not None
    return refusal.value.retry_after_s


def test_exactly_the_third_consecutive_failure_opens_it() -> None:
    breaker = Breaker(LIMITS, clock=Clock())
    states: list[State] = []
    for _ in range(3):
        breaker.admit().failed()
        states.append(breaker.state)
    assert states == ["closed", "closed", "open"]


def test_a_whole_answer_in_between_starts_the_count_again() -> None:
    breaker = Breaker(LIMITS, clock=Clock())
    states: list[State] = []
    for outcome in ("failed", "failed", "succeeded", "failed", "failed", "failed"):
        getattr(breaker.admit(), outcome)()
        states.append(breaker.state)
    assert states == ["closed"] * 5 + ["open"]


def test_streams_that_begin_and_break_open_it_too() -> None:
    breaker = Breaker(LIMITS, clock=Clock())
    for _ in range(3):
        permit = breaker.admit()
        permit.answered()
        permit.failed()
    assert breaker.state == "open"


def test_while_open_it_says_how_long_there_is_to_wait() -> None:
    breaker, clock = opened()
    assert refused_for_s(breaker) == 5
    clock.now += 3.5
    assert refused_for_s(breaker) == 2
    clock.now += 1.49
    assert refused_for_s(breaker) == 1


def test_after_the_cool_down_one_probe_goes_and_the_others_are_refused() -> None:
    breaker, clock = opened()
    clock.now += 5
    breaker.admit()
    assert breaker.state == "half_open"
    assert refused_for_s(breaker) == 10
    assert refused_for_s(breaker) == 10


def test_a_probe_that_succeeds_closes_it_and_the_count_starts_again() -> None:
    breaker, clock = opened()
    clock.now += 5
    breaker.admit().succeeded()
    for _ in range(2):
        breaker.admit().failed()
    assert breaker.state == "closed"
    breaker.admit().failed()
    assert refused_for_s(breaker) == 5


def test_each_failed_probe_doubles_the_cool_down_up_to_the_longest() -> None:
    breaker, clock = opened()
    for cool_down_s in (5, 10, 20, 20, 20):
        assert refused_for_s(breaker) == cool_down_s
        clock.now += cool_down_s
        breaker.admit().failed()
        assert breaker.state == "open"


def test_a_probe_whose_stream_begins_lets_everybody_through_on_trial() -> None:
    breaker, clock = opened()
    clock.now += 5
    probe = breaker.admit()
    probe.answered()
    assert breaker.state == "closed"
    breaker.admit()
    probe.failed()
    assert refused_for_s(breaker) == 10


def test_the_first_whole_answer_ends_the_trial() -> None:
    breaker, clock = opened()
    clock.now += 5
    probe = breaker.admit()
    probe.answered()
    probe.succeeded()
    breaker.admit().failed()
    assert breaker.state == "closed"


def test_an_abandoned_probe_leaves_its_place_to_the_next() -> None:
    breaker, clock = opened()
    clock.now += 5
    breaker.admit().abandoned()
    breaker.admit().succeeded()
    assert breaker.state == "closed"


def test_a_client_of_before_that_leaves_during_a_probe_lets_nobody_through() -> None:
    clock = Clock()
    breaker = Breaker(LIMITS, clock=clock)
    before = breaker.admit()
    for _ in range(3):
        breaker.admit().failed()
    clock.now += 5
    breaker.admit()
    before.abandoned()
    assert refused_for_s(breaker) == 10


def test_a_probe_that_hangs_gives_way_after_a_while_and_its_end_is_not_a_failure() -> None:
    breaker, clock = opened()
    clock.now += 5
    hanging = breaker.admit()
    clock.now += 10
    second = breaker.admit()
    hanging.failed()
    assert refused_for_s(breaker) == 10
    second.succeeded()
    assert breaker.state == "closed"


def test_a_late_answer_to_an_earlier_probe_still_closes_it() -> None:
    breaker, clock = opened()
    clock.now += 5
    slow = breaker.admit()
    clock.now += 10
    second = breaker.admit()
    slow.succeeded()
    assert breaker.state == "closed"
    second.failed()
    assert breaker.state == "closed"


@pytest.mark.parametrize("outcome", ["failed", "succeeded", "answered", "abandoned"])
def test_what_was_admitted_before_it_opened_changes_nothing_after(outcome: str) -> None:
    breaker = Breaker(LIMITS, clock=Clock())
    before = breaker.admit()
    for _ in range(3):
        breaker.admit().failed()
    getattr(before, outcome)()
    assert breaker.state == "open"
    assert refused_for_s(breaker) == 5


def test_a_permit_counts_once() -> None:
    breaker = Breaker(LIMITS, clock=Clock())
    permit = breaker.admit()
    for _ in range(5):
        permit.failed()
    assert breaker.state == "closed"


def test_every_change_is_told_once() -> None:
    clock = Clock()
    changes: list[tuple[State, State]] = []
    breaker = Breaker(LIMITS, clock=clock, on_change=lambda before, after: changes.append((before, after)))
    for _ in range(3):
        breaker.admit().failed()
    clock.now += 5
    breaker.admit().failed()
    clock.now += 10
    breaker.admit().succeeded()
    told: list[tuple[State, State]] = [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]
    assert changes == told


def test_keys_fail_apart() -> None:
    breakers = Breakers(LIMITS, clock=Clock())
    for _ in range(3):
        breakers.of("ill").admit().failed()
    assert breakers.of("ill").state == "open"
    assert breakers.of("well").state == "closed"


def test_inventing_keys_neither_fills_the_memory_nor_clears_a_failure() -> None:
    breakers = Breakers(LIMITS, clock=Clock(), most=4)
    for _ in range(3):
        breakers.of("ill").admit().failed()
    for number in range(1000):
        breakers.of(f"invented-{number}").admit().succeeded()
    assert breakers.of("ill").state == "open"
    for number in range(3):
        breakers.of(f"failing-{number}").admit().failed()
    assert breakers.of("one more") is breakers.of("and another")


@pytest.mark.parametrize(
    ("error", "judgement"),
    [
        (UpstreamUnavailable("x"), "failed"),
        (UpstreamBroken("x"), "failed"),
        (UpstreamBroken("x", code="upstream_credential"), "answered"),
        (UpstreamRefused(status=500, error={}), "failed"),
        (UpstreamRefused(status=502, error={}), "failed"),
        (UpstreamRefused(status=503, error={}), "failed"),
        (UpstreamRefused(status=504, error={}), "failed"),
        (UpstreamRefused(status=504, error={"code": "deadline_exceeded"}), "unknown"),
        (UpstreamRefused(status=400, error={}), "answered"),
        (UpstreamRefused(status=404, error={}), "answered"),
        (UpstreamRefused(status=429, error={}), "answered"),
        (DeadlineExceeded("x"), "unknown"),
        (Overloaded("x"), "unknown"),
        (InternalError("x"), "unknown"),
        (ValueError("a bug of ours"), "unknown"),
        (asyncio.CancelledError(), "unknown"),
    ],
)
def test_what_an_error_says_about_the_upstream(error: BaseException, judgement: str) -> None:
    assert judge(error, waited_s=1, remaining_s=60, patience_s=30) == judgement


@pytest.mark.parametrize(
    ("error", "waited_s", "remaining_s", "judgement"),
    [
        (DeadlineExceeded("x"), 0.3, 0, "unknown"),
        (DeadlineExceeded("x"), 29.9, 0, "unknown"),
        (DeadlineExceeded("x"), 30, 0, "failed"),
        (UpstreamRefused(status=504, error={"code": "deadline_exceeded"}), 31, 0.05, "failed"),
        # The next hop may notice the deadline first, and break off.
        (UpstreamBroken("x"), 0.3, 0.05, "unknown"),
        (UpstreamBroken("x"), 0.3, 0.2, "failed"),
        (UpstreamUnavailable("x"), 0.3, -0.01, "unknown"),
    ],
)
def test_a_tiny_deadline_is_no_failure_of_the_upstream(
    error: WaysideError, waited_s: float, remaining_s: float, judgement: str
) -> None:
    assert judge(error, waited_s=waited_s, remaining_s=remaining_s, patience_s=30) == judgement


class Machine(RuleBasedStateMachine):
    """Random calls, outcomes and pauses against what the breaker promises."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.changes: list[tuple[State, State]] = []
        self.breaker = Breaker(
            LIMITS, clock=self.clock, on_change=lambda before, after: self.changes.append((before, after))
        )
        self.under_way: list[Permit] = []
        self.opened_at = -math.inf
        self.probed_at = -math.inf
        self.may_probe_again = False

    @rule()
    def call(self) -> None:
        before = self.breaker.state
        try:
            self.under_way.append(self.breaker.admit())
        except UpstreamUnavailable as refusal:
            wait_s = refusal.retry_after_s or 0
            assert before != "closed"
            assert 1 <= wait_s <= LIMITS.longest_cool_down_s
        else:
            if before != "closed":
                assert self.clock.now >= self.opened_at + LIMITS.cool_down_s
                if before == "half_open":
                    assert self.may_probe_again or self.clock.now >= self.probed_at + LIMITS.probe_s
                self.probed_at = self.clock.now
                self.may_probe_again = False

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(["failed", "succeeded", "answered", "abandoned"]))
    def settle(self, data: st.DataObject, outcome: str) -> None:
        permit = data.draw(st.sampled_from(self.under_way))
        before = self.breaker.state
        getattr(permit, outcome)()
        if outcome != "answered":
            self.under_way.remove(permit)
        if outcome == "abandoned":
            self.may_probe_again = True
        if self.breaker.state == "open" and before != "open":
            assert outcome == "failed"
            self.opened_at = self.clock.now
        if before == "open":
            assert self.breaker.state == "open", "only a probe leads out"

    @rule(seconds=st.sampled_from([0.5, 1, 4.9, 5, 10, 20]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def recover(self) -> None:
        """Whatever happened: once the upstream is well, a caller who keeps asking is served in 30 s."""
        until = self.clock.now + 30
        while self.clock.now <= until:
            try:
                permit = self.breaker.admit()
            except UpstreamUnavailable:
                self.clock.now += 0.5
                continue
            permit.succeeded()
            assert self.breaker.state == "closed"
            return
        raise AssertionError("it did not come back in 30 s")

    @invariant()
    def changes_are_a_path(self) -> None:
        states: list[State] = ["closed"]
        for before, after in self.changes:
            assert before == states[-1] != after
            states.append(after)
        assert states[-1] == self.breaker.state


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
