"""What to do about a provider's failure. Pure."""

from dataclasses import dataclass
from typing import Literal

from cloud.domain import Model
from cloud.wire.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnavailable,
    WaysideError,
)

Disposition = Literal["retry", "next", "larger", "final"]
"""Ask the same model again; go on to the next; go on to one with a larger context; tell the caller."""

_CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayLimits:
    """How hard the gateway tries. Times in seconds."""

    retries: int = 1
    """Further attempts at one model before the next one's turn."""
    first_wait_s: float = 0.25
    longest_wait_s: float = 2.0
    """Waits double from the first to the longest; a longer `Retry-After` sends the call to the next model."""
    first_token_s: float = 10.0
    """Patience with a model's first content while another model could answer instead."""
    hedge_after_s: float = 0.0
    """Without a first document for so long, the next model is asked as well; 0 for never."""
    hedge_share: float = 0.1
    """Of all calls, those that may be asked twice for it."""
    retry_share: float = 0.2
    """Retries a call earns the next ones: a failing provider is not asked twice by everybody."""
    retry_reserve: float = 10.0
    """Retries that may be saved up."""


def disposition(error: WaysideError) -> Disposition:
    """What a failure before any content asks for."""
    match error:
        case UpstreamRefused():
            return _refused(error)
        case DeadlineExceeded() | InvalidRequest():
            return "final"
        case UpstreamBroken() if error.code == "upstream_credential":
            return "next"  # the operator's key is refused: asking again changes nothing
        case UpstreamUnavailable() | UpstreamBroken() | Overloaded():
            return "retry"
        case _:
            return "final"


def _refused(error: UpstreamRefused) -> Disposition:
    code = str(error.error.get("code") or error.error.get("type") or "")
    if code in _FILTER_CODES:
        return "final"
    if code in _CONTEXT_CODES or error.status == 413:
        return "larger"
    if error.status in (408, 409, 425, 429) or error.status >= 500:
        return "retry"
    return "next" if error.status in (401, 402, 403, 404) else "final"


def wait_s(attempt: int, error: WaysideError, limits: GatewayLimits, *, chance: float) -> float | None:
    """Seconds before attempt number `attempt` (from 1) at the same model; None where it is not worth waiting.

    `chance` in [0, 1) spreads the waits of many callers (full jitter over the upper half).
    """
    if attempt > limits.retries:
        return None
    usual = min(limits.longest_wait_s, limits.first_wait_s * 2.0 ** (attempt - 1))
    if error.retry_after_s is not None:
        return float(error.retry_after_s) if error.retry_after_s <= limits.longest_wait_s else None
    return usual * (0.5 + chance / 2)


def line_up(model: Model, models: tuple[Model, ...]) -> tuple[Model, ...]:
    """The model and those the operator lets answer in its place, in order, each once."""
    known = {one.name: one for one in models}
    line = [model]
    for one in line:  # grows while it is walked: a fallback may have fallbacks
        line += [known[name] for name in one.fallbacks if name in known and known[name] not in line]
    return tuple(line)


def is_larger(one: Model, than: Model) -> bool:
    """Whether a prompt too long for the second may fit the first."""
    return (
        one.context_tokens is None or than.context_tokens is None or one.context_tokens > than.context_tokens
    )
