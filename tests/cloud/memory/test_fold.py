"""Which turns are folded: the oldest, whole exchanges, and only when it is due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain_sessions import Turn
from cloud.memory.fold import FoldPolicy, turns_to_fold
from tests.support.turns import dialogue, tool_call, turn

POLICY = FoldPolicy(at=0.7, folds=0.2, state=0.25)


def fold(turns: tuple[Turn, ...], costs: list[int], *, state: int = 0, limit: int = 1000) -> int:
    return turns_to_fold(turns, costs, state_tokens=state, limit_tokens=limit, policy=POLICY)


@pytest.mark.parametrize(
    ("exchanges", "cost", "folded"),
    [
        (7, 50, 0),  # 700 of 1000: not beyond the threshold
        (8, 50, 8),  # the state of 125 needs its room too
        (1, 400, 0),  # the newest exchange stays, however long
        (2, 400, 2),
        (40, 20, 60),  # far beyond: as many as it takes to come to rest
    ],
)
def test_the_oldest_are_folded_when_the_window_passes_the_threshold(
    exchanges: int, cost: int, folded: int
) -> None:
    turns = dialogue(*["x"] * (2 * exchanges))
    assert fold(turns, [cost] * len(turns)) == folded


def test_without_a_limit_nothing_is_due() -> None:
    turns = dialogue("a", "b", "c", "d")
    assert fold(turns, [900] * 4, limit=0) == 0


def test_a_tool_call_is_folded_with_its_result_and_its_answer() -> None:
    turns = (
        turn(1, "user", "weather?"),
        turn(2, "assistant", None, tool_calls=tool_call("c1")),
        turn(3, "tool", "sunny", tool_call_id="c1"),
        turn(4, "assistant", "It is sunny."),
        turn(5, "user", "thanks"),
        turn(6, "assistant", "welcome"),
    )
    assert fold(turns, [200] * 6) == 4


@given(
    costs=st.lists(st.integers(1, 400), min_size=2, max_size=60),
    state=st.integers(0, 250),
    limit=st.integers(100, 4000),
)
def test_a_fold_ends_before_a_users_message_and_leaves_the_newest_exchange(
    costs: list[int], state: int, limit: int
) -> None:
    costs = costs[: len(costs) // 2 * 2]
    turns = dialogue(*["x"] * len(costs))
    cut = fold(turns, costs, state=state, limit=limit)
    assert cut % 2 == 0
    assert cut <= len(turns) - 2
    if not POLICY.is_due(state + sum(costs), limit):
        assert cut == 0


@given(cost=st.integers(5, 60), limit=st.integers(1000, 4000))
def test_after_a_fold_the_next_exchange_does_not_start_another(cost: int, limit: int) -> None:
    turns = dialogue(*["x"] * (2 * (limit // cost)))
    cut = fold(turns, [cost] * len(turns), limit=limit)
    state = POLICY.state_tokens(limit) // 2
    assert not POLICY.is_due(state + cost * (len(turns) - cut + 2), limit) or cost > limit * 0.035
