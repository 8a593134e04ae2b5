"""The encoder reads a text once, off the event loop, and can change its bundle while it runs."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.adapters.onnx_encoder import Network, OnnxEncoder, probabilities
from models.reading.bundle import MANIFEST, BundleRefused, Head, read_bundle

pytestmark = pytest.mark.anyio

GENERAL = Path(__file__).parents[2] / "models" / "bundles" / "general"


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(read_bundle(GENERAL))


@pytest.fixture
def encoder() -> Iterator[OnnxEncoder]:
    opened = OnnxEncoder.open(GENERAL)
    yield opened
    opened.close()


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The same network under another name: another identity, so another embedding space."""
    target = tmp_path / "other"
    shutil.copytree(GENERAL, target)
    manifest = json.loads((target / MANIFEST).read_bytes())
    manifest["name"] = "other"
    (target / MANIFEST).write_text(json.dumps(manifest))
    return target


async def test_a_request_takes_one_pass(encoder: OnnxEncoder) -> None:
    before = encoder.passes
    await encoder.encode("How do I centre a div?")
    assert encoder.passes == before + 1


async def test_one_pass_says_everything(encoder: OnnxEncoder) -> None:
    encoding = await encoder.encode("Write a Python function that reverses a linked list.")
    assert encoding.embedding.shape == (384,)
    assert encoding.embedding.dtype == np.float32
    assert np.linalg.norm(encoding.embedding) == pytest.approx(1.0, abs=1e-4)
    assert encoding.classification.intent == "coding"
    assert 0 <= encoding.complexity <= 1
    assert encoding.injection < 0.5
    assert not encoding.truncated
    assert encoding.bundle == encoder.bundle.identity


async def test_labels_come_best_first(encoder: OnnxEncoder) -> None:
    top = (await encoder.encode("hello there")).classification.top
    assert [one.probability for one in top] == sorted((one.probability for one in top), reverse=True)


async def test_paraphrases_lie_closer_than_strangers(encoder: OnnxEncoder) -> None:
    asked = (await encoder.encode("How can I reset my password?")).embedding
    again = (await encoder.encode("I forgot my password, how do I change it?")).embedding
    other = (await encoder.encode("What is the tallest mountain in Africa?")).embedding
    assert asked @ again > 0.6 > asked @ other + 0.2


async def test_the_event_loop_goes_on_during_a_pass(encoder: OnnxEncoder) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await encoder.encode("word " * 120)
    turning.cancel()
    assert turns > 1


async def test_a_bundle_is_replaced_without_dropping_a_request(encoder: OnnxEncoder, other: Path) -> None:
    before = encoder.passes
    asked = [asyncio.create_task(encoder.encode(f"question number {index}")) for index in range(20)]
    await asyncio.sleep(0)
    replaced = await encoder.replace(other)
    later = await encoder.encode("and one more")
    answers = await asyncio.gather(*asked)
    assert len(answers) == 20
    assert later.bundle == replaced.identity != answers[0].bundle
    assert encoder.passes >= before + 21


async def test_a_refused_bundle_leaves_the_old_one_serving(encoder: OnnxEncoder, other: Path) -> None:
    (other / "model.onnx").write_bytes(b"")
    before = encoder.bundle.identity
    with pytest.raises(BundleRefused):
        await encoder.replace(other)
    assert (await encoder.encode("still there?")).bundle == before


def test_a_head_of_another_width_is_refused(other: Path) -> None:
    manifest = json.loads((other / MANIFEST).read_bytes())
    manifest["heads"][0]["labels"].append("eleventh")
    (other / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleRefused, match=r"'route' is 10 wide, the manifest says 11"):
        Network(read_bundle(other))


def test_a_network_that_cannot_be_opened_is_refused_in_one_line(other: Path) -> None:
    bundle = read_bundle(other)
    bundle.model.write_bytes(b"not a network")
    with pytest.raises(BundleRefused) as refused:
        Network(bundle)
    assert "\n" not in str(refused.value)


def test_a_long_text_is_cut_and_says_so(network: Network) -> None:
    text = "Summarize this: " + "The quick brown fox jumps over the lazy dog. " * 100
    ids, truncated = network.tokens(text)
    assert truncated
    assert len(ids) == network.bundle.manifest.window.max_tokens
    assert network.encode(text).truncated


def test_a_megabyte_is_tokenized_by_its_ends(network: Network) -> None:
    filler = "lorem ipsum dolor sit amet " * 40_000
    first = network.tokens("Translate to French: " + filler + "the end")[0]
    second = network.tokens("Translate to French: " + filler + filler + "the end")[0]
    assert first == second


def test_line_breaks_are_seen(network: Network) -> None:
    assert network.tokens("a b")[0] != network.tokens("a\nb")[0]


def test_padding_is_off(network: Network) -> None:
    assert len(network.tokens("hello")[0]) == 3


@pytest.mark.parametrize("text", ["", " ", "\n", "\u0000", "🙂" * 50, "a" * 5000])
def test_any_text_is_read(network: Network, text: str) -> None:
    assert np.isfinite(network.encode(text).embedding).all()


def test_a_single_logit_gives_two_probabilities_that_sum_to_one() -> None:
    head = Head(name="injection", output="injection", labels=("no", "yes"), temperature=2.0, offset=-1.0)
    assert probabilities(head, np.array([2.0], dtype=np.float32)).tolist() == [0.5, 0.5]


def test_a_temperature_softens_without_reordering() -> None:
    sharp = Head(name="route", output="route", labels=("a", "b", "c"))
    soft = msgspec.structs.replace(sharp, temperature=4.0)
    logits = np.array([1.0, 3.0, 2.0], dtype=np.float32)
    assert probabilities(soft, logits).argmax() == probabilities(sharp, logits).argmax() == 1
    assert probabilities(soft, logits).max() < probabilities(sharp, logits).max()
