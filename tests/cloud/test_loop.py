"""A run's limits, as a table: each stops before the step that would pass it."""

import pytest

from cloud.loop import (
    Progress,
    RunLimits,
    stops_before_calls,
    stops_before_hand_off,
    stops_before_turn,
)
from cloud.wire.answers import Usage

LIMITS = RunLimits(turns=3, tool_calls=4, tokens=100, usd=0.5, same_calls=2)


def used(tokens: int = 0, usd: float = 0.0, turns: int = 1) -> Progress:
    progress = Progress()
    for _ in range(turns):
        progress = progress.after_turn(Usage(prompt_tokens=tokens, completion_tokens=0), usd)
    return progress


@pytest.mark.parametrize(
    ("progress", "named"),
    [
        (used(), None),
        (used(turns=3), "3 steps"),
        (used(tokens=100), "100 tokens"),
        (used(usd=0.5), "0.5 US dollars"),
    ],
)
def test_a_step_is_not_begun_beyond_a_limit(progress: Progress, named: str | None) -> None:
    stop = stops_before_turn(progress, LIMITS)
    assert stop is None if named is None else named in (stop or "")


def test_tool_calls_are_counted_and_the_same_one_is_not_made_again_and_again() -> None:
    progress = Progress().after_calls(["a(1)", "a(1)", "b(2)"])
    assert stops_before_calls(progress, LIMITS, ["b(2)"]) is None
    assert "repeated" in (stops_before_calls(progress, LIMITS, ["a(1)"]) or "")
    assert "repeated" in (stops_before_calls(Progress(), LIMITS, ["c(1)"] * 3) or "")
    assert "4 tool calls" in (stops_before_calls(progress, LIMITS, ["c(1)", "d(1)"]) or "")


def test_handing_back_at_once_is_a_circle_and_handing_on_is_not() -> None:
    progress = Progress().handed_to("chat").handed_to("analysis")
    assert stops_before_hand_off(progress, "research") is None
    assert "circle" in (stops_before_hand_off(progress, "chat") or "")
    assert "circle" in (stops_before_hand_off(progress.handed_to("research"), "chat") or "")


def test_handing_back_after_work_is_no_circle() -> None:
    progress = Progress().handed_to("chat").handed_to("analysis").after_calls(["a(1)"])
    assert stops_before_hand_off(progress, "chat") is None
    assert "circle" in (stops_before_hand_off(progress.handed_to("chat").handed_to("analysis"), "chat") or "")
