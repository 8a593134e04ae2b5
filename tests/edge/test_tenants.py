"""Many tenants ask the same few questions at random: nobody ever gets another's answer."""

import asyncio
import os
import random
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from cloud.wire import chat
from cloud.wire.answers import Ready
from edge.adapters.diskcache_exact import DiskcacheExact
from edge.adapters.off import NoExactCache, NoKnowledge
from edge.adapters.usearch_semantic import UsearchSemantic
from edge.cache_status import Stages
from edge.domain import Answer, Principal, Query
from edge.error_budget import ErrorBudget
from edge.feedback import Feedback
from edge.judge import Judge, Thresholds
from edge.pipeline import Pipeline
from edge.routes import parse_routes
from edge.sessions import Sessions
from edge.shadows import Shadows
from edge.storing import Storing
from edge.telemetry import EdgeMetrics
from edge.verifier import GuardedVerifier
from tests.support.caches import KeptSamples
from tests.support.encoder import FakeEncoder
from tests.support.upstream import chunk, completion

pytestmark = pytest.mark.anyio

REQUESTS = int(os.environ.get("WAYSIDE_TENANT_REQUESTS", "1200"))
TENANTS = 12 if REQUESTS < 100_000 else 100
"""A few here, a hundred thousand requests of a hundred tenants when asked for."""
QUESTIONS = [
    "What is a monad?", "Please tell me, what is a monad", "what is the monad?", "What is not a monad?",
    "How do I boil an egg?", "How to boil an egg", "How can I boil the egg?", "How do I boil 2 eggs?",
]  # fmt: skip


class TellsWhoAsked:
    """An upstream whose every answer names the tenant, the context and the question it was for."""

    async def forward(self, query: Query) -> Answer:
        text = mark(query)
        if query.request.streams:
            parts = [
                chunk(text),
                chunk(finish_reason="stop"),
                chunk(usage=completion()["usage"]) | {"choices": []},
            ]
            return Answer(route="cloud", documents=Ready([msgspec.json.encode(part) for part in parts]))
        return Answer(route="cloud", documents=Ready([msgspec.json.encode(completion(text))]))

    async def models(self, principal: Principal, request_id: str) -> bytes:
        return b"{}"

    async def check(self) -> None: ...


def mark(query: Query) -> str:
    return f"{query.principal.tenant}|{query.request.model}|{query.request.messages[0].text}|{query.text}"


async def test_no_answer_ever_crosses_a_tenant_a_model_or_a_context(tmp_path: Path) -> None:
    chance = random.Random(23)
    exact = DiskcacheExact(tmp_path / "exact", max_bytes=10_000_000)
    semantic = UsearchSemantic(tmp_path / "semantic", min_similarity=0.5, entries_per_tenant=10)
    metrics, storing, thresholds = EdgeMetrics(CollectorRegistry()), Storing(), Thresholds()
    table = parse_routes("", name="r")
    upstream, budget = TellsWhoAsked(), ErrorBudget()
    shadows = Shadows(
        upstream=upstream,
        encoder=FakeEncoder(),
        budget=budget,
        samples=KeptSamples(),
        same_answer_similarity=0.8,
    )
    judge = Judge(
        exact=exact, encoder=FakeEncoder(), semantic=semantic, knowledge=NoKnowledge(),
        verifier=GuardedVerifier(), budget=budget, routes=lambda: table, thresholds=thresholds,
    )  # fmt: skip
    pipeline = Pipeline(
        judge=judge, exact=exact, stale=NoExactCache(), semantic=semantic, upstream=upstream, shadows=shadows, storing=storing, sessions=Sessions(lambda: ()),
        feedback=Feedback(exact=exact, stale=NoExactCache(), semantic=semantic, shadows=shadows, metrics=metrics), metrics=metrics,
        thresholds=thresholds,
    )  # fmt: skip
    routes: dict[str, int] = {}
    for _ in range(REQUESTS):
        body = {
            "model": chance.choice("mn"),
            "messages": [
                {"role": "system", "content": chance.choice(["Be brief.", "Be brief!"])},
                {"role": "user", "content": chance.choice(QUESTIONS)},
            ],
            "stream": chance.random() < 0.5,
            "stream_options": {"include_usage": True},
        }
        query = Query(
            principal=Principal(tenant=f"t{chance.randrange(TENANTS)}", key_id="k"),
            document=chat.parse(msgspec.json.encode(body), max_depth=64),
            deadline=asyncio.get_running_loop().time() + 60,
            passed_on={},
            request_id="r",
        )
        answer = await pipeline.answer(query)
        told = b"".join([document async for document in answer.documents]).decode()
        own = mark(query).rpartition("|")[0]
        assert own in told, (mark(query), told)
        routes[answer.route] = routes.get(answer.route, 0) + 1
        await storing.settled()
    assert routes["cache"] > REQUESTS / 4, routes
    assert (await judge.judge(query, Stages(), in_full=True)).exact is not None
    await shadows.aclose()
    await semantic.aclose()
    await exact.aclose()
