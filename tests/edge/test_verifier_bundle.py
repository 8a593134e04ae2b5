"""The shipped verifier: what it is refused for, what it reads, and what it says."""

import math
import shutil
from pathlib import Path

import pytest

from edge.adapters.onnx_verifier import OnnxVerifier
from edge.settings import EdgeSettings
from edge.verifier_bundle import PairNetwork, read_verifier
from models.reading.bundle import BundleRefused


@pytest.fixture(scope="module")
def shipped() -> Path:
    path = EdgeSettings().verifier_path
    assert path is not None
    return path


@pytest.fixture(scope="module")
def network(shipped: Path) -> PairNetwork:
    return PairNetwork(read_verifier(shipped))


def test_a_rewording_is_likelier_than_its_opposite(network: PairNetwork) -> None:
    asked = "How do I switch the automatic renewal off?"
    same = network.probability(asked, "How can I stop my plan from renewing automatically?", 0.8)
    other = network.probability(asked, "How do I switch the automatic renewal on?", 0.9)
    assert other < network.manifest.threshold < same


def test_the_order_of_two_questions_does_not_matter_where_either_order_leaves_a_doubt(
    network: PairNetwork,
) -> None:
    first, second = "What do you charge for returns?", "Is sending something back free?"
    told = network.logit(first, second)
    assert network.manifest.hopeless < told < network.manifest.certain
    assert told == pytest.approx(network.logit(second, first), abs=1e-4)


def test_a_pair_that_one_order_is_certain_of_is_served_in_either(network: PairNetwork) -> None:
    first, second = "Is breakfast part of the room price?", "Does the room rate include breakfast?"
    for told in (network.probability(first, second, 0.8), network.probability(second, first, 0.8)):
        assert told > 0.9


def test_questions_too_long_to_be_read_whole_are_never_alike(network: PairNetwork) -> None:
    long = "Why is the sky blue over the sea in summer? " * 12
    assert network.logit(long, long) == -math.inf
    assert network.probability(long, long, 1.0) == 0.0


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_changed_file_is_refused(shipped: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "verifier"
    shutil.copytree(shipped, copy)
    with (copy / name).open("r+b") as file:
        file.seek(100)
        file.write(b"\0\0\0\0")
    with pytest.raises(BundleRefused, match=name):
        read_verifier(copy)


@pytest.mark.anyio
async def test_a_folder_without_a_verifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused):
        OnnxVerifier.open(tmp_path)
