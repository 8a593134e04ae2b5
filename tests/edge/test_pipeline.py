"""The straight line, over a fake for each port."""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from edge.domain import Answer, Candidate, Query, Refused
from edge.pipeline import Pipeline
from tests.support.edge_fakes import (
    FakeEncoder,
    FakeExactCache,
    FakeNearest,
    FakeUpstream,
    FakeVerifier,
    candidate,
    query,
    stored,
)
from tests.support.upstream import completion

pytestmark = pytest.mark.anyio


@dataclass(kw_only=True)
class Edge:
    exact: FakeExactCache = field(default_factory=FakeExactCache)
    encoder: FakeEncoder = field(default_factory=FakeEncoder)
    semantic: FakeNearest = field(default_factory=FakeNearest)
    knowledge: FakeNearest = field(default_factory=FakeNearest)
    verifier: FakeVerifier = field(default_factory=FakeVerifier)
    upstream: FakeUpstream = field(default_factory=FakeUpstream)
    has_encoder: bool = True

    async def answer(self, asked: Query) -> Answer:
        pipeline = Pipeline(
            exact=self.exact,
            encoder=self.encoder if self.has_encoder else None,
            semantic=self.semantic,
            knowledge=self.knowledge,
            verifier=self.verifier,
            upstream=self.upstream,
        )
        return await pipeline.answer(asked)


async def documents(answer: Answer) -> list[Any]:
    return [msgspec.json.decode(document) async for document in answer.documents]


async def text_of(answer: Answer) -> str:
    (document,) = await documents(answer)
    return str(document["choices"][0]["message"]["content"])


async def test_an_exact_hit_asks_nobody_else() -> None:
    edge = Edge(
        exact=FakeExactCache(answer=stored("exact")),
        semantic=FakeNearest(found=candidate()),
        knowledge=FakeNearest(found=candidate()),
    )
    answer = await edge.answer(query())
    assert (answer.route, await text_of(answer)) == ("cache", "exact")
    assert answer.headers["cache-status"] == "wayside; hit; detail=exact"
    assert edge.encoder.encoded == []
    assert edge.verifier.checked == []
    assert edge.upstream.forwarded == []


async def test_a_verified_semantic_hit_is_the_stored_answer() -> None:
    edge = Edge(semantic=FakeNearest(found=candidate("cached")))
    answer = await edge.answer(query())
    assert (answer.route, await text_of(answer)) == ("cache", "cached")
    assert answer.headers["cache-status"] == "wayside; hit; detail=semantic"
    assert edge.upstream.forwarded == []


async def test_the_operators_knowledge_goes_before_the_cache() -> None:
    edge = Edge(
        knowledge=FakeNearest(found=candidate("known")), semantic=FakeNearest(found=candidate("cached"))
    )
    answer = await edge.answer(query())
    assert (answer.route, await text_of(answer)) == ("local", "known")
    assert answer.headers["cache-status"] == "wayside; hit; detail=knowledge"
    assert edge.upstream.forwarded == []


async def test_a_refused_candidate_is_forwarded_with_the_reason() -> None:
    verdicts = {"answer-cached": Refused(reason="another city")}
    edge = Edge(semantic=FakeNearest(found=candidate("cached")), verifier=FakeVerifier(verdicts=verdicts))
    asked = query()
    answer = await edge.answer(asked)
    assert (answer.route, await text_of(answer)) == ("cloud", "from upstream")
    assert answer.headers["cache-status"] == 'wayside; fwd=miss; detail="refused: another city"'
    assert edge.upstream.forwarded == [asked]


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        ('says "no"', r"refused: says \"no\""),
        ("a\\b", r"refused: a\\b"),
        ("Zürich, not Genève", "refused: Z?rich, not Gen?ve"),
        ("one\r\nSet-Cookie: x", "refused: one??Set-Cookie: x"),
    ],
)
async def test_no_reason_breaks_out_of_its_header(reason: str, detail: str) -> None:
    verifier = FakeVerifier(verdicts={"answer-cached": Refused(reason=reason)})
    edge = Edge(semantic=FakeNearest(found=candidate("cached")), verifier=verifier)
    answer = await edge.answer(query())
    assert answer.headers["cache-status"] == f'wayside; fwd=miss; detail="{detail}"'


async def test_without_an_encoder_everything_but_an_exact_hit_is_forwarded() -> None:
    edge = Edge(has_encoder=False, semantic=FakeNearest(found=candidate()))
    answer = await edge.answer(query())
    assert answer.route == "cloud"
    assert answer.headers["cache-status"] == 'wayside; fwd=bypass; detail="no model bundle is loaded"'
    assert edge.semantic.asked == []


async def test_nothing_similar_is_a_miss() -> None:
    answer = await Edge().answer(query())
    assert answer.headers["cache-status"] == 'wayside; fwd=miss; detail="nothing similar is stored"'


FOUND = [None, candidate("a")]


@pytest.mark.parametrize("known", FOUND)
@pytest.mark.parametrize("cached", FOUND)
async def test_the_encoder_reads_the_last_user_message_once(
    known: Candidate | None, cached: Candidate | None
) -> None:
    edge = Edge(knowledge=FakeNearest(found=known), semantic=FakeNearest(found=cached))
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "well"},
        {"role": "user", "content": [{"type": "text", "text": "last"}]},
        {"role": "assistant", "content": "prefill"},
    ]
    await edge.answer(query(messages=messages))
    assert edge.encoder.encoded == ["last"]
    assert len(edge.knowledge.asked) == len(edge.semantic.asked) == 1


async def test_a_stored_answer_is_replayed_as_it_was() -> None:
    answer = await Edge(exact=FakeExactCache(answer=stored("again"))).answer(query())
    assert await documents(answer) == [completion("again")]


@pytest.mark.parametrize("with_usage", [False, True])
async def test_a_stored_answer_is_told_as_a_stream_to_who_asks_for_one(with_usage: bool) -> None:
    asked = query(stream=True, stream_options={"include_usage": with_usage})
    answer = await Edge(exact=FakeExactCache(answer=stored("again"))).answer(asked)
    told = await documents(answer)
    assert {document["object"] for document in told} == {"chat.completion.chunk"}
    deltas = [choice["delta"].get("content") for document in told for choice in document["choices"]]
    assert "".join(filter(None, deltas)) == "again"
    assert ("usage" in told[-1]) is with_usage


@pytest.mark.parametrize(
    ("exact", "timing"),
    [
        (None, r"decide;dur=\d+\.\d\d, upstream;dur=\d+\.\d\d"),
        (stored(), r"decide;dur=\d+\.\d\d"),
    ],
)
async def test_the_time_each_part_took_is_told(exact: Any, timing: str) -> None:
    answer = await Edge(exact=FakeExactCache(answer=exact)).answer(query())
    assert re.fullmatch(timing, answer.headers["server-timing"])


async def test_the_upstreams_own_headers_stay_beside_ours() -> None:
    answer = await Edge(upstream=FakeUpstream(headers={"x-ratelimit-limit": "9"})).answer(query())
    assert answer.headers.keys() == {"x-ratelimit-limit", "cache-status", "server-timing"}
