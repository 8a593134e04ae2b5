"""What is shipped agrees with itself, and nothing that trains is tested on."""

import tomllib
from pathlib import Path

import pytest

from edge.adapters.onnx_encoder import Network
from models.card import card
from models.dataset import collect, data_directory
from models.leakage import crossings
from models.noise import noisy
from models.reading.bundle import read_bundle
from models.rows import read_intents
from models.strangers import strangers

MODELS = Path(__file__).parents[2] / "models"

needs_data = pytest.mark.skipif(
    not (data_directory() / "clinc150").exists(), reason="the public collections are not on this machine"
)


@pytest.mark.parametrize("pack", ["general", "assistant"])
def test_the_route_table_of_a_shipped_pack_names_the_labels_of_its_bundle(pack: str) -> None:
    table = tomllib.loads((MODELS / "packs" / pack / "routes.toml").read_text(encoding="utf-8"))
    bundle = read_bundle(MODELS / "bundles" / pack)
    assert set(table["intents"]) == set(bundle.manifest.head("route").labels)


@pytest.mark.parametrize("pack", ["general", "assistant"])
def test_a_shipped_bundle_is_small_and_says_everything(pack: str) -> None:
    bundle = read_bundle(MODELS / "bundles" / pack)
    assert sum(file.stat().st_size for file in bundle.directory.iterdir()) <= 25_000_000
    assert {head.name for head in bundle.manifest.heads} >= {
        "route",
        "complexity",
        "injection",
        "needs_tools",
    }
    Network(bundle)


@pytest.mark.parametrize("pack", ["general", "assistant"])
def test_a_card_names_every_source_and_its_licence(pack: str) -> None:
    manifest = read_bundle(MODELS / "bundles" / pack).manifest
    written = (MODELS / "bundles" / pack / "card.md").read_text(encoding="utf-8")
    assert written == card(manifest)
    for source in manifest.sources:
        assert f"| {source.name} | {source.rows} | {source.licence} |" in written


def test_no_source_that_forbids_commercial_use_ships() -> None:
    for pack in ("general", "assistant"):
        for source in read_bundle(MODELS / "bundles" / pack).manifest.sources:
            assert not {"locomo", "dialogsum", "qqp"} & set(source.name.split("_"))
            assert "NC" not in source.licence.split("-")


def test_the_written_examples_can_be_read() -> None:
    for name in ("written", "abstain", "dev_check"):
        assert read_intents(MODELS / "packs" / "general" / f"{name}.jsonl")
    assert len(strangers()) > 300


def test_noise_is_repeatable_and_leaves_something() -> None:
    from random import Random

    text = "What is the capital of France?"
    assert noisy(text, Random(3)) == noisy(text, Random(3))
    assert all(noisy(one, Random(seed)).strip() for one in ("a", "?!", text) for seed in range(50))


@needs_data
@pytest.mark.parametrize("pack", ["general", "assistant", "banking"])
def test_no_training_text_is_held_out_or_tested_on(pack: str) -> None:
    collection = collect(pack, data_directory())
    assert not crossings(collection.train, [one.text for one in collection.validation])


@needs_data
def test_a_copied_training_text_is_found() -> None:
    collection = collect("assistant", data_directory())
    copied = collection.train[0].text.upper() + " !!"
    assert crossings(collection.train, [copied, "nobody ever wrote this very sentence"]) == [copied]
