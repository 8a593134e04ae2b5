"""Looks everything up that a decision about a query needs, and decides."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.cache_status import Stages
from edge.cacheability import (
    TOO_LARGE,
    Cacheability,
    Directives,
    Limits,
    assess,
    directives_of,
    exact_refusal,
)
from edge.domain import (
    Candidate,
    Decision,
    Encoding,
    Examined,
    Forward,
    Keys,
    Query,
    Refused,
    Reuse,
    StoredAnswer,
    Verified,
)
from edge.error_budget import ErrorBudget, Namespace
from edge.fingerprint import Fingerprint
from edge.policy import NOT_FROM_THE_CACHE, VERSION, Uses, decide, uses, within_budget
from edge.ports import Encoder, ExactCache, Knowledge, SemanticCache, Verifier
from edge.replay import owes_usage, stored_usage
from edge.routes import Routed, RouteTable

_FRESHER = Forward(cause="request", reason="the client wants a fresher answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Where the edge draws its lines."""

    injection: float = 0.5
    candidates: int = 3
    """How many stored questions are looked at, nearest first."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A query, what was found out about it, and what to do."""

    query: Query
    directives: Directives
    fingerprint: Fingerprint
    decision: Decision
    exact: StoredAnswer | None = None
    encoding: Encoding | None = None
    routed: Routed | None = None
    """None when the exact cache answered before anybody read the text."""
    uses: Uses | None = None
    known: tuple[Examined, ...] = ()
    cached: tuple[Examined, ...] = ()
    namespace: Namespace | None = None
    """Whose error budget its semantic hits are on."""

    @property
    def keys(self) -> Keys:
        return self.fingerprint.keys


class Judge:
    """Decides about queries; changes nothing, calls nobody upstream."""

    def __init__(
        self,
        *,
        exact: ExactCache,
        encoder: Encoder | None,
        semantic: SemanticCache,
        knowledge: Knowledge,
        verifier: Verifier,
        budget: ErrorBudget,
        routes: Callable[[], RouteTable],
        thresholds: Thresholds,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._exact = exact
        self._encoder = encoder
        self._semantic = semantic
        self._knowledge = knowledge
        self._verifier = verifier
        self._budget = budget
        self._routes = routes
        self._thresholds = thresholds
        self._clock = clock

    async def judge(self, query: Query, stages: Stages, *, in_full: bool = False) -> Judgement:
        """What to do with the query. `in_full` reads the text even when the exact cache has an answer."""
        table = self._routes()
        bundle = self._encoder.identity if self._encoder is not None else ""
        directives = directives_of(query.cache_control)
        body = query.document.fields
        fingerprint = Fingerprint(
            tenant=query.principal.tenant, body=body, bundle=bundle, policy=f"{VERSION}/{table.version}"
        )
        stages.done("read")
        stored = None
        unasked = exact_refusal(
            body_bytes=len(query.document.body),
            in_session=query.in_session,
            directives=directives,
            limits=self._thresholds.limits,
        )
        if unasked is None and query.pin not in NOT_FROM_THE_CACHE:
            stored = await self._exact.get(fingerprint)
            stages.done("exact")
        if stored is not None and owes_usage(query.request) and stored_usage(stored.completion) is None:
            stored = None
        if stored is not None and not in_full:
            decision = self._if_fresh(Reuse(answer=stored, kind="exact"), directives)
            if isinstance(decision, Reuse):
                return Judgement(
                    query=query,
                    directives=directives,
                    fingerprint=fingerprint,
                    decision=decision,
                    exact=stored,
                )
        cacheability = self._assessed(query, frozenset(body), directives)
        encoding = None
        if self._encoder is not None:
            encoding = await self._encoder.encode(query.text)
            stages.done("encode")
        routed = table.route(query.principal.tenant, encoding)
        allowed = uses(
            cacheability,
            routed=routed,
            encoding=encoding,
            expected_bundle=bundle,
            injection_threshold=self._thresholds.injection,
            pin=query.pin,
        )
        namespace = Namespace(tenant=query.principal.tenant, table=routed.table)
        known = await self._known(query, encoding, allowed, in_full=in_full)
        cached: tuple[Examined, ...] = ()
        if in_full or not _verified(known):
            cached = await self._cached(query, fingerprint, encoding, allowed, namespace, in_full=in_full)
        stages.done("lookup")
        decision = decide(allowed=allowed, routed=routed, known=known, cached=cached)
        if stored is not None:
            decision = Reuse(answer=stored, kind="exact")
        return Judgement(
            query=query,
            directives=directives,
            fingerprint=fingerprint,
            decision=self._if_fresh(decision, directives),
            exact=stored,
            encoding=encoding,
            routed=routed,
            uses=allowed,
            known=known,
            cached=cached,
            namespace=namespace,
        )

    def _assessed(self, query: Query, fields: frozenset[str], directives: Directives) -> Cacheability:
        limits = self._thresholds.limits
        if len(query.document.body) > limits.max_request_bytes:
            return Cacheability(exact=TOO_LARGE, semantic=TOO_LARGE, store=TOO_LARGE, knowledge=TOO_LARGE)
        return assess(
            query.request,
            fields=fields,
            text=query.text,
            in_session=query.in_session,
            directives=directives,
            limits=limits,
        )

    def _if_fresh(self, decision: Decision, directives: Directives) -> Decision:
        """A stored answer only as old as the client takes it. The operator's answers do not age."""
        if not isinstance(decision, Reuse):
            return decision
        now = self._clock()
        answer = decision.answer
        fresh = directives.allow(age_s=now - answer.created, ttl_s=answer.expires - now)
        return decision if fresh and not directives.no_cache else _FRESHER

    async def _known(
        self, query: Query, encoding: Encoding | None, allowed: Uses, *, in_full: bool
    ) -> tuple[Examined, ...]:
        if encoding is None or allowed.knowledge is not None:
            return ()
        found = await self._knowledge.nearest(
            query.principal.tenant, encoding.embedding, limit=self._thresholds.candidates
        )
        return await self._examined(query, found, threshold=0.0, in_full=in_full)

    async def _cached(
        self,
        query: Query,
        fingerprint: Fingerprint,
        encoding: Encoding | None,
        allowed: Uses,
        namespace: Namespace,
        *,
        in_full: bool,
    ) -> tuple[Examined, ...]:
        if encoding is None or allowed.semantic is not None:
            return ()
        found = await self._semantic.nearest(
            fingerprint.keys.scope, encoding.embedding, limit=self._thresholds.candidates
        )
        if owes_usage(query.request):
            found = tuple(one for one in found if stored_usage(one.answer.completion) is not None)
        threshold = self._budget.of(namespace).threshold
        return await self._examined(query, found, threshold=threshold, in_full=in_full)

    async def _examined(
        self, query: Query, found: Sequence[Candidate], *, threshold: float, in_full: bool
    ) -> tuple[Examined, ...]:
        """Each with its verdict, up to the first that is verified: one is enough, and each costs time."""
        examined: list[Examined] = []
        for candidate in found:
            verdict = within_budget(await self._verifier.check(query.text, candidate), threshold=threshold)
            examined.append(Examined(candidate=candidate, verdict=verdict))
            if isinstance(verdict, Verified) and not in_full:
                break
        return tuple(examined)


def _verified(examined: Sequence[Examined]) -> bool:
    return any(isinstance(one.verdict, Verified) for one in examined)


def refusals(examined: Sequence[Examined]) -> list[str]:
    """The reasons of those that were refused."""
    return [one.verdict.reason for one in examined if isinstance(one.verdict, Refused)]
