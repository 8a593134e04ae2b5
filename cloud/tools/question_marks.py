"""Reads a plain question about a table word by word: columns, values, numbers, what is asked. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.tools.question_words import MONTHS, SIGNS, Sign
from cloud.tools.workspace import DescribedTable

MAX_WORDS = 60
_LONGEST = 8
"""Words of a column's name, a value or a phrase."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asks:
    """A word for what is asked."""

    sign: Sign


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """A column, by its index."""

    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Has:
    """A value that occurs in a column."""

    column: int
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Month:
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    iso: str


Mark = Asks | Names | Has | Number | Month | Day

_WORD = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?(?!\w)|[^\W_]+|[<>]=?")
_ALLOWED = re.compile(r"[\w\s?.,'’\"“”:()<>=-]*")
_SENTENCE = re.compile(r"[.?:]\s+|\n+")
_OTHERWISE = re.compile(
    r"\s*(?:is|are|was|were|do|does|did|has|have|had|should|will|where|when|why|how(?!\s+(?:many|much)))\b"
    r"|.*\s-\s*\d",
    re.IGNORECASE,
)


def asks_otherwise(question: str) -> bool:
    """Whether a yes or no, a place, a time or a reason is asked for, or a number is below zero."""
    return any(_OTHERWISE.match(sentence) for sentence in _SENTENCE.split(question))


def read(question: str, table: DescribedTable) -> list[Mark] | None:
    """Every word accounted for, glue left out; None where a word is unknown or may mean two things."""
    if not _ALLOWED.fullmatch(question):
        return None
    words = _words(question)
    if not words or len(words) > MAX_WORDS:
        return None
    columns, values = _columns(table), _values(table)
    marks: list[Mark] = []
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            meanings = _meanings(words[at : at + length], columns, values, table)
            if meanings:
                break
        else:
            return None
        if len(meanings) > 1:
            return None
        (mark,) = meanings
        if mark is not None:
            marks.append(mark)
        at += length
    return marks


def name_words(name: str) -> tuple[str, ...]:
    return tuple(_singular(word) for word in _words(name))


def _words(text: str) -> list[str]:
    plain = re.sub(r"['’]s\b", " s", text.lower().replace("_", " "))
    plain = re.sub(r"\bwhat s\b", "what is", plain)
    words = [word.replace(",", "") if word[0].isdigit() else word for word in _WORD.findall(plain)]
    return [word for word in words if word != "s"]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _columns(table: DescribedTable) -> dict[tuple[str, ...], set[int]]:
    columns: dict[tuple[str, ...], set[int]] = {}
    for index, column in enumerate(table.columns):
        columns.setdefault(name_words(column.name), set()).add(index)
    return columns


def _values(table: DescribedTable) -> dict[tuple[str, ...], set[tuple[int, str]]]:
    """Of the columns of text, each value by its words."""
    values: dict[tuple[str, ...], set[tuple[int, str]]] = {}
    for index, column in enumerate(table.columns):
        if column.kind != "text":
            continue
        for cell in {row[index] for row in table.table.rows}:
            value = (cell or "").strip()
            words = tuple(_words(value))
            if words and len(words) <= _LONGEST:
                values.setdefault(words, set()).add((index, value))
    return values


def _meanings(
    words: Sequence[str],
    columns: dict[tuple[str, ...], set[int]],
    values: dict[tuple[str, ...], set[tuple[int, str]]],
    table: DescribedTable,
) -> set[Mark | None]:
    """All that these words together may mean; None is glue."""
    key = tuple(words)
    meanings: set[Mark | None] = {
        Names(column=index) for index in columns.get(name_words(" ".join(words)), ())
    }
    sign = _COMPARISONS.get(key) or SIGNS.get(key)
    if sign == "soft" and meanings:
        sign = None  # a column that is called `value` is meant
    if sign is not None:
        meanings.add(None if sign in ("glue", "soft") else Asks(sign=sign))
    meanings.update(Has(column=index, value=value) for index, value in values.get(key, ()))
    if len(words) == 1 and not meanings:
        meanings.update(_of_one(words[0], table))
    if not meanings and sign is None and tuple(name_words(table.table.name)) == name_words(" ".join(words)):
        meanings.add(None)
    return meanings


_COMPARISONS: dict[tuple[str, ...], Sign] = {(">",): ">", (">=",): ">=", ("<",): "<", ("<=",): "<="}


def _of_one(word: str, table: DescribedTable) -> set[Mark | None]:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word):
        return {Day(iso=word)}
    if word[0].isdigit() and word.replace(".", "", 1).isdigit():
        return {Number(text=word)}
    month = MONTHS.get(word)
    if month is None:
        return set()
    meanings: set[Mark | None] = {
        Month(number=month) for column in table.columns if column.kind in ("date", "timestamp")
    }
    for index, column in enumerate(table.columns):
        cells = {row[index] or "" for row in table.table.rows}
        if column.kind == "text" and all(cell.strip().lower() in MONTHS for cell in cells):
            meanings |= {
                Has(column=index, value=cell.strip())
                for cell in cells
                if MONTHS[cell.strip().lower()] == month
            }
    return meanings
