"""Shadow samples: which are drawn, how answers are compared, and what the budget learns of them."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from cloud.wire import chat
from cloud.wire.answers import Documents, Ready
from cloud.wire.errors import UpstreamUnavailable
from edge.adapters.budget_rows import BudgetRows
from edge.domain import Answer, Keys, Principal, Query, Scope, StoredAnswer
from edge.error_budget import BY_RULE, ErrorBudget, Namespace, Sample
from edge.feedback import Feedback
from edge.shadows import Shadows, WouldBe, normalised
from edge.telemetry import EdgeMetrics
from tests.support.caches import Clock, FakeExactCache, FakeSemanticCache, KeptSamples
from tests.support.encoder import FakeEncoder
from tests.support.upstream import completion

pytestmark = pytest.mark.anyio

NAMESPACE = Namespace(tenant="acme", table="default")
CACHED = StoredAnswer(
    id="e" * 43, completion=msgspec.json.encode(completion("Four minutes.")), created=0, expires=9e9
)
WOULD_BE = WouldBe(namespace=NAMESPACE, score=BY_RULE, answer=CACHED)


class Says:
    """An upstream with one answer, or none."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    async def forward(self, query: Query) -> Answer:
        if self._text is None:
            raise UpstreamUnavailable("away")
        documents: Documents = Ready([msgspec.json.encode(completion(self._text))])
        return Answer(route="cloud", documents=documents)

    async def models(self, principal: Principal, request_id: str) -> bytes:
        return b"{}"

    async def check(self) -> None: ...


def query() -> Query:
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "How long?"}]})
    return Query(
        principal=Principal(tenant="acme", key_id="k"),
        document=chat.parse(body, max_depth=64),
        deadline=asyncio.get_running_loop().time() + 1,
        passed_on={},
        request_id="r",
    )


def shadows(
    text: str | None = "", *, budget: ErrorBudget | None = None, chance: float = 0.0
) -> tuple[Shadows, KeptSamples, list[str]]:
    kept, outcomes = KeptSamples(), list[str]()
    made = Shadows(
        upstream=Says(text),
        encoder=FakeEncoder(),
        budget=budget or ErrorBudget(),
        samples=kept,
        same_answer_similarity=0.95,
        on_sample=outcomes.append,
        chance=lambda: chance,
    )
    return made, kept, outcomes


@pytest.mark.parametrize(
    ("fresh", "outcome", "counted"),
    [
        ("four minutes", "same", [False]),
        ("Five minutes.", "different", [True]),
        ("Bread is baked in an oven at night.", "different", [True]),
        (None, "no answer", []),
    ],
)
async def test_a_sample_is_asked_compared_counted_and_kept(
    fresh: str | None, outcome: str, counted: list[bool]
) -> None:
    shadow, kept, outcomes = shadows(fresh)
    stored: list[bytes] = []

    async def store(completion: bytes) -> None:
        stored.append(completion)

    shadow.ask(query(), WOULD_BE, store)
    await shadow.settled()
    assert outcomes == [outcome]
    assert [sample.wrong for _, sample in kept.kept] == counted
    assert len(stored) == len(counted)


async def test_what_is_forwarded_anyway_is_always_sampled_and_nothing_is_when_it_is_off() -> None:
    off, _, _ = shadows(budget=ErrorBudget(sampled=0.0))
    assert not off.draws(WOULD_BE)
    seldom, _, _ = shadows(chance=0.9)
    assert not seldom.draws(WOULD_BE)
    fallen = ErrorBudget()
    fallen.record(NAMESPACE, [Sample(score=BY_RULE, wrong=True)] * 5)
    always, _, _ = shadows(budget=fallen, chance=0.9)
    assert always.draws(WOULD_BE)


async def test_a_wrong_verdict_on_a_semantic_hit_moves_the_budget_and_a_right_one_does_not() -> None:
    budget = ErrorBudget()
    shadow, kept, _ = shadows(budget=budget)
    exact, semantic = FakeExactCache(Clock()), FakeSemanticCache(Clock(), min_similarity=0.5)
    feedback = Feedback(
        exact=exact,
        stale=FakeExactCache(Clock()),
        semantic=semantic,
        shadows=shadow,
        metrics=EdgeMetrics(CollectorRegistry()),
    )
    await exact.put(Keys(entry=CACHED.id, scope=Scope(tenant="acme", digest="s")), CACHED)
    feedback.served(WOULD_BE)
    told = f"chatcmpl-ws-{CACHED.id}-{'0' * 12}"
    assert await feedback.tell("acme", told, is_right=True) == 0
    assert kept.kept == []
    assert await feedback.tell("other", told, is_right=False) == 0
    assert kept.kept == []
    assert await feedback.tell("acme", told, is_right=False) == 1
    assert kept.kept == [(NAMESPACE, Sample(score=BY_RULE, wrong=True))]
    assert budget.of(NAMESPACE).is_exact_only


async def test_what_was_learnt_survives_a_restart_and_a_damaged_file_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "budget.db"
    rows = BudgetRows(path, window=3)
    for number in range(5):
        await rows.add(NAMESPACE, Sample(score=number / 10, wrong=number % 2 == 0))
    await rows.aclose()
    again = BudgetRows(path, window=3)
    ((namespace, samples),) = again.kept()
    await again.aclose()
    assert namespace == NAMESPACE
    assert [sample.score for sample in samples] == [0.2, 0.3, 0.4]
    path.write_bytes(b"no database at all" * 100)
    anew = BudgetRows(path, window=3)
    assert list(anew.kept()) == []
    await anew.aclose()


def test_case_space_and_the_full_stop_do_not_make_another_answer() -> None:
    assert normalised(" Four  minutes.\n") == normalised("four minutes")
    assert normalised("4 minutes") != normalised("5 minutes")
