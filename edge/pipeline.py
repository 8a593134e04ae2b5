"""The straight line of a query: judge it, act on the decision, store what may be stored."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, assert_never

from cloud.wire import headers as names
from cloud.wire.errors import InvalidRequest, NotStored, UpstreamBroken, UpstreamRefused, UpstreamUnavailable
from edge import cache_status
from edge.cache_status import Stages
from edge.cacheability import answer_refusal
from edge.domain import Answer, AnswerLocally, Decline, Entry, Forward, Query, Reuse, StoredAnswer
from edge.feedback import Feedback
from edge.judge import Judge, Judgement, Thresholds, refusals
from edge.policy import would_be_hit
from edge.ports import ExactCache, SemanticCache, Upstream
from edge.replay import Origin, owes_usage, replayed, stored_usage
from edge.sessions import Sessions
from edge.shadows import Shadows, WouldBe
from edge.storing import Storing
from edge.telemetry import EdgeMetrics

_SERVERS_FAULT = 500


class Pipeline:
    """Everything between a parsed query and its answer."""

    def __init__(
        self,
        *,
        judge: Judge,
        exact: ExactCache,
        stale: ExactCache,
        semantic: SemanticCache,
        upstream: Upstream,
        storing: Storing,
        feedback: Feedback,
        shadows: Shadows,
        sessions: Sessions,
        metrics: EdgeMetrics,
        thresholds: Thresholds,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._judge = judge
        self._exact = exact
        self._stale = stale
        self._semantic = semantic
        self._upstream = upstream
        self._storing = storing
        self._feedback = feedback
        self._shadows = shadows
        self._sessions = sessions
        self._metrics = metrics
        self._thresholds = thresholds
        self._clock = clock

    async def answer(self, query: Query) -> Answer:
        """Decide, then act. The answer's headers say what was decided, why, and how long it took.

        Raises NotStored when only a stored answer was asked for, InvalidRequest when the route refuses
        such requests, and what the upstream raises.
        """
        stages = Stages()
        judgement = await self._judge.judge(query, stages)
        self._count(judgement)
        match judgement.decision:
            case Reuse() as reuse:
                answer = self._replay(query, reuse.answer, route="cache", origin=reuse.kind)
                if reuse.kind == "semantic":
                    self._served_semantically(judgement)
            case AnswerLocally() as local:
                answer = self._replay(query, local.answer, route="local", origin="knowledge")
            case Forward() as forward:
                answer = await self._forward(judgement, forward)
                stages.done("upstream")
            case Decline():
                raise InvalidRequest(
                    "this looks like an attempt to take over the assistant", code="injection_suspected"
                )
            case _:
                assert_never(judgement.decision)
        headers = {**answer.headers, **_read_in(judgement), names.SERVER_TIMING: stages.header()}
        return replace(answer, headers=headers)

    def _replay(
        self,
        query: Query,
        stored: StoredAnswer,
        *,
        route: Literal["cache", "local", "degraded"],
        origin: Origin,
    ) -> Answer:
        now = self._clock()
        self._metrics.hit(origin)
        usage = stored_usage(stored.completion)
        if usage is not None:
            self._metrics.saved(
                origin, input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens
            )
        return Answer(
            route=route,
            documents=replayed(stored, query.request, origin=origin),
            usage=usage,
            headers={
                names.CACHE_STATUS: cache_status.hit(ttl_s=stored.expires - now, detail=origin),
                names.AGE: str(max(0, int(now - stored.created))),
            },
        )

    def _served_semantically(self, judgement: Judgement) -> None:
        """Keep in mind what was served, and ask the upstream as well for a sample of such hits."""
        would_be = _would_be(judgement)
        if would_be is None:
            return
        self._feedback.served(would_be)
        sparing = judgement.directives.only_if_cached or judgement.query.pin is not None
        if not sparing and self._shadows.draws(would_be):
            query = self._with_what_is_known(judgement)
            self._shadows.ask(query, would_be, lambda completion: self._keep(judgement, completion))

    def _with_what_is_known(self, judgement: Judgement) -> Query:
        """The query as the upstream gets it."""
        query = judgement.query
        known = told_upstream(judgement, injection_threshold=self._thresholds.injection)
        hand = self._sessions.hand(query, judgement.routed)
        known |= {
            name: value for name, value in ((names.AGENT, hand.agent), (names.TIER, hand.tier)) if value
        }
        return replace(query, passed_on={**query.passed_on, **known})

    async def _forward(self, judgement: Judgement, decision: Forward) -> Answer:
        query = judgement.query
        if judgement.directives.only_if_cached or query.pin in ("cache", "local"):
            raise NotStored("no stored answer serves this request, and only a stored one was asked for")
        self._metrics.forwards.labels(decision.cause).inc()
        try:
            answer = await self._upstream.forward(self._with_what_is_known(judgement))
        except (UpstreamUnavailable, UpstreamBroken, UpstreamRefused) as error:
            degraded = await self._degraded(judgement) if error.status >= _SERVERS_FAULT else None
            if degraded is None:
                raise
            return degraded
        documents = answer.documents
        if judgement.uses is not None and judgement.uses.store_exact is None:
            documents = self._storing.listening(
                documents,
                streams=query.request.streams,
                max_bytes=16 * self._thresholds.limits.max_answer_bytes,  # a chunk is mostly envelope
                store=lambda completion: self._store(judgement, completion),
            )
        headers = {
            **answer.headers,
            names.CACHE_STATUS: cache_status.forwarded(decision, collapsed=answer.collapsed),
        }
        return replace(answer, documents=documents, headers=headers)

    async def _degraded(self, judgement: Judgement) -> Answer | None:
        """A stored answer past its time, where the route and the client allow one (RFC 5861, section 4)."""
        query, uses, routed = judgement.query, judgement.uses, judgement.routed
        if uses is None or uses.exact is not None or routed is None or routed.rule.stale_s == 0:
            return None
        found = await self._stale.get(judgement.fingerprint)
        if found is None or (owes_usage(query.request) and stored_usage(found.completion) is None):
            return None
        if not judgement.directives.allow_stale(age_s=self._clock() - found.created):
            return None
        fresh_until = replace(found, expires=found.created + routed.rule.ttl_s)
        return self._replay(query, fresh_until, route="degraded", origin="exact")

    async def _store(self, judgement: Judgement, completion: bytes) -> None:
        """Keep an answer that came from the upstream; compare it with the one that was nearly given."""
        await self._keep(judgement, completion)
        would_be = _would_be(judgement)
        if would_be is not None and self._shadows.draws(would_be):
            await self._shadows.compare(would_be, completion)

    async def _keep(self, judgement: Judgement, completion: bytes) -> None:
        assert judgement.routed is not None
        assert judgement.uses is not None
        outcome = answer_refusal(completion, self._thresholds.limits)
        if outcome is None:
            now = self._clock()
            keys = judgement.keys
            answer = StoredAnswer(
                id=keys.entry, completion=completion, created=now, expires=now + judgement.routed.rule.ttl_s
            )
            kept = await self._exact.put(keys, answer)
            if (stale_s := judgement.routed.rule.stale_s) > 0:
                await self._stale.put(keys, replace(answer, expires=answer.expires + stale_s))
            if judgement.encoding is not None and judgement.uses.store_semantic is None:
                embedding = judgement.encoding.embedding
                kept |= await self._semantic.put(
                    Entry(keys=keys, question=judgement.query.text, embedding=embedding, answer=answer)
                )
            if kept:
                self._feedback.remember(keys, completion)
            outcome = "stored" if kept else "no room"
        self._metrics.stores.labels(outcome).inc()

    def _count(self, judgement: Judgement) -> None:
        for kind, examined in (("knowledge", judgement.known), ("semantic", judgement.cached)):
            for reason in refusals(examined):
                self._metrics.refusals.labels(kind, reason).inc()


def _would_be(judgement: Judgement) -> WouldBe | None:
    found = would_be_hit(judgement.cached)
    if found is None or judgement.namespace is None:
        return None
    answer, score = found
    return WouldBe(namespace=judgement.namespace, score=score, answer=answer)


def told_upstream(judgement: Judgement, *, injection_threshold: float) -> dict[str, str]:
    """The semantic headers: what the edge has read already, so that nobody reads it again."""
    headers = _read_in(judgement)
    if judgement.encoding is not None:
        headers[names.COMPLEXITY] = f"{judgement.encoding.complexity:.3f}"
        if judgement.encoding.injection >= injection_threshold:
            headers[names.INJECTION] = f"{judgement.encoding.injection:.3f}"
    return headers


def _read_in(judgement: Judgement) -> dict[str, str]:
    if judgement.encoding is None:
        return {}
    classification = judgement.encoding.classification
    return {names.INTENT: classification.intent, names.CONFIDENCE: f"{classification.confidence:.3f}"}
