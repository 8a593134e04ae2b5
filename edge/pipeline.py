"""The straight line of a query: exact cache, one encoder pass, candidates, decision, answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import msgspec

from cloud.wire.answers import usage_of
from cloud.wire.errors import NotStored
from cloud.wire.headers import AGE, CACHE_STATUS, SERVER_TIMING, SESSION
from edge import cache_status
from edge.cache_status import Stages
from edge.cacheability import Cacheability, Directives, Limits, answer_refusal, assess, directives_of
from edge.domain import (
    Answer,
    AnswerLocally,
    Candidate,
    Decision,
    Forward,
    Keys,
    Query,
    Reuse,
    StoredAnswer,
    Verdict,
)
from edge.fingerprint import keys_of
from edge.policy import decide
from edge.ports import Encoder, ExactCache, Knowledge, SemanticCache, Upstream, Verifier
from edge.replay import Origin, owes_usage, replayed
from edge.storing import Storing
from edge.telemetry import EdgeMetrics

_NO_KEYS = "request too large"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A query and what its own words say about storage."""

    query: Query
    directives: Directives
    cacheability: Cacheability
    keys: Keys


class Pipeline:
    """Everything between a parsed query and its answer."""

    def __init__(
        self,
        *,
        exact: ExactCache,
        encoder: Encoder | None,
        semantic: SemanticCache,
        knowledge: Knowledge,
        verifier: Verifier,
        upstream: Upstream,
        storing: Storing,
        metrics: EdgeMetrics,
        limits: Limits,
        ttl_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._exact = exact
        self._encoder = encoder
        self._semantic = semantic
        self._knowledge = knowledge
        self._verifier = verifier
        self._upstream = upstream
        self._storing = storing
        self._metrics = metrics
        self._limits = limits
        self._ttl_s = ttl_s
        self._clock = clock

    async def answer(self, query: Query) -> Answer:
        """Decide, then act. The answer's headers say what was decided, why, and how long it took."""
        stages = Stages()
        asked = self._read(query)
        stages.done("read")
        decision = await self.decide(asked, stages)
        match decision:
            case Reuse():
                answer = self._replay(query, decision.answer, route="cache", origin=decision.kind)
            case AnswerLocally():
                answer = self._replay(query, decision.answer, route="local", origin="knowledge")
            case Forward():
                answer = await self._forward(asked, decision)
                stages.done("upstream")
            case _:
                assert_never(decision)
        return replace(answer, headers={**answer.headers, SERVER_TIMING: stages.header()})

    async def decide(self, asked: Asked, stages: Stages) -> Decision:
        """What to do with the query, without doing it."""
        query = asked.query
        stored = None
        if asked.cacheability.exact is None:
            stored = await self._exact.get(asked.keys)
            stages.done("exact")
        if stored is not None and self._serves(stored, asked):
            if self._is_fresh_enough(stored, asked):
                return Reuse(answer=stored, kind="exact")
            return Forward(cause="request", reason="the client wants a fresher answer")
        if self._encoder is None:
            if asked.cacheability.exact is not None:
                return Forward(cause="bypass", reason=asked.cacheability.exact)
            return Forward(cause="miss", reason="not asked before; no model bundle is loaded")
        encoding = await self._encoder.encode(query.text)
        stages.done("encode")
        known = await self._knowledge.nearest(query, encoding)
        cached = await self._semantic.nearest(query, encoding)
        return decide(
            known=known,
            known_verdict=await self._verdict(query, known),
            cached=cached,
            cached_verdict=await self._verdict(query, cached),
        )

    def _read(self, query: Query) -> Asked:
        directives = directives_of(query.cache_control)
        body = msgspec.json.decode(query.document.body)
        if len(query.document.body) > self._limits.max_request_bytes:
            cacheability = Cacheability(exact=_NO_KEYS, semantic=_NO_KEYS, store=_NO_KEYS)
        else:
            cacheability = assess(
                query.request,
                fields=frozenset(body),
                text=query.text,
                in_session=SESSION in query.passed_on,
                directives=directives,
                limits=self._limits,
            )
        keys = keys_of(tenant=query.principal.tenant, body=body, bundle="none", policy="1")
        return Asked(query=query, directives=directives, cacheability=cacheability, keys=keys)

    def _serves(self, stored: StoredAnswer, asked: Asked) -> bool:
        return not owes_usage(asked.query.request) or usage_of(stored.completion) is not None

    def _is_fresh_enough(self, stored: StoredAnswer, asked: Asked) -> bool:
        now = self._clock()
        directives = asked.directives
        return not directives.no_cache and directives.allow(
            age_s=now - stored.created, ttl_s=stored.expires - now
        )

    def _replay(
        self, query: Query, stored: StoredAnswer, *, route: Literal["cache", "local"], origin: Origin
    ) -> Answer:
        now = self._clock()
        self._metrics.hits.labels(origin).inc()
        if (usage := usage_of(stored.completion)) is not None:
            self._metrics.saved_tokens.labels("input", origin).inc(usage.prompt_tokens)
            self._metrics.saved_tokens.labels("output", origin).inc(usage.completion_tokens)
        return Answer(
            route=route,
            documents=replayed(stored, query.request, origin=origin),
            headers={
                CACHE_STATUS: cache_status.hit(ttl_s=stored.expires - now, detail=origin),
                AGE: str(max(0, int(now - stored.created))),
            },
        )

    async def _forward(self, asked: Asked, decision: Forward) -> Answer:
        if asked.directives.only_if_cached:
            raise NotStored("no stored answer serves this request, and only a stored one was asked for")
        self._metrics.forwards.labels(decision.cause).inc()
        answer = await self._upstream.forward(asked.query)
        documents = answer.documents
        if asked.cacheability.store is None:
            documents = self._storing.listening(
                documents,
                streams=asked.query.request.streams,
                max_bytes=16 * self._limits.max_answer_bytes,  # a chunk is mostly envelope
                store=lambda completion: self._store(asked, completion),
            )
        headers = {**answer.headers, CACHE_STATUS: cache_status.forwarded(decision)}
        return replace(answer, documents=documents, headers=headers)

    async def _store(self, asked: Asked, completion: bytes) -> None:
        refusal = answer_refusal(completion, self._limits)
        if refusal is None:
            now = self._clock()
            answer = StoredAnswer(
                id=asked.keys.entry, completion=completion, created=now, expires=now + self._ttl_s
            )
            kept = await self._exact.put(asked.keys, answer)
            refusal = "stored" if kept else "no room"
        self._metrics.stores.labels(refusal).inc()

    async def _verdict(self, query: Query, candidate: Candidate | None) -> Verdict | None:
        return None if candidate is None else await self._verifier.check(query, candidate)
