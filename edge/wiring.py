"""The only file that names adapters: opens them, puts the edge together, closes them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud.wire.service.breaker import BreakerLimits, Breakers, State
from cloud.wire.service.client import Limits, OpenAiClient, new_session
from cloud.wire.service.keyfile import KeyFile, WatchedKeyring
from cloud.wire.service.observe import Instruments, Metrics
from edge.adapters.httpx_upstream import HttpxUpstream
from edge.adapters.off import NoExactCache, NothingSimilar, RefuseAll
from edge.breaker import BreakingUpstream
from edge.coalescing import CoalescingUpstream
from edge.pipeline import Pipeline
from edge.ports import Upstream
from edge.settings import EdgeSettings
from edge.shedding import SheddingUpstream

_GIVES_UP_WITH = 0.9
"""Share of the first-byte limit after which a passed deadline counts against the upstream."""


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
