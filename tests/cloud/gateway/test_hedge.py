"""A second model asked when the first is slow to begin."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

import pytest

from cloud.domain import Call, Model
from cloud.gateway.extra_calls import ExtraCalls
from cloud.gateway.gateway import Gateway
from cloud.gateway.policy import GatewayLimits
from cloud.wire.errors import UpstreamUnavailable
from cloud.wire.service.breaker import BreakerLimits, Breakers
from tests.support.cloud_calls import call

pytestmark = pytest.mark.anyio

FIRST = Model(name="first", provider="p", upstream_name="first", fallbacks=("spare",))
SPARE = Model(name="spare", provider="p", upstream_name="spare")


class Paced:
    """A provider that begins after so many seconds by model, or fails then."""

    def __init__(self, **waits: float) -> None:
        self.waits = waits
        self.asked: list[str] = []
        self.closed: list[str] = []
        self.fails: set[str] = set()

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        name = call.model.name
        self.asked.append(name)
        try:
            await asyncio.sleep(self.waits[name])
            if name in self.fails:
                raise UpstreamUnavailable(f"{name} failed")
            yield name.encode()
        finally:
            self.closed.append(name)

    async def check(self) -> None:
        """Always there."""


def unnoted(what: str, fields: Mapping[str, str]) -> None:
    """Nobody counts here."""


def gateway(provider: Paced, *, share: float = 1.0) -> Gateway:
    return Gateway(
        providers={"p": provider},
        models=(FIRST, SPARE),
        breakers=Breakers(BreakerLimits(failures=3, cool_down_s=1, longest_cool_down_s=1)),
        limits=GatewayLimits(retries=0, hedge_after_s=0.03, hedge_share=share),
        patience_s=10,
        note=unnoted,
    )


async def answered(made: Gateway) -> list[bytes]:
    return [document async for document in made.complete(replace(call(), model=FIRST))]


async def test_a_quick_answer_is_asked_for_once() -> None:
    provider = Paced(first=0.0, spare=0.0)
    assert await answered(gateway(provider)) == [b"first"]
    assert provider.asked == ["first"]


async def test_when_the_first_is_slow_the_spare_answers_and_the_first_is_closed() -> None:
    provider = Paced(first=30.0, spare=0.01)
    assert await asyncio.wait_for(answered(gateway(provider)), 5) == [b"spare"]
    assert provider.asked == ["first", "spare"]
    assert sorted(provider.closed) == ["first", "spare"]


async def test_a_first_that_begins_while_the_spare_is_slower_wins() -> None:
    provider = Paced(first=0.08, spare=30.0)
    assert await asyncio.wait_for(answered(gateway(provider)), 5) == [b"first"]
    assert sorted(provider.closed) == ["first", "spare"]


async def test_a_failure_of_one_is_not_told_while_the_other_may_answer() -> None:
    provider = Paced(first=0.05, spare=0.1)
    provider.fails = {"first"}
    assert await asyncio.wait_for(answered(gateway(provider)), 5) == [b"spare"]
    assert provider.asked == ["first", "spare"]


async def test_at_most_a_tenth_of_all_calls_are_asked_twice() -> None:
    provider = Paced(first=0.05, spare=0.0)
    made = gateway(provider, share=0.1)
    for _ in range(40):
        await answered(made)
    assert 1 <= provider.asked.count("spare") <= 4


def test_the_budget_does_not_save_up_a_burst() -> None:
    budget = ExtraCalls(0.1)
    for _ in range(1000):
        budget.earn()
    assert budget.spend()
    assert not budget.spend()
