"""How a run ends that a limit or a failure stopped: it says so, with what was found. Pure."""

from collections.abc import Sequence

from cloud.agents.fallback import FALLBACK
from cloud.domain_runs import Failure, RunEnd
from cloud.loop import Progress

_MOST_FOUND = 3


def ending(limit: str, found: Sequence[str], progress: Progress) -> RunEnd:
    """Which limit was hit, and what was found until then."""
    return _end(f"I had to stop before I was done: {limit} was reached.", found, progress)


def unanswered(failure: Failure, found: Sequence[str], progress: Progress) -> RunEnd:
    """What tools had found when the model failed; with nothing found, the failure itself."""
    if not found:
        return RunEnd(agent=FALLBACK.name, usage=progress.usage, usd=progress.usd, failure=failure)
    return _end(f"I had to stop before I was done: the model failed ({failure.message}).", found, progress)


def _end(text: str, found: Sequence[str], progress: Progress) -> RunEnd:
    if found:
        text = f"{text} What was found so far:\n\n" + "\n\n".join(found[-_MOST_FOUND:])
    return RunEnd(
        agent=FALLBACK.name, text=text, finish_reason="length", usage=progress.usage, usd=progress.usd
    )
