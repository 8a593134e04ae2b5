"""Vectors of one scope: a graph takes the scan's place without missing what changes meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from edge.adapters.partition import Graph, Matrix, Partition, Scan, build_graph
from tests.ports.test_semantic_cache import direction

pytestmark = pytest.mark.anyio


def matrix(seeds: range) -> Matrix:
    return np.array([direction(seed) for seed in seeds], np.float32)


def scan(seeds: range) -> Scan:
    return Scan(np.array(seeds, np.int64), matrix(seeds))


async def test_what_changes_while_a_graph_is_built_is_made_up_for() -> None:
    may_build = Event()

    def rebuild() -> Graph:
        may_build.wait(10)
        return build_graph([(np.arange(60), matrix(range(60)))], dimensions=matrix(range(1)).shape[1])

    with ThreadPoolExecutor(1) as builder:
        partition = Partition(scan(range(60)), exact_limit=50, builder=builder, rebuild=rebuild)
        for seed in range(60, 100):
            partition.add(seed, direction(seed))
        partition.remove(3)
        assert len(partition) == 99
        may_build.set()
        await partition.settle()
        assert partition.graph is not None
        assert [key for key, _ in partition.nearest(direction(99), 1)] == [99]
        assert 3 not in {key for key, _ in partition.nearest(direction(3), 5)}
        assert len(partition) == 99


async def test_a_graph_that_cannot_be_built_leaves_the_scan_at_work_and_is_tried_again() -> None:
    tried = []

    def rebuild() -> Graph | None:
        tried.append(True)
        return None

    with ThreadPoolExecutor(1) as builder:
        partition = Partition(scan(range(60)), exact_limit=50, builder=builder, rebuild=rebuild)
        await partition.settle()
        assert [key for key, _ in partition.nearest(direction(7), 1)] == [7]
        assert len(tried) == 1
        for seed in range(60, 400):
            partition.add(seed, direction(seed))
        await partition.settle()
        assert len(tried) == 2


@pytest.mark.parametrize("kind", ["scan", "graph"])
def test_a_key_that_is_there_already_is_not_added_twice(kind: str) -> None:
    vectors = (
        scan(range(5))
        if kind == "scan"
        else build_graph([(np.arange(5), matrix(range(5)))], dimensions=matrix(range(1)).shape[1])
    )
    vectors.add(3, direction(3))
    assert len(vectors) == 5
    assert [key for key, _ in vectors.nearest(direction(3), 5)].count(3) == 1
