"""When a run must end: its limits, what it has used, and why it stops. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cloud.agents.agent import Agent
from cloud.wire.answers import Usage

HAND_OFF = "hand_off_to_"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLimits:
    """What one run may use, each with a safe default."""

    turns: int = 10
    """Steps of a model."""
    tool_calls: int = 16
    tokens: int = 60_000
    """Read and written together."""
    usd: float = 1.0
    same_calls: int = 2
    """How often the same tool may be called with the same arguments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What a run has used so far."""

    turns: int = 0
    tool_calls: int = 0
    usage: Usage = field(default_factory=Usage)
    usd: float = 0.0
    agents: tuple[str, ...] = ()
    """In the order they took over."""
    calls_before: tuple[int, ...] = ()
    """Tool calls that were done when each of them did."""
    calls: tuple[str, ...] = ()
    """Each tool call with its arguments; a hand-over begins anew."""

    def after_turn(self, usage: Usage, usd: float) -> "Progress":
        total = Usage(
            prompt_tokens=self.usage.prompt_tokens + usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens + usage.completion_tokens,
            total_tokens=self.usage.total_tokens + usage.prompt_tokens + usage.completion_tokens,
        )
        return replace(self, turns=self.turns + 1, usage=total, usd=self.usd + usd)

    def after_calls(self, calls: Sequence[str]) -> "Progress":
        return replace(self, tool_calls=self.tool_calls + len(calls), calls=(*self.calls, *calls))

    def handed_to(self, agent: str) -> "Progress":
        return replace(
            self,
            agents=(*self.agents, agent),
            calls_before=(*self.calls_before, self.tool_calls),
        )


def tightened(limits: RunLimits, agent: Agent) -> RunLimits:
    """The limits while the agent has the word: its own where they are narrower."""
    return replace(
        limits,
        turns=min(limits.turns, agent.max_turns or limits.turns),
        tool_calls=limits.tool_calls
        if agent.max_tool_calls is None
        else min(limits.tool_calls, agent.max_tool_calls),
        tokens=min(limits.tokens, agent.max_tokens or limits.tokens),
        usd=min(limits.usd, agent.max_usd) if agent.max_usd and limits.usd else agent.max_usd or limits.usd,
    )


def stops_before_turn(progress: Progress, limits: RunLimits) -> str | None:
    """Which limit a further step of a model would pass, in words; None where none."""
    if progress.turns >= limits.turns:
        return f"the limit of {limits.turns} steps"
    if progress.usage.total_tokens >= limits.tokens:
        return f"the limit of {limits.tokens:,} tokens"
    if limits.usd > 0 and progress.usd >= limits.usd:
        return f"the limit of {limits.usd:g} US dollars"
    return None


def stops_before_calls(progress: Progress, limits: RunLimits, calls: Sequence[str]) -> str | None:
    """Which limit these tool calls would pass."""
    if progress.tool_calls + len(calls) > limits.tool_calls:
        return f"the limit of {limits.tool_calls} tool calls"
    for call in calls:
        if progress.calls.count(call) + calls.count(call) > limits.same_calls:
            return f"the same tool call repeated {limits.same_calls} times"
    return None


def stops_before_hand_off(progress: Progress, to: str) -> str | None:
    """Back to an agent that had its turn, with nothing done since, goes in circles."""
    for agent, calls in zip(reversed(progress.agents), reversed(progress.calls_before), strict=True):
        if agent == to:
            circle = f"agents handing over in a circle (back to {to})"
            return circle if calls == progress.tool_calls else None
    return None
