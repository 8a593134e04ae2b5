"""Remembered passages of one owner: what was said, by whom, when, and what stood beside it."""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from cloud.memory.growing import Growing
from cloud.memory.lexical import Floats, Postings, terms
from cloud.memory.traits import Traits, traits_of

MOSTLY: Final = 0.9
"""Share of the passages whose embedding must be known before any is compared."""


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
    place: int | None = None
    """In its group; None for after all that came before."""
    source: str = ""
    """Where it comes from, as an answer may cite it."""

    @property
    def date(self) -> str:
        if self.dated is not None:
            return self.dated
        return "" if self.at is None else _day(int(self.at // _DAY_S))


_DAY_S: Final = 86_400


@lru_cache(maxsize=10_000)
def _day(number: int) -> str:
    """Since 1970, UTC."""
    return datetime.fromtimestamp(number * _DAY_S, UTC).strftime("%A %d %B %Y")


@lru_cache(maxsize=10_000)
def _marks(speaker: str, date: str) -> list[str]:
    return terms(f"{speaker} {date}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """In terms, in units of their mean, each shape (passages,) but `group`, which is (groups,)."""

    alone: Floats
    keyed: Floats
    """With speaker and date, and the neighbours."""
    wide: Floats
    """With three neighbours each side."""
    group: Floats


class Passages:
    """Passages as they came, each linked to its neighbours in its group, with all that ranking asks of them.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self.rows: list[Passage] = []
        self.words = Postings()
        self.marks = Postings()
        """Speaker and date."""
        self.gone = 0
        """Rows that were taken out, and are only not shown until all is read anew."""
        self.characters = 0
        self._row_of: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self._members: list[tuple[array[int], array[int]]] = []
        """A group's places in order, and the row at each."""
        self._speakers: Counter[str] = Counter()
        self._group_of = Growing(np.int64)
        self._before, self._after = Growing(np.int64), Growing(np.int64)
        self._traits: dict[int, Traits] = {}
        """Of the rows that were candidates once."""
        self._from, self._until = Growing(np.float64), Growing(np.float64)
        self._expires = Growing(np.float64)
        self._vectors: Growing[np.float32] | None = None
        """Zeros for those whose embedding is not known yet."""
        self._embedded = 0
        self._lengths: Lengths | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, identity: str) -> bool:
        return identity in self._row_of

    def add(
        self,
        passage: Passage,
        vector: npt.NDArray[np.float32] | None = None,
        *,
        until: float | None = None,
        expires: float | None = None,
    ) -> None:
        """`vector`: its embedding, unit norm; `embed` gives it later.

        `until`: when another version took its place, `expires`: when it is to be forgotten, Unix seconds.
        """
        row = len(self.rows)
        self.rows.append(passage)
        self._row_of[passage.id] = row
        self.words.add(terms(passage.text))
        self.marks.add(_marks(passage.speaker, passage.date))
        if passage.speaker:
            self._speakers[passage.speaker.lower()] += 1
        self.characters += len(passage.text)
        self._from.append(-np.inf if passage.at is None else passage.at)
        self._until.append(np.inf if until is None else until)
        self._expires.append(np.inf if expires is None else expires)
        self._link(row, passage)
        if self._vectors is not None:
            self._vectors.append(np.zeros(self.dimensions, dtype=np.float32))
        if vector is not None:
            self.embed(passage.id, vector)
        self._lengths = None

    def embed(self, identity: str, vector: npt.NDArray[np.float32]) -> None:
        """Its embedding, unit norm, once it is known. All must be of one space."""
        if self._vectors is None:
            self._vectors = Growing(np.float32, width=len(vector), size=len(self.rows))
        row = self._vectors.all[self._row_of[identity]]
        self._embedded += not row.any()
        row[:] = vector

    def end(self, identity: str, at: float) -> None:
        """Another version of it holds from then on, Unix seconds."""
        self._until.all[self._row_of[identity]] = at

    def take_out(self, kept: frozenset[str]) -> None:
        """Leaves only passages with these ids; the text of the others is forgotten at once."""
        for identity in [one for one in self._row_of if one not in kept]:
            row = self._row_of.pop(identity)
            passage = self.rows[row]
            before, after = int(self._before.all[row]), int(self._after.all[row])
            if before >= 0:
                self._after.all[before] = after
            if after >= 0:
                self._before.all[after] = before
            places, rows = self._members[self._groups[passage.group]]
            first = bisect_left(places, passage.place) if passage.place is not None else 0
            at = rows.index(row, first)
            del places[at], rows[at]
            if passage.speaker:
                self._speakers[passage.speaker.lower()] -= 1
            self._before.all[row] = self._after.all[row] = -1
            self._until.all[row] = self._expires.all[row] = -np.inf
            self.rows[row] = Passage(id="", group="", text="")
            self._traits.pop(row, None)
            if self._vectors is not None:
                self._embedded -= bool(self._vectors.all[row].any())
                self._vectors.all[row] = 0
            self.gone += 1
            self._lengths = None

    def visible(self, *, as_of: float | None, now: float) -> npt.NDArray[np.bool_]:
        """Which hold now, or held at `as_of`, and have not expired; shape (passages,)."""
        kept = self._expires.all > now
        if as_of is None:
            return np.asarray(kept & (self._until.all == np.inf))
        return np.asarray(kept & (self._from.all <= as_of) & (self._until.all > as_of))

    @property
    def dimensions(self) -> int:
        """Of the embeddings; 0 where there are none."""
        return 0 if self._vectors is None else self._vectors.all.shape[1]

    def until(self, row: int) -> float | None:
        """When another version took its place, Unix seconds; None for one that holds."""
        value = float(self._until.all[row])
        return None if value == np.inf else value

    @property
    def group_of(self) -> npt.NDArray[np.int64]:
        return self._group_of.all

    @property
    def groups(self) -> int:
        return len(self._groups)

    @property
    def speakers(self) -> list[str]:
        return sorted(one for one, count in self._speakers.items() if count > 0)

    def traits(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Of some rows, shape (rows, 4); read once each, when first asked for."""
        for row in rows.tolist():
            if row not in self._traits:
                self._traits[row] = traits_of(self.rows[row].text)
        return np.array([self._traits[row] for row in rows.tolist()], dtype=np.float32).reshape(-1, 4)

    def ask(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Which rows hold a question mark, 0 for a row of -1; shape (rows,)."""
        return np.array([row >= 0 and "?" in self.rows[row].text for row in rows.tolist()], dtype=np.float32)

    def neighbours(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The row before and after each, -1 where a group begins or ends."""
        return self._before.all, self._after.all

    def lengths(self) -> Lengths:
        """Worked out once after each change."""
        if self._lengths is None:
            before, after = self.neighbours()
            words = self.words.lengths
            beside = neighbour_values(words, before) + neighbour_values(words, after)
            wide, left, right = words.copy(), words, words
            for _ in range(3):
                left, right = neighbour_values(left, before), neighbour_values(right, after)
                wide += left + right
            whole = np.bincount(self.group_of, weights=words, minlength=self.groups).astype(np.float32)
            self._lengths = Lengths(
                alone=_in_means(words),
                keyed=_in_means(self.marks.lengths + 2 * words + beside),
                wide=_in_means(wide),
                group=_in_means(whole),
            )
        return self._lengths

    def similarities(self, vector: npt.NDArray[np.float32]) -> Floats | None:
        """Cosine of each passage with a unit vector, 0 where its embedding is not known yet.

        None while too few are known to compare passages by them.
        """
        if self._vectors is None or self._embedded < MOSTLY * (len(self) - self.gone):
            return None
        return np.asarray(self._vectors.all @ vector, dtype=np.float32)

    def around(self, row: int, *, each_side: int, visible: npt.NDArray[np.bool_] | None = None) -> list[int]:
        """The row with up to so many neighbours each side that are visible, in order."""
        found = [row]
        for links, at in ((self._before.all, 0), (self._after.all, None)):
            one, left = int(links[row]), each_side
            while one >= 0 and left > 0:
                if visible is None or visible[one]:
                    found.insert(len(found) if at is None else at, one)
                    left -= 1
                one = int(links[one])
        return found

    def _link(self, row: int, passage: Passage) -> None:
        """Puts it at its place in its group, behind what came there before."""
        group = self._groups.setdefault(passage.group, len(self._groups))
        if group == len(self._members):
            self._members.append((array("q"), array("i")))
        places, rows = self._members[group]
        place = passage.place if passage.place is not None else (places[-1] if places else 0)
        at = bisect_right(places, place)
        before = rows[at - 1] if at > 0 else -1
        after = rows[at] if at < len(rows) else -1
        places.insert(at, place)
        rows.insert(at, row)
        self._group_of.append(group)
        self._before.append(before)
        self._after.append(after)
        if before >= 0:
            self._after.all[before] = row
        if after >= 0:
            self._before.all[after] = row


def _in_means(lengths: Floats) -> Floats:
    return np.asarray(lengths / max(1.0, float(lengths.mean()) if len(lengths) else 1.0), dtype=np.float32)


def neighbour_values(values: Floats, index: npt.NDArray[np.int64]) -> Floats:
    """`values` of each row's neighbour, 0 where it has none."""
    return np.where(index >= 0, values[np.maximum(index, 0)], 0).astype(np.float32)
