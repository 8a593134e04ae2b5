"""A USearch index on disk: loaded only when its checksum and its origin are the expected ones."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec
from usearch.index import Index

from edge.adapters.partition import DTYPE, empty_index


class _Label(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside an index file."""

    sha256: str
    origin: str
    """Identity of the rows the index was made from."""
    dimensions: int
    dtype: str


def save_index(index: Index, path: Path, *, origin: str) -> None:
    """Both files are replaced whole; a crash between the two leaves a pair that does not match."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    index.save(staged)
    _sync(staged)
    label = _Label(sha256=_sha256(staged), origin=origin, dimensions=index.ndim, dtype=DTYPE)
    staged.replace(path)
    staged.write_bytes(msgspec.json.encode(label))
    _sync(staged)
    staged.replace(_label_path(path))


def load_index(path: Path, *, origin: str) -> Index | None:
    """The index, or None when it is not there, not whole, or not of these rows.

    USearch itself checks nothing, takes size and type from the file, and can crash on a damaged one.
    """
    try:
        label = msgspec.json.decode(_label_path(path).read_bytes(), type=_Label)
        if label.origin != origin or label.dtype != DTYPE or label.sha256 != _sha256(path):
            return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    index = empty_index(label.dimensions)
    try:
        index.load(path)
    except (OSError, RuntimeError, ValueError):
        return None
    if index.ndim != label.dimensions or str(index.dtype).lower().rpartition(".")[2] != DTYPE:
        return None
    return index


def delete_index(path: Path) -> None:
    for file in (path, _label_path(path)):
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _label_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
