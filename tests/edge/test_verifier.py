"""The verifier: near-identical without a scorer, scored with one, guarded always."""

import pytest

from edge.domain import Candidate, Refused, StoredAnswer, Verdict, Verified
from edge.verifier import GuardedVerifier

pytestmark = pytest.mark.anyio


class FakeScorer:
    """Says what it is told and counts how often it was asked."""

    def __init__(self, probability: float) -> None:
        self._probability = probability
        self.asked = 0

    async def probability(self, first: str, second: str, similarity: float) -> float:
        self.asked += 1
        return self._probability


async def verdict(first: str, second: str, scorer: FakeScorer | None = None) -> Verdict:
    answer = StoredAnswer(id="1", completion=b"{}", created=0, expires=1)
    candidate = Candidate(question=second, similarity=0.99, answer=answer)
    return await GuardedVerifier(scorer=scorer, threshold=0.9).check(first, candidate)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("What is a monad?", "What is a monad?"),
        ("What is a monad?", "what is a monad"),
        ("What is a monad?", "Please tell me, what's a monad?"),
        ("What is a monad?", "Hi there! What is the monad? Thanks!"),
        ("How do I boil an egg?", "How to boil an egg"),
        ("How do I boil an egg?", "What is the best way to boil an egg?"),
        ("My favourite colour", "my favorite color"),
        ("Договор?", "Договор?"),
    ],
)
async def test_near_identical_questions_need_no_scorer(first: str, second: str) -> None:
    assert await verdict(first, second) == Verified(probability=1.0)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("What is a monad?", "Explain monads to me", "reworded"),
        ("What is 2 + 2?", "What is 2 + 3?", "numbers"),
        ("Is it safe?", "Isn't it safe?", "negation"),
        ("What is a monad?", "What is a functor?", "reworded"),
        ("Договор?", "договор?", "language"),
    ],
)
async def test_everything_else_is_refused_without_one(first: str, second: str, reason: str) -> None:
    assert await verdict(first, second) == Refused(reason=reason)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.95, Verified(probability=0.95)),
        (0.9, Verified(probability=0.9)),
        (0.89, Refused(reason="below threshold")),
        (float("nan"), Refused(reason="below threshold")),
    ],
)
async def test_a_scorer_decides_what_the_guards_let_pass(probability: float, expected: Verdict) -> None:
    assert await verdict("What is a monad?", "Explain monads to me", FakeScorer(probability)) == expected


async def test_a_scorer_is_not_asked_about_what_a_guard_refused() -> None:
    scorer = FakeScorer(1.0)
    assert await verdict("What is 2 + 2?", "What is 2 + 3?", scorer) == Refused(reason="numbers")
    assert scorer.asked == 0


async def test_a_scorer_decides_where_the_guards_of_last_resort_would_refuse() -> None:
    first, second = "Can I check out late?", "How do I check out late?"
    assert await verdict(first, second) == Refused(reason="question type")
    assert await verdict(first, second, FakeScorer(0.95)) == Verified(probability=0.95)


async def test_a_greeting_is_not_a_time_of_day() -> None:
    asked = await verdict(
        "Morning! What is your returns window?", "How long may I take to return goods?", FakeScorer(1)
    )
    assert asked == Verified(probability=1)
