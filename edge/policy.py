"""The edge's decision: a pure function of what was found."""

from edge.domain import AnswerLocally, Candidate, Decision, Forward, Refused, Reuse, Verdict, Verified


def decide(
    *,
    known: Candidate | None,
    known_verdict: Verdict | None,
    cached: Candidate | None,
    cached_verdict: Verdict | None,
) -> Decision:
    """The operator's knowledge first, then a verified cached answer, else forward with the reason."""
    if known is not None and isinstance(known_verdict, Verified):
        return AnswerLocally(answer=known.answer)
    if cached is not None and isinstance(cached_verdict, Verified):
        return Reuse(answer=cached.answer, kind="semantic")
    for verdict in (cached_verdict, known_verdict):
        if isinstance(verdict, Refused):
            return Forward(cause="miss", reason=f"refused: {verdict.reason}")
    return Forward(cause="miss", reason="nothing similar is stored")
