"""The decision, as tables."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.cacheability import Cacheability
from edge.domain import (
    AnswerLocally,
    Candidate,
    Classification,
    Decision,
    Decline,
    Encoding,
    Examined,
    Forward,
    Refused,
    Reuse,
    Scored,
    StoredAnswer,
    Verified,
)
from edge.policy import Uses, decide, uses
from edge.routes import Routed, parse_routes

FREE = Cacheability(exact=None, semantic=None, store=None, knowledge=None)
RULE = parse_routes("", name="r").default
ROUTED = Routed(rule=RULE, table="default", is_sure=True, tier=None)
ENCODING = Encoding(
    embedding=np.ones(2, np.float32),
    classification=Classification(top=(Scored(label="faq", probability=0.9),), out_of_scope=0.0),
    complexity=0.1,
    injection=0.0,
    truncated=False,
    bundle="b",
)
ANSWER = StoredAnswer(id="1", completion=b"{}", created=0, expires=1)
OTHER = replace(ANSWER, id="2")
OPEN = Uses(exact=None, knowledge=None, semantic=None, store_exact=None, store_semantic=None)


def allowed(**changes: Any) -> Uses:
    given: dict[str, Any] = {
        "cacheability": FREE, "routed": ROUTED, "encoding": ENCODING, "expected_bundle": "b",
        "injection_threshold": 0.5, "pin": None,
    } | changes  # fmt: skip
    return uses(given.pop("cacheability"), **given)


def routed(**changes: Any) -> Routed:
    return Routed(rule=replace(RULE, **changes), table="t", is_sure=True, tier=None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (None, None, None, None, None)),
        ({"routed": routed(cache="off")}, (None, None, "cache off", "cache off", "cache off")),
        ({"routed": routed(cache="exact")}, (None, None, "exact only", None, "exact only")),
        ({"routed": routed(knowledge=False)}, (None, "knowledge off", None, None, None)),
        ({"routed": replace(ROUTED, is_sure=False)}, (None, "below confidence", "below confidence", None, "below confidence")),
        ({"encoding": None}, (None, "no model bundle", "no model bundle", None, "no model bundle")),
        ({"encoding": replace(ENCODING, truncated=True)}, (None, "longer than the window", "longer than the window", None, "longer than the window")),
        ({"encoding": replace(ENCODING, bundle="c")}, (None, "another bundle", "another bundle", None, "another bundle")),
        ({"encoding": replace(ENCODING, injection=0.5)}, (None, "injection", "injection", "injection", "injection")),
        ({"pin": "cloud"}, ("pinned", "pinned", "pinned", None, None)),
        ({"pin": "cache"}, (None, "pinned", None, None, None)),
        ({"pin": "local"}, ("pinned", None, "pinned", None, None)),
        ({"cacheability": Cacheability(exact="tools", semantic="tools", store="tools", knowledge="tools")}, ("tools", "tools", "tools", "tools", "tools")),
        ({"cacheability": replace(FREE, semantic="temperature")}, (None, None, "temperature", None, "temperature")),
    ],
)  # fmt: skip
def test_what_may_be_used(changes: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    found = allowed(**changes)
    assert (found.exact, found.knowledge, found.semantic, found.store_exact, found.store_semantic) == expected


def candidate(answer: StoredAnswer, verdict: Verified | Refused) -> Examined:
    return Examined(candidate=Candidate(question="q", similarity=0.9, answer=answer), verdict=verdict)


GOOD = Verified(probability=1.0)


@pytest.mark.parametrize(
    ("known", "cached", "decision"),
    [
        ([], [], Forward(cause="miss", reason="nothing similar")),
        ([candidate(ANSWER, GOOD)], [candidate(OTHER, GOOD)], AnswerLocally(answer=ANSWER)),
        ([candidate(ANSWER, Refused(reason="numbers"))], [candidate(OTHER, GOOD)], Reuse(answer=OTHER, kind="semantic")),
        ([], [candidate(ANSWER, Refused(reason="negation")), candidate(OTHER, GOOD)], Reuse(answer=OTHER, kind="semantic")),
        ([candidate(ANSWER, Refused(reason="numbers"))], [candidate(OTHER, Refused(reason="negation"))], Forward(cause="miss", reason="refused: negation")),
        ([candidate(ANSWER, Refused(reason="numbers"))], [], Forward(cause="miss", reason="refused: numbers")),
    ],
)  # fmt: skip
def test_only_verified_answers_are_used(known: Any, cached: Any, decision: Decision) -> None:
    assert decide(allowed=OPEN, routed=ROUTED, known=known, cached=cached) == decision


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({"exact": "personal", "semantic": "personal"}, Forward(cause="bypass", reason="personal")),
        ({"semantic": "below confidence"}, Forward(cause="miss", reason="below confidence")),
        ({"store_exact": "injection", "semantic": "injection"}, Forward(cause="miss", reason="injection")),
    ],
)
def test_a_forwarded_request_says_why(changes: dict[str, Any], decision: Decision) -> None:
    assert decide(allowed=replace(OPEN, **changes), routed=ROUTED, known=[], cached=[]) == decision


def test_an_injection_is_refused_where_the_route_says_so() -> None:
    found = allowed(encoding=replace(ENCODING, injection=0.9))
    rule = routed(injection="refuse")
    assert decide(allowed=found, routed=rule, known=[], cached=[]) == Decline(reason="injection")
