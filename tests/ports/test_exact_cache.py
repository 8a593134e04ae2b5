"""Every exact cache behaves like this: the fake and the one on disk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.adapters.diskcache_exact import DiskcacheExact
from edge.domain import Keys, Scope, StoredAnswer
from edge.ports import ExactCache
from tests.support.caches import Clock, FakeExactCache

pytestmark = pytest.mark.anyio


def keys(tenant: str = "acme", entry: str = "e" * 43, scope: str = "s") -> Keys:
    return Keys(entry=entry, scope=Scope(tenant=tenant, digest=scope))


def answer(clock: Clock, text: bytes = b"{}", *, ttl_s: float = 60, id: str = "e" * 43) -> StoredAnswer:
    return StoredAnswer(id=id, completion=text, created=clock.now, expires=clock.now + ttl_s)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["fake", "diskcache", "diskcache with memory"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[ExactCache]:
    if request.param == "fake":
        yield FakeExactCache(clock)
        return
    adapter = DiskcacheExact(
        tmp_path / "exact",
        max_bytes=10_000_000,
        memory_bytes=1_000_000 if "memory" in request.param else 0,
        clock=clock,
    )
    yield adapter
    await adapter.aclose()


async def test_what_was_put_comes_back_whole(cache: ExactCache, clock: Clock) -> None:
    assert await cache.put(keys(), answer(clock, b'{"a":1}'))
    assert await cache.get(keys()) == answer(clock, b'{"a":1}')


async def test_a_large_answer_comes_back_whole(cache: ExactCache, clock: Clock) -> None:
    assert await cache.put(keys(), answer(clock, b"x" * 200_000))
    assert await cache.get(keys()) == answer(clock, b"x" * 200_000)


async def test_what_was_never_put_is_a_miss(cache: ExactCache) -> None:
    assert await cache.get(keys()) is None


async def test_the_newest_answer_counts(cache: ExactCache, clock: Clock) -> None:
    await cache.put(keys(), answer(clock, b"old"))
    await cache.put(keys(), answer(clock, b"new"))
    assert await cache.get(keys()) == answer(clock, b"new")


async def test_an_expired_answer_is_a_miss(cache: ExactCache, clock: Clock) -> None:
    await cache.put(keys(), answer(clock, ttl_s=60))
    clock.now += 60
    assert await cache.get(keys()) is None


async def test_an_answer_that_is_expired_already_is_not_kept(cache: ExactCache, clock: Clock) -> None:
    assert not await cache.put(keys(), answer(clock, ttl_s=0))


async def test_another_tenant_finds_nothing_and_drops_nothing(cache: ExactCache, clock: Clock) -> None:
    await cache.put(keys("acme"), answer(clock))
    assert await cache.get(keys("acm")) is None
    assert await cache.drop("acm") == 0
    assert await cache.drop("acm", entry="e" * 43) == 0
    assert await cache.drop("acm", scope="s") == 0
    assert await cache.get(keys("acme")) is not None


async def test_one_entry_one_scope_or_everything_can_be_dropped(cache: ExactCache, clock: Clock) -> None:
    for entry, scope in [("1" * 43, "s"), ("2" * 43, "s"), ("3" * 43, "t"), ("4" * 43, "t"), ("5" * 43, "u")]:
        await cache.put(keys(entry=entry, scope=scope), answer(clock))
    assert await cache.drop("acme", entry="1" * 43) == 1
    assert await cache.get(keys(entry="1" * 43)) is None
    assert await cache.drop("acme", scope="t") == 2
    assert await cache.get(keys(entry="2" * 43)) is not None
    assert await cache.drop("acme") == 2
    assert await cache.get(keys(entry="5" * 43)) is None
