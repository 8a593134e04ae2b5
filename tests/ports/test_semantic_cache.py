"""Every semantic cache behaves like this: the fake and the one on disk."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from edge.adapters.usearch_semantic import UsearchSemantic
from edge.domain import Entry, Keys, Scope, StoredAnswer, Vector
from edge.ports import SemanticCache
from tests.support.caches import Clock, FakeSemanticCache

pytestmark = pytest.mark.anyio
DIMENSIONS = 16


def direction(seed: int, *, tilt: float = 0.0) -> Vector:
    """A unit vector of its own for each seed, tilted a little when asked."""
    chance = np.random.default_rng(seed)
    vector = chance.standard_normal(DIMENSIONS) + tilt * np.random.default_rng(seed + 10**6).standard_normal(
        DIMENSIONS
    )
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def entry(
    clock: Clock,
    seed: int,
    *,
    tenant: str = "acme",
    scope: str = "s",
    ttl_s: float = 60,
    embedding: Vector | None = None,
    completion: bytes | None = None,
) -> Entry:
    name = f"{seed:043}"
    return Entry(
        keys=Keys(entry=name, scope=Scope(tenant=tenant, digest=scope)),
        question=f"question {seed}",
        embedding=direction(seed) if embedding is None else embedding,
        answer=StoredAnswer(
            id=name,
            completion=completion if completion is not None else b'{"n":%d}' % seed,
            created=clock.now,
            expires=clock.now + ttl_s,
        ),
    )


SCOPE = Scope(tenant="acme", digest="s")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["fake", "usearch"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[SemanticCache]:
    if request.param == "fake":
        yield FakeSemanticCache(clock, min_similarity=0.8)
        return
    adapter = UsearchSemantic(tmp_path / "semantic", min_similarity=0.8, entries_per_tenant=1000, clock=clock)
    yield adapter
    await adapter.aclose()


async def asked(cache: SemanticCache, vector: Vector, scope: Scope = SCOPE) -> list[str]:
    return [candidate.question for candidate in await cache.nearest(scope, vector, limit=3)]


async def test_the_nearest_question_comes_back_with_its_answer(cache: SemanticCache, clock: Clock) -> None:
    for seed in range(20):
        assert await cache.put(entry(clock, seed))
    (found,) = await cache.nearest(SCOPE, direction(7, tilt=0.1), limit=3)
    assert found.question == "question 7"
    assert found.answer == entry(clock, 7).answer
    assert 0.9 < found.similarity < 1.0


async def test_what_is_not_similar_enough_is_no_candidate(cache: SemanticCache, clock: Clock) -> None:
    await cache.put(entry(clock, 1))
    assert await asked(cache, direction(2)) == []


async def test_candidates_come_nearest_first_and_no_more_than_asked(
    cache: SemanticCache, clock: Clock
) -> None:
    for seed, tilt in [(1, 0.3), (2, 0.1), (3, 0.2), (4, 0.4)]:
        await cache.put(entry(clock, seed, embedding=direction(9, tilt=tilt)))
    assert await asked(cache, direction(9)) == ["question 2", "question 3", "question 1"]


async def test_an_empty_scope_holds_nothing(cache: SemanticCache) -> None:
    assert await asked(cache, direction(1)) == []


@pytest.mark.parametrize("elsewhere", [Scope(tenant="acme", digest="t"), Scope(tenant="zeta", digest="s")])
async def test_another_scope_or_tenant_finds_nothing(
    cache: SemanticCache, clock: Clock, elsewhere: Scope
) -> None:
    await cache.put(entry(clock, 1))
    assert await asked(cache, direction(1), elsewhere) == []
    assert await cache.drop("zeta") == 0
    assert await asked(cache, direction(1)) == ["question 1"]


async def test_an_expired_entry_is_no_candidate(cache: SemanticCache, clock: Clock) -> None:
    await cache.put(entry(clock, 1, ttl_s=60))
    clock.now += 60
    assert await asked(cache, direction(1)) == []
    assert not await cache.put(entry(clock, 1, ttl_s=0))


async def test_the_newest_answer_of_an_entry_counts(cache: SemanticCache, clock: Clock) -> None:
    for text in (b"old", b"new"):
        await cache.put(entry(clock, 1, completion=text))
    (found,) = await cache.nearest(SCOPE, direction(1), limit=3)
    assert found.answer.completion == b"new"


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
async def test_a_vector_without_direction_is_refused(cache: SemanticCache, clock: Clock, bad: float) -> None:
    vector = direction(1)
    vector[:] = bad
    assert not await cache.put(entry(clock, 1, embedding=vector))
    await cache.put(entry(clock, 2))
    assert await asked(cache, direction(2)) == ["question 2"]


async def test_one_entry_one_scope_or_everything_can_be_dropped(cache: SemanticCache, clock: Clock) -> None:
    for seed, scope in [(1, "s"), (2, "s"), (3, "t"), (4, "t"), (5, "u")]:
        await cache.put(entry(clock, seed, scope=scope))
    assert await cache.drop("acme", entry=f"{1:043}") == 1
    assert await asked(cache, direction(1)) == []
    assert await cache.drop("acme", scope="t") == 2
    assert await asked(cache, direction(2)) == ["question 2"]
    assert await cache.drop("acme") == 2
    assert await asked(cache, direction(2)) == []
