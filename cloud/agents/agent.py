"""An agent is a value: what it is told, what it may use, to whom it may hand over."""

from dataclasses import dataclass

from cloud.domain import Tier


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """One specialist of the orchestrator."""

    name: str
    instructions: str = ""
    """Stands before the conversation; empty for one that adds nothing."""
    tools: tuple[str, ...] = ()
    hands_off_to: tuple[str, ...] = ()
    about: str = ""
    """What it is good for, as other agents are told."""
    model: str | None = None
    """The catalog's name of the model it uses; None leaves the caller's choice."""
    tier: Tier | None = None
    max_turns: int | None = None
    """Its own limits of a run, where they are narrower than the service's."""
    max_tool_calls: int | None = None
    max_tokens: int | None = None
    max_usd: float | None = None

    @property
    def is_plain(self) -> bool:
        """One call to a model is all it ever does."""
        return not self.tools and not self.hands_off_to
