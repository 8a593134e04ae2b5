"""Fails when a text that trains stands in a file that evaluates."""

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from models.dataset import Example, banking_rows, clinc, collect, data_directory
from models.labels import normalised
from models.rows import DataRefused

COLUMNS: Final = ("text", "prompt", "question", "instruction")
SHORTEST: Final = 12
"""Letters and digits below which two people write the same text by chance ("hello", "thank you")."""


def check(further: Sequence[Path]) -> None:
    """Compares every shipped pack with its own held-out rows and with further files.

    Raises `DataRefused` naming the first texts found on both sides.
    """
    data = data_directory()
    for pack in ("general", "assistant", "banking"):
        collection = collect(pack, data)
        sets = {"its validation rows": [one.text for one in collection.validation]}
        if pack == "assistant":
            sets["CLINC150 test"] = [row.text for part in ("test", "oos_test") for row in clinc(data, part)]
        if pack == "banking":
            sets["Banking77 test"] = [row.text for row in banking_rows(data, "test")]
        sets |= {str(path): list(texts(path)) for path in further}
        for name, evaluated in sets.items():
            found = crossings(collection.train, evaluated)
            if found:
                shown = "; ".join(repr(text[:60]) for text in found[:3])
                raise DataRefused(f"{pack}: {len(found)} training text(s) stand in {name}: {shown}")
        print(f"{pack}: none of {len(collection.train)} training texts is in {', '.join(sets)}")


def crossings(trained: Iterable[Example], evaluated: Iterable[str]) -> list[str]:
    """Evaluated texts that train, compared by letters and digits alone."""
    known = {normalised(one.text) for one in trained}
    return [text for text in evaluated if len(normalised(text)) >= SHORTEST and normalised(text) in known]


def texts(path: Path) -> Iterator[str]:
    """The text column of a JSON-lines file of any of the shapes used here."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as stream:
        for line in stream:
            row = json.loads(line)
            yield from (str(row[name]) for name in COLUMNS if name in row)
