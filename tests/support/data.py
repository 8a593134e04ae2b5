"""The public collections beside the repository, which are not part of it."""

from pathlib import Path

import pytest

from models.dataset import data_directory


def collection(name: str) -> Path:
    """The folder of a collection; skips the test where it is absent."""
    folder = data_directory() / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in {data_directory()}: the public collections are not part of the repository")
    return folder
