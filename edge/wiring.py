"""The only file that names adapters: opens them, puts the edge together, closes them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud.wire.service.client import Limits, OpenAiClient, new_session
from cloud.wire.service.keyfile import KeyFile, WatchedKeyring
from cloud.wire.service.observe import Instruments, Metrics
from edge.adapters.httpx_upstream import HttpxUpstream
from edge.adapters.off import NoExactCache, NothingSimilar, RefuseAll
from edge.pipeline import Pipeline
from edge.ports import Upstream
from edge.settings import EdgeSettings


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
        upstream = HttpxUpstream(client=client, tracing=instruments.tracing)
        yield Edge(
            settings=settings,
            keys=WatchedKeyring(KeyFile(settings.keys_path), honours_development_keys=settings.is_loopback),
            pipeline=Pipeline(
                exact=NoExactCache(),
                encoder=None,
                semantic=NothingSimilar(),
                knowledge=NothingSimilar(),
                verifier=RefuseAll(),
                upstream=upstream,
            ),
            upstream=upstream,
            metrics=instruments.metrics,
        )
