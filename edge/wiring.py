"""The only file that names adapters: opens them, puts the edge together, closes them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud.wire.service.breaker import BreakerLimits, Breakers, State
from cloud.wire.service.client import Limits, OpenAiClient, new_session
from cloud.wire.service.keyfile import KeyFile, WatchedKeyring
from cloud.wire.service.observe import Instruments, Metrics
from cloud.wire.service.settings import StartUpError
from edge.adapters.bundle_follower import follow_bundle
from edge.adapters.diskcache_exact import DiskcacheExact
from edge.adapters.httpx_upstream import HttpxUpstream
from edge.adapters.knowledge import open_knowledge
from edge.adapters.off import NoExactCache, NoKnowledge, NoSemanticCache
from edge.adapters.onnx_encoder import OnnxEncoder
from edge.adapters.onnx_verifier import OnnxVerifier
from edge.adapters.usearch_semantic import UsearchSemantic
from edge.bounded_encoder import BoundedEncoder
from edge.breaker import BreakingUpstream
from edge.coalescing import CoalescingUpstream
from edge.error_budget import BY_RULE, Bin, ErrorBudget
from edge.feedback import Feedback
from edge.judge import Judge, Thresholds
from edge.known import KnowledgeRefused, load_known
from edge.pipeline import Pipeline
from edge.ports import Encoder, ExactCache, Knowledge, SemanticCache, Upstream, Verifier
from edge.quotas import Quotas
from edge.routes import DEFAULT_FILE, RoutesRefused
from edge.sessions import Sessions
from edge.settings import EdgeSettings
from edge.shadows import Shadows
from edge.shedding import SheddingUpstream
from edge.storing import Storing
from edge.telemetry import EdgeMetrics
from edge.verifier import GuardedVerifier
from edge.watched_routes import WatchedRoutes
from edge.wiring_limits import open_budget, open_quotas
from models.reading.bundle import BundleRefused

_GIVES_UP_WITH = 0.9
"""Share of the first-byte limit after which a passed deadline counts against the upstream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A running edge: what handlers work with."""

    settings: EdgeSettings
    keys: WatchedKeyring
    judge: Judge
    pipeline: Pipeline
    feedback: Feedback
    budget: ErrorBudget
    quotas: Quotas
    thresholds: Thresholds
    upstream: Upstream
    metrics: Metrics


@asynccontextmanager
async def open_edge(settings: EdgeSettings, instruments: Instruments) -> AsyncIterator[Edge]:
    """The edge as it runs in production."""
    async with (
        _open_encoder(settings, instruments) as encoder,
        open_edge_with(encoder, settings, instruments) as edge,
    ):
        yield edge


@asynccontextmanager
async def open_edge_with(
    encoder: Encoder | None, settings: EdgeSettings, instruments: Instruments
) -> AsyncIterator[Edge]:
    """Without an encoder only the exact cache and forwarding work."""
    async with AsyncExitStack() as stack:
        limits = Limits(
            connect_s=settings.upstream_connect_timeout_s,
            first_byte_s=settings.upstream_first_byte_timeout_s,
            stall_s=settings.upstream_stall_timeout_s,
            max_connections=settings.upstream_max_connections,
        )
        client = OpenAiClient(
            base_url=settings.upstream_url,
            api_key=settings.upstream_credential(),
            limits=limits,
            session=await stack.enter_async_context(new_session(limits)),
        )
        upstream: Upstream = _guarded(
            HttpxUpstream(client=client, tracing=instruments.tracing), settings, instruments
        )
        if settings.coalesce:
            coalescing = CoalescingUpstream(
                upstream,
                tracing=instruments.tracing,
                replay_bytes=settings.coalesce_buffer_bytes,
                on_collapsed=instruments.metrics.pressure.collapsed.inc,
            )
            stack.push_async_callback(coalescing.aclose)
            upstream = coalescing
        exact = await _open_exact_cache(
            settings, "exact", stack, memory_bytes=settings.exact_cache_memory_bytes
        )
        stale = await _open_exact_cache(settings, "stale", stack, memory_bytes=0)
        storing = Storing()
        metrics = EdgeMetrics(
            instruments.metrics.registry, price_input=settings.price_input, price_output=settings.price_output
        )
        semantic = _open_semantic_cache(settings, stack) if encoder is not None else NoSemanticCache()
        verifier, floor, calibration = _open_verifier(settings, encoder, stack)
        budget, samples = open_budget(
            settings, floor=floor, calibration=calibration, metrics=metrics, stack=stack
        )
        shadows = Shadows(
            upstream=upstream,
            encoder=encoder,
            budget=budget,
            samples=samples,
            same_answer_similarity=settings.cache_same_answer_similarity,
            on_sample=lambda outcome: metrics.shadows.labels(outcome).inc(),
        )
        stack.push_async_callback(shadows.aclose)
        # Entered last, so that what is still to be stored is stored before the stores close.
        stack.push_async_callback(storing.settled)
        feedback = Feedback(exact=exact, stale=stale, semantic=semantic, shadows=shadows, metrics=metrics)
        thresholds = Thresholds(injection=settings.injection_threshold)
        routes = _open_routes(settings, instruments, metrics)
        judge = Judge(
            exact=exact,
            encoder=encoder,
            semantic=semantic,
            knowledge=await _open_knowledge(settings, encoder),
            verifier=verifier,
            budget=budget,
            routes=routes.current,
            thresholds=thresholds,
        )
        yield Edge(
            settings=settings,
            keys=WatchedKeyring(KeyFile(settings.keys_path), honours_development_keys=settings.is_loopback),
            judge=judge,
            feedback=feedback,
            budget=budget,
            quotas=open_quotas(settings, stack),
            thresholds=thresholds,
            pipeline=Pipeline(
                judge=judge,
                exact=exact,
                stale=stale,
                semantic=semantic,
                upstream=upstream,
                storing=storing,
                feedback=feedback,
                shadows=shadows,
                sessions=Sessions(lambda: routes.current().tiers),
                metrics=metrics,
                thresholds=thresholds,
            ),
            upstream=upstream,
            metrics=instruments.metrics,
        )


@asynccontextmanager
async def _open_encoder(settings: EdgeSettings, instruments: Instruments) -> AsyncIterator[Encoder | None]:
    if not settings.use_models:
        yield None
        return

    def told(refusal: str | None, bundle: str) -> None:
        instruments.log.event(
            "bundle_read" if refusal is None else "bundle_refused", bundle=bundle, why=refusal
        )

    try:
        encoder = await asyncio.to_thread(OnnxEncoder.open, settings.bundle_path)
    except BundleRefused as error:
        raise StartUpError(f"cannot serve the model bundle: {error}") from error
    following = asyncio.create_task(follow_bundle(encoder, settings.bundle_path, told=told))
    try:
        yield BoundedEncoder(
            encoder, most=settings.max_reading, on_shed=instruments.metrics.pressure.shed_at_encoder.inc
        )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        encoder.close()


async def _open_exact_cache(
    settings: EdgeSettings, name: str, stack: AsyncExitStack, *, memory_bytes: int
) -> ExactCache:
    if settings.exact_cache_max_bytes == 0:
        return NoExactCache()
    exact = DiskcacheExact(
        settings.data_dir / name,
        max_bytes=settings.exact_cache_max_bytes,
        memory_bytes=memory_bytes,
    )
    stack.push_async_callback(exact.aclose)
    return exact


def _open_semantic_cache(settings: EdgeSettings, stack: AsyncExitStack) -> SemanticCache:
    if settings.semantic_entries_per_tenant == 0:
        return NoSemanticCache()
    folder = settings.data_dir / "semantic"
    try:
        semantic = UsearchSemantic(
            folder,
            min_similarity=settings.semantic_min_similarity,
            entries_per_tenant=settings.semantic_entries_per_tenant,
        )
    except (OSError, sqlite3.Error) as error:
        raise StartUpError(f"cannot keep the semantic cache in {folder}: {error}") from error
    stack.push_async_callback(semantic.aclose)
    return semantic


async def _open_knowledge(settings: EdgeSettings, encoder: Encoder | None) -> Knowledge:
    try:
        known = load_known(settings.knowledge_path)
    except KnowledgeRefused as error:
        raise StartUpError(str(error)) from error
    if encoder is None or not known:
        return NoKnowledge()
    return await open_knowledge(known, encoder, min_similarity=settings.semantic_min_similarity)


def _open_routes(settings: EdgeSettings, instruments: Instruments, metrics: EdgeMetrics) -> WatchedRoutes:
    def told(mistakes: str) -> None:
        metrics.routes_refused.set(bool(mistakes))
        if mistakes:
            instruments.log.event("route_table_refused", mistakes=mistakes.splitlines())
        else:
            instruments.log.event("route_table_read")

    try:
        return WatchedRoutes(settings.routes_file or DEFAULT_FILE, told=told)
    except RoutesRefused as error:
        raise StartUpError(str(error)) from error


def _open_verifier(
    settings: EdgeSettings, encoder: Encoder | None, stack: AsyncExitStack
) -> tuple[Verifier, float, tuple[Bin, ...]]:
    """The verifier, the probability below which it refuses, and what its table says of those above."""
    if encoder is None or settings.verifier_path is None:
        return GuardedVerifier(), BY_RULE, ()
    try:
        scorer = OnnxVerifier.open(settings.verifier_path)
    except BundleRefused as error:
        raise StartUpError(f"verifier: {error}") from error
    stack.callback(scorer.close)
    threshold = settings.verifier_threshold or scorer.manifest.threshold
    table = tuple(
        Bin(score=one.low, right=one.equivalent, wrong=one.other) for one in scorer.manifest.calibration
    )
    return GuardedVerifier(scorer=scorer, threshold=threshold), threshold, table


def _guarded(upstream: Upstream, settings: EdgeSettings, instruments: Instruments) -> Upstream:
    """The breaker stands before the queue: while it is open, nobody waits for a turn to be refused."""

    def note(model: str, before: State, after: State) -> None:
        instruments.metrics.pressure.breaker_changed(before, after)
        instruments.log.event("breaker", model=model or None, before=before, after=after)
        instruments.tracing.event("wayside.breaker", {"before": before, "after": after})

    return BreakingUpstream(
        SheddingUpstream(
            upstream,
            # With more than the pool holds, calls would wait inside it, and look like failures.
            max_in_flight=min(settings.max_in_flight, settings.upstream_max_connections),
            max_waiting=settings.max_waiting,
            max_wait_s=settings.max_wait_ms / 1000,
            on_shed=instruments.metrics.pressure.shed_at_upstream.inc,
        ),
        breakers=Breakers(
            BreakerLimits(
                failures=settings.breaker_failures,
                cool_down_s=settings.breaker_cool_down_s,
                longest_cool_down_s=max(settings.breaker_cool_down_s, settings.breaker_longest_cool_down_s),
            ),
            on_change=note,
        ),
        patience_s=_GIVES_UP_WITH * settings.upstream_first_byte_timeout_s,
    )
