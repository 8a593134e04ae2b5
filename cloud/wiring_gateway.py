"""Puts the gateway around the providers."""

from collections.abc import Mapping

from prometheus_client import Counter

from cloud.catalog import Catalog
from cloud.gateway.gateway import Gateway
from cloud.gateway.policy import GatewayLimits
from cloud.ports import Provider
from cloud.settings import CloudSettings
from cloud.wire.service.breaker import BreakerLimits, Breakers, State
from cloud.wire.service.observe import Instruments


def open_gateway(
    settings: CloudSettings, catalog: Catalog, providers: Mapping[str, Provider], instruments: Instruments
) -> Gateway:
    events = Counter(
        "wayside_provider_events",
        "Retries, failovers, continuations and breaker changes by model",
        ["what", "model"],
        registry=instruments.metrics.registry,
    )

    def note(what: str, fields: Mapping[str, str]) -> None:
        events.labels(what, fields["model"]).inc()
        instruments.tracing.event(f"wayside.{what}", fields)

    def changed(key: str, before: State, after: State) -> None:
        events.labels(f"breaker {after}", key.partition("/")[2]).inc()
        instruments.log.event("breaker", model=key, before=before, after=after)
        instruments.tracing.event("wayside.breaker", {"model": key, "before": before, "after": after})

    return Gateway(
        providers=providers,
        models=catalog.models,
        breakers=Breakers(
            BreakerLimits(
                failures=settings.breaker_failures,
                cool_down_s=settings.breaker_cool_down_s,
                longest_cool_down_s=max(settings.breaker_cool_down_s, settings.breaker_longest_cool_down_s),
            ),
            on_change=changed,
        ),
        limits=GatewayLimits(
            retries=settings.provider_retries,
            first_wait_s=settings.provider_retry_wait_ms / 1000,
            longest_wait_s=settings.provider_longest_retry_wait_s,
            first_token_s=settings.provider_first_token_s,
            hedge_after_s=settings.provider_hedge_ms / 1000,
            hedge_share=settings.provider_hedge_share,
        ),
        patience_s=settings.provider_first_token_s,
        note=note,
    )
