"""The only file that names adapters: opens them, puts the edge together, closes them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud.wire.service.client import Limits, OpenAiClient, new_session
from cloud.wire.service.keyfile import KeyFile, WatchedKeyring
from cloud.wire.service.observe import Instruments, Metrics
from cloud.wire.service.settings import StartUpError
from edge.adapters.diskcache_exact import DiskcacheExact
from edge.adapters.httpx_upstream import HttpxUpstream
from edge.adapters.off import NoExactCache, NoKnowledge, NoSemanticCache, RefuseAll
from edge.judge import Judge, Thresholds
from edge.pipeline import Pipeline
from edge.ports import ExactCache, Upstream
from edge.routes import DEFAULT_FILE, RoutesRefused
from edge.settings import EdgeSettings
from edge.storing import Storing
from edge.telemetry import EdgeMetrics
from edge.watched_routes import WatchedRoutes


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A running edge: what handlers work with."""

    settings: EdgeSettings
    keys: WatchedKeyring
    pipeline: Pipeline
    upstream: Upstream
    metrics: Metrics


@asynccontextmanager
async def open_edge(settings: EdgeSettings, instruments: Instruments) -> AsyncIterator[Edge]:
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
        stack.push_async_callback(client.aclose)
        upstream = HttpxUpstream(client=client, tracing=instruments.tracing)
        exact = await _open_exact_cache(settings, stack)
        storing = Storing()
        # Entered last, so that what is still to be stored is stored before the caches close.
        stack.push_async_callback(storing.settled)
        metrics = EdgeMetrics(instruments.metrics.registry)
        semantic = NoSemanticCache()
        thresholds = Thresholds(injection=settings.injection_threshold)
        judge = Judge(
            exact=exact,
            encoder=None,
            semantic=semantic,
            knowledge=NoKnowledge(),
            verifier=RefuseAll(),
            routes=_open_routes(settings, instruments, metrics).current,
            thresholds=thresholds,
        )
        yield Edge(
            settings=settings,
            keys=WatchedKeyring(KeyFile(settings.keys_path), honours_development_keys=settings.is_loopback),
            pipeline=Pipeline(
                judge=judge,
                exact=exact,
                semantic=semantic,
                upstream=upstream,
                storing=storing,
                metrics=metrics,
                thresholds=thresholds,
            ),
            upstream=upstream,
            metrics=instruments.metrics,
        )


async def _open_exact_cache(settings: EdgeSettings, stack: AsyncExitStack) -> ExactCache:
    if settings.exact_cache_max_bytes == 0:
        return NoExactCache()
    exact = DiskcacheExact(settings.data_dir / "exact", max_bytes=settings.exact_cache_max_bytes)
    stack.push_async_callback(exact.aclose)
    return exact


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
