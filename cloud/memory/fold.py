"""Decides which turns a session's next state object takes in. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.domain_sessions import Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldPolicy:
    """When turns are folded, and how many."""

    at: float = 0.70
    """Share of the prompt's limit beyond which the oldest turns are folded."""
    folds: float = 0.20
    """Share of the turns that are folded, at least."""
    state: float = 0.25
    """Share of the prompt's limit that the state object may take."""

    def is_due(self, window_tokens: int, limit_tokens: int) -> bool:
        return limit_tokens > 0 and window_tokens > self.at * limit_tokens

    def rests_at(self, limit_tokens: int) -> int:
        """Tokens below which a fold ends. Well under `at`, so that the next turn does not start another."""
        return int(self.at * (1 - self.folds) * limit_tokens)

    def state_tokens(self, limit_tokens: int) -> int:
        return int(self.state * limit_tokens)


def turns_to_fold(
    turns: Sequence[Turn],
    costs: Sequence[int],
    *,
    state_tokens: int,
    limit_tokens: int,
    policy: FoldPolicy,
) -> int:
    """How many of `turns` (those after the state, oldest first, with their `costs` in tokens) to fold.

    0 when nothing is due, or nothing may be folded: the newest exchange stays, an exchange is folded
    whole, and a tool call never without its result. `state_tokens` is what the present state costs.
    """
    window = state_tokens + sum(costs)
    if not policy.is_due(window, limit_tokens):
        return 0
    wanted = math.ceil(policy.folds * len(turns))
    rest = policy.rests_at(limit_tokens)
    # The new state will be larger than the present one; how much, nobody knows before it is written.
    left = window - state_tokens + max(state_tokens, policy.state_tokens(limit_tokens) // 2)
    cut = 0
    for position in _boundaries(turns):
        left -= sum(costs[cut:position])
        cut = position
        if cut >= wanted and left <= rest:
            break
    return cut


def _boundaries(turns: Sequence[Turn]) -> list[int]:
    """Where a cut leaves both sides whole: before a user's message, with no tool call unanswered."""
    found = []
    unanswered: set[str] = set()
    for position, turn in enumerate(turns):
        if position and turn.role == "user" and not unanswered:
            found.append(position)
        message = turn.message
        unanswered.update(call.id for call in message.tool_calls or ())
        if message.role == "user":
            unanswered.clear()  # the user went on: nobody will answer them now
        elif message.tool_call_id is not None:
            unanswered.discard(message.tool_call_id)
    return found
