"""Progress with time left, on a terminal only."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

try:
    from tqdm import tqdm
except ImportError:  # a node that only serves and measures does without
    tqdm = None

Item = TypeVar("Item")


def progress(items: Sequence[Item], title: str) -> Iterator[Item]:
    """The items, with a bar on standard error while a person is looking."""
    if tqdm is None:
        return iter(items)
    return iter(tqdm(items, desc=title, leave=False, disable=not sys.stderr.isatty()))
