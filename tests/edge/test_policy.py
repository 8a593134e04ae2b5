"""The edge's decision, as a table."""

import pytest

from edge.domain import AnswerLocally, Candidate, Decision, Forward, Refused, Reuse, Verdict, Verified
from edge.policy import decide
from tests.support.edge_fakes import candidate

KNOWN = candidate("known")
CACHED = candidate("cached")
YES = Verified(probability=0.99)
NO = Refused(reason="another city")
NEVER = Refused(reason="out of date")

LOCAL = AnswerLocally(answer=KNOWN.answer)
REUSE = Reuse(answer=CACHED.answer, kind="semantic")


def forward(reason: str) -> Forward:
    return Forward(cause="miss", reason=reason)


@pytest.mark.parametrize(
    ("known", "known_verdict", "cached", "cached_verdict", "decision"),
    [
        (None, None, None, None, forward("nothing similar is stored")),
        (KNOWN, YES, None, None, LOCAL),
        (KNOWN, YES, CACHED, YES, LOCAL),
        (KNOWN, YES, CACHED, NO, LOCAL),
        (None, None, CACHED, YES, REUSE),
        (KNOWN, NO, CACHED, YES, REUSE),
        (None, None, CACHED, NO, forward("refused: another city")),
        (KNOWN, NO, None, None, forward("refused: another city")),
        (KNOWN, NEVER, CACHED, NO, forward("refused: another city")),
        (KNOWN, None, CACHED, None, forward("nothing similar is stored")),
    ],
)
def test_only_what_is_verified_is_answered_and_knowledge_comes_first(
    known: Candidate | None,
    known_verdict: Verdict | None,
    cached: Candidate | None,
    cached_verdict: Verdict | None,
    decision: Decision,
) -> None:
    assert (
        decide(known=known, known_verdict=known_verdict, cached=cached, cached_verdict=cached_verdict)
        == decision
    )


@pytest.mark.parametrize("similarity", [-1.0, 0.0, 1.0])
def test_no_similarity_stands_in_for_a_verdict(similarity: float) -> None:
    near = candidate("cached", similarity=similarity)
    assert isinstance(decide(known=None, known_verdict=None, cached=near, cached_verdict=NO), Forward)
