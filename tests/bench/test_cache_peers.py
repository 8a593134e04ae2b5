"""The rules of other caches, at the edges of their defaults."""

import pytest

from bench.cache_peers import gptcache, redisvl


@pytest.mark.parametrize(("cosine", "serves"), [(1.0, True), (0.61, True), (0.59, False), (-1.0, False)])
def test_gptcache_serves_what_is_nearer_than_a_fifth_of_the_largest_squared_distance(
    cosine: float, serves: bool
) -> None:
    assert gptcache(cosine) is serves


@pytest.mark.parametrize(("cosine", "serves"), [(1.0, True), (0.91, True), (0.89, False), (-1.0, False)])
def test_redisvl_serves_what_is_within_a_tenth_of_cosine_distance(cosine: float, serves: bool) -> None:
    assert redisvl(cosine) is serves
