"""The notations in which a table may be written, and how each is read: strictly. Pure."""

import csv
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec


class Malformed(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        """Within its block, from 0."""
        self.what = what


Parsed = tuple[tuple[str, ...], tuple[tuple[str | None, ...], ...]]


def json_table(text: str) -> Parsed | None:
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            objects = _json_lines(text)
            if objects is None:
                raise Malformed(error.lineno - 1, f"this JSON cannot be read: {error.msg}") from error
            value = objects
        else:
            raise Malformed(0, "this JSON cannot be read") from error
    except RecursionError as error:
        raise Malformed(0, "this JSON is nested too deeply") from error
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return None
    header = tuple(dict.fromkeys(key for row in value for key in row))
    rows = tuple(tuple(_json_cell(row.get(key)) for key in header) for row in value)
    return header, rows


def _json_lines(text: str) -> list[Any] | None:
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in lines]
    except (ValueError, RecursionError):
        return None


_NESTED = msgspec.json.Encoder(decimal_format="number")


def _json_cell(value: Any) -> str | None:
    match value:
        case None:
            return None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}" if value.is_finite() and -40 < value.adjusted() < 40 else str(value)
        case _:
            return _NESTED.encode(value).decode()


def delimiter_of(lines: Sequence[str]) -> str:
    header = next((line for line in lines if line.strip()), "")
    return next((mark for mark in ("\t", ";", ",", "|") if mark in header), ",")


def separated_table(lines: Sequence[str], delimiter: str) -> Parsed:
    """Strictly: every record has as many cells as the header."""
    reader = csv.reader(
        (line + "\n" for line in lines), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    began = 0
    try:
        for row in reader:
            line, began = began, reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = tuple(row)
            elif len(row) != len(header):
                raise Malformed(line, f"{len(row)} cells where the table has {len(header)} columns")
            else:
                rows.append(tuple(cell.rstrip("\r\n") for cell in row))
    except csv.Error as error:
        raise Malformed(began, f"this row cannot be read: {error}") from error
    if not header or not rows:
        raise Malformed(0, "a table needs a header and a row")
    return header, tuple(rows)


MARKDOWN_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")


def markdown_cells(line: str) -> list[str]:
    text = line.strip().removeprefix("|")
    if text.endswith("|") and not text.endswith(r"\|"):
        text = text[:-1]
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", text)]


def is_header(line: str) -> bool:
    """Whether a bare line can be a header: short cells that are names, no sentence."""
    delimiter = delimiter_of([line])
    cells = [cell.strip().strip('"') for cell in line[:10_000].split(delimiter)]
    return (
        len(cells) > 1
        and delimiter != "|"
        and all(
            cell and len(cell) <= 40 and len(cell.split()) <= 5 and not re.search(r"[?!.:]$|^[\W\d]+$", cell)
            for cell in cells
        )
    )


def is_sentence(line: str) -> bool:
    return line.rstrip().endswith(("?", "!", ".", ":")) and len(line.split()) >= 4
