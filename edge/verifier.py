"""Whether one answer serves two questions: guards first, then a scorer, if there is one."""

import re
from functools import lru_cache

from edge.domain import Candidate, Refused, Verdict, Verified
from edge.guard_text import read
from edge.guards import differing, hard_difference
from edge.ports import PairScorer

_COURTESY = re.compile(
    r"^(?:(?:hi|hello|hey|ok|okay|please|so|well|um|uh|er|(?:good )?(?:morning|afternoon|evening)(?=[,.!])"
    r"|sorry(?= to bother|,)|quick question|just wondering)(?: there)?[\s,.!:-]+)+"
    r"|^(?:can|could|would|will) you (?:please |kindly )?(?:tell|explain|show)(?: to)? me(?: about)?[\s,:]+"
    r"|^(?:please |kindly )?(?:tell|explain|show)(?: to)? me[\s,:]+"
    r"|^i (?:want|would like|need|am trying) to know[\s,:]+|^i am wondering[\s,:]+|^do you know[\s,:]+"
    r"|[\s,]+(?:please|thanks(?: in advance)?|thank you(?: very much)?|thx|cheers|ta)[\s.!?]*$",
    re.IGNORECASE,
)
_HOW_TO = re.compile(
    r"^(?:how (?:do|can|could|should|would|might) (?:i|we|you|one|someone)|how to"
    r"|what is the (?:best |easiest |right |correct )?way (?:to|of)|is there (?:a|any) way (?:to|of))\s+",
    re.IGNORECASE,
)
_MOST_KEPT = 4096
_LONGEST_KEPT = 1000
_ARTICLES = frozenset({"a", "an", "the"})
_SPELLINGS = {
    "colour": "color", "favourite": "favorite", "centre": "center", "theatre": "theater",
    "organise": "organize",
    "organisation": "organization", "behaviour": "behavior", "licence": "license", "travelling": "traveling",
    "cancelled": "canceled", "cancelling": "canceling", "programme": "program", "grey": "gray",
}  # fmt: skip


class GuardedVerifier:
    """Verifies what passes the guards and is either the same but for its wrapping, or scored so."""

    def __init__(self, *, scorer: PairScorer | None = None, threshold: float = 0.9) -> None:
        """`threshold`: the scorer's probability from which one answer serves both."""
        self._scorer = scorer
        self._threshold = threshold

    async def check(self, question: str, candidate: Candidate) -> Verdict:
        if wrapped_alike(question, candidate.question):
            return Verified(probability=1.0)
        guards = differing if self._scorer is None else hard_difference
        if (guard := guards(unwrapped(question), unwrapped(candidate.question))) is not None:
            return Refused(reason=guard)
        if self._scorer is None:
            return Refused(reason="reworded")
        probability = await self._scorer.probability(question, candidate.question, candidate.similarity)
        if not probability >= self._threshold:  # a NaN is refused
            return Refused(reason="below threshold")
        return Verified(probability=probability)


def wrapped_alike(first: str, second: str) -> bool:
    """Whether two questions differ in courtesy, articles, case, spelling and punctuation alone.

    What those can change the meaning of is guarded: quoted text, code, identifiers and numbers are equal.
    """
    if first == second:
        return True
    # The sequences first: most questions that are near differ in them, and they are remembered.
    return bare(first) == bare(second) and differing(first, second) is None


def unwrapped(text: str) -> str:
    """A question without greetings, thanks and polite detours."""
    stripped = text.strip()
    while (shorter := _COURTESY.sub("", stripped).strip()) != stripped and shorter:
        stripped = shorter
    return stripped


def bare(text: str) -> tuple[str, ...]:
    """A question without its wrapping, as a sequence of words."""
    return _bare(text) if len(text) <= _LONGEST_KEPT else _stripped(text)


@lru_cache(_MOST_KEPT)
def _bare(text: str) -> tuple[str, ...]:
    return _stripped(text)


def _stripped(text: str) -> tuple[str, ...]:
    stripped = _HOW_TO.sub("how to ", unwrapped(read(text).plain))
    return tuple(_SPELLINGS.get(word, word) for word in read(stripped).tokens if word not in _ARTICLES)
