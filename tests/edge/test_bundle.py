"""A bundle is served only when its manifest, hashes and window agree."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.reading.bundle import MANIFEST, MODEL, BundleRefused, Window, cut, read_bundle

GENERAL = Path(__file__).parents[2] / "models" / "bundles" / "general"

WINDOW = Window(max_tokens=12, head_tokens=6, open_id=101, close_id=102, cut_ids=(2, 3), cut_bounds=(100,))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    target = tmp_path / "bundle"
    shutil.copytree(GENERAL, target)
    return target


def change(bundle: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes())
    edit(manifest)
    (bundle / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def test_the_shipped_bundle_is_read() -> None:
    bundle = read_bundle(GENERAL)
    assert bundle.identity.startswith("general@")
    assert len(bundle.manifest.head("route").labels) == 10


def test_two_copies_of_a_bundle_have_one_identity(copied: Path) -> None:
    assert read_bundle(copied).identity == read_bundle(GENERAL).identity


def test_a_changed_network_is_refused_in_one_line(copied: Path) -> None:
    with (copied / MODEL).open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BundleRefused, match="SHA-256") as refused:
        read_bundle(copied)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(copied: Path) -> None:
    (copied / MODEL).unlink()
    with pytest.raises(BundleRefused, match=r"model\.onnx"):
        read_bundle(copied)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda one: one.update(schema_version=99), "schema_version is 99"),
        (lambda one: one.update(surprise=1), "surprise"),
        (lambda one: one["files"].pop("tokenizer.json"), "no hash for tokenizer.json"),
        (lambda one: one["files"].update({"../etc/passwd": "0"}), "not a plain file name"),
        (lambda one: one["heads"].clear(), "heads has no 'route'"),
        (lambda one: one["heads"][0].update(temperature=0.0), "temperature"),
        (lambda one: one["heads"][0]["labels"].append(one["heads"][0]["labels"][0]), "twice"),
        (lambda one: one["window"].update(cut_ids=[1]), "cut marks"),
    ],
)
def test_a_manifest_that_disagrees_is_refused(
    copied: Path, edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    change(copied, edit)
    with pytest.raises(BundleRefused) as refused:
        read_bundle(copied)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_absent_head_is_named_with_those_there_are() -> None:
    with pytest.raises(BundleRefused, match=r"no head 'mood' \(it has: route"):
        read_bundle(GENERAL).manifest.head("mood")


def test_a_text_that_fits_is_read_whole() -> None:
    assert cut([7, 8, 9], None, characters=11, window=WINDOW) == [101, 7, 8, 9, 102]


def test_a_cut_text_keeps_both_ends() -> None:
    tokens = list(range(1000, 1040))
    read = cut(tokens, None, characters=90, window=WINDOW)
    assert read == [101, 1000, 1001, 1002, 1003, 1004, 2, 1036, 1037, 1038, 1039, 102]
    assert len(read) == WINDOW.max_tokens


def test_the_cut_mark_tells_how_long_the_text_is() -> None:
    tokens = list(range(1000, 1040))
    assert cut(tokens, None, characters=99, window=WINDOW)[6] == 2
    assert cut(tokens, None, characters=100, window=WINDOW)[6] == 3


def test_of_a_very_long_text_only_the_ends_are_needed() -> None:
    read = cut([1] * 20, [9] * 20, characters=10**6, window=WINDOW)
    assert read == [101, 1, 1, 1, 1, 1, 3, 9, 9, 9, 9, 102]
