"""A model bundle on disk: manifest, file hashes, windowing, labels, calibration."""

import hashlib
import math
from pathlib import Path
from typing import Final, NoReturn

import msgspec

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "bundle.json"
MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
SHIPPED: Final = Path(__file__).resolve().parents[1] / "bundles" / "general"
"""The bundle both services read with unless they are told another."""
REQUIRED_HEADS: Final = ("route",)


class BundleRefused(Exception):
    """The bundle cannot be served; the message is one line that says which part and why."""


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One logits output: a softmax over its labels, or a single logit for the second of two."""

    name: str
    output: str
    """Name of the ONNX output."""
    labels: tuple[str, ...]
    temperature: float = 1.0
    """Logits are divided by this before softmax or sigmoid (Guo et al., 2017)."""
    offset: float = 0.0
    """Added to a single logit after the division, so that its probability is calibrated too."""

    @property
    def width(self) -> int:
        """Logits the network gives for this head."""
        return 1 if len(self.labels) == 2 else len(self.labels)


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the out-of-scope logit becomes a probability, and where it was cut on validation data."""

    output: str
    scale: float
    offset: float
    threshold: float
    """Out-of-scope probability above which 5 % of in-scope validation texts lie."""


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tokens of a long text the network reads: both ends, with a mark where it was cut."""

    max_tokens: int
    """Including the opening, closing and cut marks."""
    head_tokens: int
    """How many of them come from the start of the text, opening mark included."""
    open_id: int
    close_id: int
    cut_ids: tuple[int, ...]
    """The mark says how long the whole text is: one id for each size class."""
    cut_bounds: tuple[int, ...]
    """Characters; a text of at least the n-th bound takes the n+1-th mark."""


class Embedding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The unit-norm sentence vector."""

    output: str
    dimensions: int
    pooling: str


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One collection that shaped the weights."""

    name: str
    licence: str
    rows: int
    use: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `bundle.json` holds."""

    schema_version: int
    name: str
    base: str
    """The pretrained encoder and its licence."""
    embedding: Embedding
    window: Window
    heads: tuple[Head, ...]
    scope: Scope
    sources: tuple[Source, ...]
    metrics: dict[str, float]
    files: dict[str, str]
    """File name to SHA-256, lower-case hex."""

    def head(self, name: str) -> Head:
        """The head of that name; `BundleRefused` when the bundle has none."""
        for head in self.heads:
            if head.name == name:
                return head
        have = ", ".join(head.name for head in self.heads)
        raise BundleRefused(f"{self.name}: no head {name!r} (it has: {have})")


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle whose manifest and files agree."""

    directory: Path
    manifest: Manifest
    identity: str
    """`name@` and 12 hex digits of the network's and tokenizer's hashes: the embedding space."""

    @property
    def model(self) -> Path:
        return self.directory / MODEL

    @property
    def tokenizer(self) -> Path:
        return self.directory / TOKENIZER


def read_bundle(directory: Path) -> Bundle:
    """Reads and checks a bundle; raises `BundleRefused` with one line on the first disagreement."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise BundleRefused(f"{path}: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise BundleRefused(f"{path}: {error}") from error
    _check_manifest(manifest, path)
    for name, expected in manifest.files.items():
        file = directory / name
        try:
            found = sha256(file)
        except OSError as error:
            raise BundleRefused(f"{file}: {error.strerror or error}") from error
        if found != expected:
            raise BundleRefused(f"{file}: SHA-256 is {found[:12]}…, the manifest says {expected[:12]}…")
    digest = hashlib.sha256((manifest.files[MODEL] + manifest.files[TOKENIZER]).encode()).hexdigest()
    return Bundle(directory=directory, manifest=manifest, identity=f"{manifest.name}@{digest[:12]}")


def sha256(file: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cut(start: list[int], end: list[int] | None, *, characters: int, window: Window) -> list[int]:
    """Token ids the network reads, marks included.

    `start` holds the text's tokens from its beginning; `end` is None when those are all of them, else
    the tokens up to its end. A text that fits is left as it is. Of one that does not, both ends stay,
    joined by the mark of its size class: people put the request before the material or after it.
    """
    room = window.max_tokens - 2
    if end is None and len(start) <= room:
        return [window.open_id, *start, window.close_id]
    front = window.head_tokens - 1
    back = room - 1 - front
    mark = window.cut_ids[sum(characters >= bound for bound in window.cut_bounds)]
    return [window.open_id, *start[:front], mark, *(start if end is None else end)[-back:], window.close_id]


def _check_manifest(manifest: Manifest, path: Path) -> None:
    def refuse(why: str) -> NoReturn:
        raise BundleRefused(f"{path}: {why}")

    if manifest.schema_version != SCHEMA_VERSION:
        refuse(f"schema_version is {manifest.schema_version}, this edge reads {SCHEMA_VERSION}")
    for name in (MODEL, TOKENIZER):
        if name not in manifest.files:
            refuse(f"files has no hash for {name}")
    for name in manifest.files:
        if Path(name).name != name or name in ("", ".", ".."):
            refuse(f"files names {name!r}, which is not a plain file name")
    for name in REQUIRED_HEADS:
        if all(head.name != name for head in manifest.heads):
            refuse(f"heads has no {name!r}")
    for head in manifest.heads:
        if len(head.labels) < 2:
            refuse(f"head {head.name!r} has {len(head.labels)} label(s), it needs 2 or more")
        if len(set(head.labels)) != len(head.labels):
            refuse(f"head {head.name!r} names a label twice")
        if not (math.isfinite(head.temperature) and head.temperature > 0):
            refuse(f"head {head.name!r} has temperature {head.temperature}")
    if not math.isfinite(manifest.scope.scale) or not math.isfinite(manifest.scope.offset):
        refuse("scope has a scale or offset that is not a number")
    window = manifest.window
    if not 8 <= window.head_tokens + 4 <= window.max_tokens:
        refuse(f"window keeps {window.head_tokens} head tokens of {window.max_tokens}")
    if len(window.cut_ids) != len(window.cut_bounds) + 1:
        refuse(f"window has {len(window.cut_ids)} cut marks for {len(window.cut_bounds)} bounds")
