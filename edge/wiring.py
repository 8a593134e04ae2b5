"""The only file that names adapters: opens them, puts the edge together, closes them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud.wire.service.client import Limits as CallLimits
from cloud.wire.service.client import OpenAiClient, new_session
from cloud.wire.service.keyfile import KeyFile, WatchedKeyring
from cloud.wire.service.observe import Instruments, Metrics
from edge.adapters.diskcache_exact import DiskcacheExact
from edge.adapters.httpx_upstream import HttpxUpstream
from edge.adapters.off import NoExactCache, NothingSimilar, RefuseAll
from edge.cacheability import Limits
from edge.pipeline import Pipeline
from edge.ports import ExactCache, Upstream
from edge.settings import EdgeSettings
from edge.storing import Storing
from edge.telemetry import EdgeMetrics


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
        limits = CallLimits(
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
        yield Edge(
            settings=settings,
            keys=WatchedKeyring(KeyFile(settings.keys_path), honours_development_keys=settings.is_loopback),
            pipeline=Pipeline(
                exact=exact,
                encoder=None,
                semantic=NothingSimilar(),
                knowledge=NothingSimilar(),
                verifier=RefuseAll(),
                upstream=upstream,
                storing=storing,
                metrics=EdgeMetrics(instruments.metrics.registry),
                limits=Limits(),
                ttl_s=settings.cache_ttl_s,
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
