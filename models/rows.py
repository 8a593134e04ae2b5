"""Labelled data files: JSON lines, plain or gzip, refused with the line number."""

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import msgspec

OUT_OF_SCOPE: Final = "oos"
"""The intent of a row that no label fits."""


class DataRefused(Exception):
    """A data file cannot be used; the message is one line with the file and line number."""


class IntentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A text and what it asks for. Further columns are ignored."""

    text: str
    intent: str
    alt: str | None = None
    """A second label that a careful reader would accept."""
    needs_tools: bool | None = None
    source: str = ""


class RoutingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and whether a weak and a strong model answered it correctly, 0 or 1."""

    prompt: str
    weak: int
    strong: int


Row = TypeVar("Row", bound=msgspec.Struct)


def read_intents(path: Path) -> list[IntentRow]:
    """Rows `{"text", "intent"}`; refuses an empty text, an empty intent, or one text with two intents."""
    seen: dict[str, tuple[int, str]] = {}

    def check(row: IntentRow, line: int) -> None:
        if not row.text.strip():
            refuse(path, line, "text is empty")
        if not row.intent.strip():
            refuse(path, line, "intent is empty")
        first, intent = seen.setdefault(row.text, (line, row.intent))
        if intent != row.intent:
            refuse(path, line, f"text stands on line {first} as {intent!r}, here as {row.intent!r}")

    return _read(path, IntentRow, check)


def read_routing(path: Path) -> list[RoutingRow]:
    """Rows `{"prompt", "weak": 0|1, "strong": 0|1}`."""

    def check(row: RoutingRow, line: int) -> None:
        if not row.prompt.strip():
            refuse(path, line, "prompt is empty")
        for name, value in (("weak", row.weak), ("strong", row.strong)):
            if value not in (0, 1):
                refuse(path, line, f"{name} is {value}, it must be 0 or 1")

    return _read(path, RoutingRow, check)


def check_counts(path: Path, rows: list[IntentRow], *, at_least: int) -> None:
    """Refuses a file with an intent of fewer rows than `at_least`, naming the intent's last line."""
    counts = Counter(row.intent for row in rows if row.intent != OUT_OF_SCOPE)
    for line, row in reversed(list(enumerate(rows, start=1))):
        if row.intent != OUT_OF_SCOPE and counts[row.intent] < at_least:
            have = counts[row.intent]
            refuse(path, line, f"intent {row.intent!r} has {have} example(s), it needs {at_least}")


def refuse(path: Path, line: int, why: str) -> NoReturn:
    """Raises `DataRefused`."""
    raise DataRefused(f"{path}: line {line}: {why}")


def _read(path: Path, kind: type[Row], check: Callable[[Row, int], None]) -> list[Row]:
    rows: list[Row] = []
    blank = 0  # empty lines are let pass at the end of the file alone
    for line, raw in _lines(path):
        if blank:
            refuse(path, blank, "the line is empty")
        if not raw.strip():
            blank = line
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            refuse(path, line, f"not UTF-8 at byte {error.start}")
        try:
            row = msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            refuse(path, line, str(error))
        check(row, line)
        rows.append(row)
    if not rows:
        refuse(path, 1, "the file has no rows")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield from enumerate(stream, start=1)
    except (OSError, EOFError) as error:
        raise DataRefused(f"{path}: {getattr(error, 'strerror', None) or error}") from error
