"""Remembered passages of one owner: what was said, by whom, when, and what stood beside it."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from cloud.memory.lexical import Floats, Postings, terms

_TIME: Final = re.compile(
    r"\b(?:yesterday|today|tomorrow|tonight|last|next|ago|weeks?|weekend|months?|years?|monday|tuesday|wednesday"
    r"|thursday|friday|saturday|sunday|since|recently|january|february|march|april|may|june|july|august|september"
    r"|october|november|december|\d{4}|\d+(?:st|nd|rd|th))\b",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(
    r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|twice|couple|dozen)\b", re.IGNORECASE
)
_NAME: Final = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A turn or a piece of a document, as it is searched."""

    id: str
    group: str
    """What it stands in beside its neighbours: a session, a document."""
    text: str
    speaker: str = ""
    at: float | None = None
    """When it was said or written, Unix seconds; None where nobody knows."""
    dated: str | None = None
    """Its date in words, where it came so."""

    @property
    def date(self) -> str:
        if self.dated is not None:
            return self.dated
        return "" if self.at is None else datetime.fromtimestamp(self.at, UTC).strftime("%A %d %B %Y")


class Passages:
    """Passages in the order they came (within a group: its order), with all that ranking asks of them."""

    def __init__(self) -> None:
        self.rows: list[Passage] = []
        self.words = Postings()
        self.marks = Postings()
        """Speaker and date."""
        self._groups: dict[str, int] = {}
        self._group_of: list[int] = []
        self._last: dict[str, int] = {}
        self._before: list[int] = []
        self._after: list[int] = []
        self._traits: list[tuple[float, ...]] = []
        self._vectors: list[npt.NDArray[np.float32]] = []
        self._matrix = np.zeros((0, 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, passage: Passage, vector: npt.NDArray[np.float32] | None = None) -> None:
        """`vector`: its embedding, unit norm; all passages have one or none has."""
        row = len(self.rows)
        before = self._last.get(passage.group, -1)
        self.rows.append(passage)
        self.words.add(terms(passage.text))
        self.marks.add(terms(f"{passage.speaker} {passage.date}"))
        self._before.append(before)
        self._after.append(-1)
        if before >= 0:
            self._after[before] = row
        self._last[passage.group] = row
        self._group_of.append(self._groups.setdefault(passage.group, len(self._groups)))
        text = passage.text
        self._traits.append(
            (
                float(text.rstrip().endswith("?")),
                float("?" in text),
                float(_TIME.search(text) is not None),
                float(_NUMBER.search(text) is not None),
                min(3, len(_NAME.findall(text))) / 3,
            )
        )
        if vector is not None:
            self._vectors.append(vector)

    @property
    def group_of(self) -> npt.NDArray[np.int64]:
        return np.array(self._group_of, dtype=np.int64)

    @property
    def groups(self) -> int:
        return len(self._groups)

    @property
    def speakers(self) -> list[str]:
        return sorted({one.speaker.lower() for one in self.rows if one.speaker})

    def traits(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Shape (rows, 5): ends in a question, holds one, holds a time, a number, names."""
        return np.array([self._traits[row] for row in rows], dtype=np.float32).reshape(len(rows), 5)

    def neighbours(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The row before and after each, -1 where a group begins or ends."""
        return np.array(self._before, dtype=np.int64), np.array(self._after, dtype=np.int64)

    def similarities(self, vector: npt.NDArray[np.float32]) -> Floats | None:
        """Cosine of each passage with a unit vector, or None where there are no embeddings."""
        if not self._vectors:
            return None
        if len(self._matrix) < len(self._vectors):
            fresh = np.stack(self._vectors[len(self._matrix) :])
            self._matrix = fresh if not len(self._matrix) else np.concatenate([self._matrix, fresh])
        return np.asarray(self._matrix @ vector, dtype=np.float32)

    def around(self, row: int, *, each_side: int) -> list[int]:
        """The row with up to so many neighbours each side, in order."""
        found = [row]
        left = right = row
        for _ in range(each_side):
            left = self._before[left] if left >= 0 else -1
            right = self._after[right] if right >= 0 else -1
            if left >= 0:
                found.insert(0, left)
            if right >= 0:
                found.append(right)
        return found


def neighbour_values(values: Floats, index: npt.NDArray[np.int64]) -> Floats:
    """`values` of each row's neighbour, 0 where it has none."""
    return np.where(index >= 0, values[np.maximum(index, 0)], 0).astype(np.float32)
