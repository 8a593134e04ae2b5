"""The edge's decision: pure functions of what a request is and what was found for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.cacheability import Cacheability
from edge.domain import (
    AnswerLocally,
    Decision,
    Decline,
    Encoding,
    Examined,
    Forward,
    Pin,
    Refused,
    Reuse,
    StoredAnswer,
    Verdict,
    Verified,
)
from edge.routes import Routed

VERSION = "2"
"""Goes up when the same answers must no longer be found under the same requests: guards, personal
words, keys."""


NOT_FROM_THE_CACHE: frozenset[Pin | None] = frozenset({"cloud", "local"})
"""Pins of clients that want no answer given before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Uses:
    """What may be used for a request; each None where nothing speaks against it, else why not."""

    exact: str | None
    knowledge: str | None
    semantic: str | None
    store_exact: str | None
    store_semantic: str | None


def uses(
    cacheability: Cacheability,
    *,
    routed: Routed,
    encoding: Encoding | None,
    expected_bundle: str,
    injection_threshold: float,
    pin: Pin | None,
) -> Uses:
    """What the route, the reading and the client allow, once all three are known."""
    rule = routed.rule
    if encoding is None:
        reading: str | None = "no model bundle"
        injected = None
    else:
        injected = "injection" if encoding.injection >= injection_threshold else None
        reading = (
            injected
            or ("longer than the window" if encoding.truncated else None)
            or ("another bundle" if encoding.bundle != expected_bundle else None)
        )
    unsure = None if routed.is_sure else "below confidence"
    off = "cache off" if rule.cache == "off" else None
    exact_only = "exact only" if rule.cache == "exact" else None
    semantic = cacheability.semantic or off or exact_only or reading or unsure
    return Uses(
        exact=("pinned" if pin in NOT_FROM_THE_CACHE else None) or cacheability.exact,
        knowledge=(
            ("pinned" if pin in ("cloud", "cache") else None)
            or ("knowledge off" if not rule.knowledge else None)
            or cacheability.knowledge
            or reading
            or unsure
        ),
        semantic=("pinned" if pin in NOT_FROM_THE_CACHE else None) or semantic,
        store_exact=cacheability.store or off or injected,
        store_semantic=cacheability.store or semantic,
    )


OVER_BUDGET = "error budget"


def within_budget(verdict: Verdict, *, threshold: float) -> Verdict:
    """The verdict, if it is as sure as the namespace's error budget wants it."""
    if isinstance(verdict, Verified) and not verdict.probability >= threshold:
        return Refused(reason=OVER_BUDGET, probability=verdict.probability)
    return verdict


def would_be_hit(cached: Sequence[Examined]) -> tuple[StoredAnswer, float] | None:
    """The answer the verifier takes for the right one, with its probability, served or not."""
    taken = [one for one in cached if isinstance(one.verdict, Verified)] or cached
    for examined in taken:
        if (probability := examined.verdict.probability) is not None:
            return examined.candidate.answer, probability
    return None


def decide(
    *,
    allowed: Uses,
    routed: Routed,
    known: Sequence[Examined],
    cached: Sequence[Examined],
) -> Decision:
    """The operator's knowledge first, then a verified cached answer, else forward with the reason."""
    if allowed.store_exact == "injection" and routed.rule.injection == "refuse":
        return Decline(reason="injection")
    for examined in known:
        if isinstance(examined.verdict, Verified):
            return AnswerLocally(answer=examined.candidate.answer)
    for examined in cached:
        if isinstance(examined.verdict, Verified):
            return Reuse(answer=examined.candidate.answer, kind="semantic")
    for examined in (*cached, *known):
        if isinstance(examined.verdict, Refused):
            return Forward(cause="miss", reason=f"refused: {examined.verdict.reason}")
    if allowed.exact is not None:
        return Forward(cause="bypass", reason=allowed.exact)
    if allowed.semantic is not None:
        return Forward(cause="miss", reason=allowed.semantic)
    return Forward(cause="miss", reason="nothing similar")
