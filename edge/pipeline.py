"""The straight line of a query: exact cache, one encoder pass, candidates, decision, answer."""

import time
from dataclasses import replace
from typing import assert_never

from cloud.wire.answers import Ready, as_chunks
from cloud.wire.headers import CACHE_STATUS, SERVER_TIMING
from edge.domain import (
    Answer,
    AnswerLocally,
    Candidate,
    Decision,
    Forward,
    Query,
    Reuse,
    StoredAnswer,
    Verdict,
)
from edge.policy import decide
from edge.ports import Encoder, ExactCache, Knowledge, SemanticCache, Upstream, Verifier


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
    ) -> None:
        self._exact = exact
        self._encoder = encoder
        self._semantic = semantic
        self._knowledge = knowledge
        self._verifier = verifier
        self._upstream = upstream

    async def answer(self, query: Query) -> Answer:
        """Decide, then act. The answer's headers say what was decided, why, and how long it took."""
        started = time.perf_counter()
        decision = await self.decide(query)
        decided = time.perf_counter()
        match decision:
            case Reuse():
                answer = _replayed(query, decision.answer, route="cache")
                cache_status = f"wayside; hit; detail={decision.kind}"
            case AnswerLocally():
                answer = _replayed(query, decision.answer, route="local")
                cache_status = "wayside; hit; detail=knowledge"
            case Forward():
                answer = await self._upstream.forward(query)
                collapsed = "; collapsed" if answer.collapsed else ""
                reason = _quoted(decision.reason)
                cache_status = f"wayside; fwd={decision.cause}{collapsed}; detail={reason}"
            case _:
                assert_never(decision)
        timing = f"decide;dur={(decided - started) * 1000:.2f}"
        if isinstance(decision, Forward):
            timing += f", upstream;dur={(time.perf_counter() - decided) * 1000:.2f}"
        return replace(answer, headers={**answer.headers, CACHE_STATUS: cache_status, SERVER_TIMING: timing})

    async def decide(self, query: Query) -> Decision:
        """What to do with the query, without doing it."""
        stored = await self._exact.get(query)
        if stored is not None:
            return Reuse(answer=stored, kind="exact")
        if self._encoder is None:
            return Forward(cause="bypass", reason="no model bundle is loaded")
        encoding = await self._encoder.encode(query.text)
        known = await self._knowledge.nearest(query, encoding)
        cached = await self._semantic.nearest(query, encoding)
        return decide(
            known=known,
            known_verdict=await self._verdict(query, known),
            cached=cached,
            cached_verdict=await self._verdict(query, cached),
        )

    async def _verdict(self, query: Query, candidate: Candidate | None) -> Verdict | None:
        return None if candidate is None else await self._verifier.check(query, candidate)


def _quoted(text: str) -> str:
    """A structured-field string (RFC 8941, section 3.3.3), which holds printable ASCII only."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _replayed(query: Query, stored: StoredAnswer, *, route: str) -> Answer:
    request = query.request
    documents = (
        as_chunks(stored.completion, with_usage=request.streams_usage)
        if request.streams
        else [stored.completion]
    )
    return Answer(route=route, documents=Ready(documents))
