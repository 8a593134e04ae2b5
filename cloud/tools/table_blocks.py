"""Where in a message's lines a table stands: fenced, Markdown, JSON, or bare CSV and TSV. Pure."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cloud.tools.table_formats import (
    MARKDOWN_RULE,
    Malformed,
    delimiter_of,
    is_header,
    is_sentence,
    json_table,
    markdown_cells,
    separated_table,
)

MAX_ROWS = 20_000
MAX_COLUMNS = 64
MAX_CELL_CHARACTERS = 10_000
MAX_ATTEMPTS = 16
"""Lines of a message at which a bare table is looked for in vain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Lines `first` to `last` (exclusive) of a message are one table, or a broken one."""

    first: int
    last: int
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    problem: tuple[int, str] | None = None
    """The line at fault, and why."""
    title: str = ""


_FENCE = re.compile(r"\s{0,3}(?P<mark>```+|~~~+)\s*(?P<info>[\w.+-]*)(?P<more>[^`]*)")
_TITLE = re.compile(
    r"(?:[Tt]able\s+)?[`*\"']*(?P<name>[A-Za-z_][\w-]*)(?:\.(?:csv|tsv|json|md|txt))?[`*\"']*\s*:?"
)


def blocks_of(lines: Sequence[str]) -> Iterator[Block]:
    """The tables of a message. What stands in a fence of another kind, code say, is left alone."""
    at = 0
    bare = 0
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence is None:
            at += 1
            continue
        yield from _moved(_bare_blocks(lines[bare:at]), bare)
        block = _fenced(lines, at, fence)
        if block.header or block.problem is not None:
            yield block
        at = bare = block.last
    yield from _moved(_bare_blocks(lines[bare:]), bare)


def _moved(blocks: Iterator[Block], by: int) -> Iterator[Block]:
    for block in blocks:
        problem = block.problem and (block.problem[0] + by, block.problem[1])
        yield replace(block, first=block.first + by, last=block.last + by, problem=problem)


def _bare_blocks(lines: Sequence[str]) -> Iterator[Block]:
    at = attempts = 0
    while at < len(lines):
        block = _markdown(lines, at)
        if (
            block is None
            and attempts < MAX_ATTEMPTS
            and (lines[at].lstrip()[:1] == "[" or is_header(lines[at]))
        ):
            attempts += 1
            block = _json(lines, at) or _separated(lines, at)
        if block is None:
            at += 1
            continue
        yield block
        at = max(block.last, at + 1)


def _fenced(lines: Sequence[str], at: int, fence: re.Match[str]) -> Block:
    last = at + 1
    while last < len(lines) and not lines[last].strip().startswith(fence["mark"]):
        last += 1
    inner = lines[at + 1 : last]
    nothing = Block(first=at, last=min(last + 1, len(lines)))
    title = fence["more"].strip() or title_above(lines, at)
    try:
        match fence["info"].lower():
            case "json" | "jsonl" | "ndjson":
                parsed = json_table("\n".join(inner))
            case "csv" | "tsv" as info:
                parsed = separated_table(inner, "\t" if info == "tsv" else delimiter_of(inner))
            case "" | "text" | "txt" | "md" | "markdown" | "table":
                found = next(_moved(_bare_blocks(inner), at + 1), None)
                if found is None:
                    return nothing
                return replace(found, first=at, last=nothing.last, title=title)
            case _:
                return nothing
    except Malformed as error:
        return replace(nothing, problem=(at + 1 + error.line, error.what))
    if parsed is None:
        return nothing
    return _checked(replace(nothing, header=parsed[0], rows=parsed[1], title=title))


def _markdown(lines: Sequence[str], at: int) -> Block | None:
    if "|" not in lines[at] or at + 1 >= len(lines):
        return None
    if "|" not in lines[at + 1] or not MARKDOWN_RULE.fullmatch(lines[at + 1]):
        return None
    header = markdown_cells(lines[at])
    last = at + 2
    rows: list[tuple[str | None, ...]] = []
    while last < len(lines) and "|" in lines[last]:
        row = markdown_cells(lines[last])
        if len(row) != len(header):
            end = next((n for n in range(last, len(lines)) if "|" not in lines[n]), len(lines))
            what = f"{len(row)} cells where the table has {len(header)} columns"
            return Block(first=at, last=end, problem=(last, what))
        rows.append(tuple(row))
        last += 1
    if not rows:
        return None
    block = Block(first=at, last=last, header=tuple(header), rows=tuple(rows), title=title_above(lines, at))
    return _checked(block)


def _json(lines: Sequence[str], at: int) -> Block | None:
    """An array of objects that begins a line and ends one."""
    start = lines[at].lstrip()
    if not (start.startswith("[") and (start[1:].lstrip()[:1] in ("{", ""))):
        return None
    text = "\n".join(lines[at:])
    try:
        _, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None
    end += len(text) - len(text.lstrip())
    if text[end:].partition("\n")[0].strip(" .,;"):
        return None
    try:
        parsed = json_table(text[:end])
    except Malformed as error:
        last = at + text.count("\n", 0, end) + 1
        return Block(first=at, last=last, problem=(at + error.line, error.what))
    if parsed is None:
        return None
    last = at + text.count("\n", 0, end) + 1
    block = Block(first=at, last=last, header=parsed[0], rows=parsed[1], title=title_above(lines, at))
    return _checked(block)


def _separated(lines: Sequence[str], at: int) -> Block | None:
    """Bare CSV or TSV: a line that can be a header, and lines of as many cells below it.

    Prose has commas, too: a header's cells are short and no sentences, and a table has two rows, or
    three columns, or a column of numbers.
    """
    if at + 1 == len(lines) or not is_header(lines[at]):
        return None
    delimiter = delimiter_of([lines[at]])
    following = lines[at + 1]
    if not _is_row(following, delimiter) or (", " in lines[at]) != (", " in following):
        return None  # a sentence right above a table is not its header
    if delimiter == "," and ", " in following and not re.search(r"\d", following):
        return None  # words with commas and spaces: prose
    last = at + 2
    while last < len(lines) and _is_row(lines[last], delimiter):
        last += 1
    # A sentence with a comma right below the table is no row of it.
    while last > at + 1 and is_sentence(lines[last - 1]):
        last -= 1
    block = lines[at:last]
    if len(block) < 2:
        return None
    try:
        header, rows = separated_table(block, delimiter)
    except Malformed as error:
        if len(block) < 4:  # too little to say that it was meant as a table
            return None
        return Block(first=at, last=last, problem=(at + error.line, error.what))
    has_numbers = any(re.fullmatch(r"\W{0,2}\d[\d.,]*\W?", str(cell)) for cell in rows[0])
    if len(rows) < 2 and len(header) < 3 and not has_numbers:
        return None
    if not has_numbers and any(len(str(cell).split()) > 6 for row in rows for cell in row):
        return None
    return _checked(Block(first=at, last=last, header=header, rows=rows, title=title_above(lines, at)))


def _is_row(line: str, delimiter: str) -> bool:
    return delimiter in line and not _FENCE.fullmatch(line)


def title_above(lines: Sequence[str], at: int) -> str:
    """`sales.csv:` or `Table sales` on the line above names the table."""
    above = lines[at - 1].strip() if at else ""
    match = _TITLE.fullmatch(above)
    return match["name"] if match and (above.endswith(":") or "." in above or "able " in above) else ""


def _checked(block: Block) -> Block:
    problem = None
    if len(block.header) > MAX_COLUMNS:
        problem = f"more than {MAX_COLUMNS} columns"
    elif len(block.rows) > MAX_ROWS:
        problem = f"more than {MAX_ROWS} rows"
    elif any(len(cell or "") > MAX_CELL_CHARACTERS for row in block.rows for cell in row):
        problem = f"a cell of more than {MAX_CELL_CHARACTERS} characters"
    if problem is None:
        return block
    return Block(first=block.first, last=block.last, problem=(block.first, problem))
