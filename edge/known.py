"""The operator's own answers: files of questions with their answer, read, checked, kept."""

import re
import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

_FENCE = re.compile(r"\A\+\+\+[ \t]*\n(.*?)\n\+\+\+[ \t]*\n(.*)\Z", re.DOTALL)
_Text = Annotated[str, Meta(min_length=1, pattern=r"\S")]


class KnowledgeRefused(Exception):
    """One line a mistake, each with its file and line."""


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer and the questions it is for."""

    questions: Annotated[tuple[_Text, ...], Meta(min_length=1)]
    answer: _Text
    source: str = ""
    """Where the operator has it from; told with the answer."""
    expires: date | None = None
    """The first day on which it must not be used any more, UTC."""
    tenants: tuple[str, ...] | None = None
    """Whose questions it answers; None for everybody's."""
    written: float = 0.0
    """When it was imported, Unix seconds."""

    @property
    def allowed(self) -> frozenset[str] | None:
        return None if self.tenants is None else frozenset(self.tenants)

    @property
    def expires_at(self) -> float | None:
        if self.expires is None:
            return None
        return datetime.combine(self.expires, time(), UTC).timestamp()


def read_known(paths: Sequence[Path], *, now: float) -> list[Known]:
    """Entries of Markdown files (TOML between `+++` lines, then the answer) and JSONL files.

    A folder stands for its `*.md` and `*.jsonl`. Raises KnowledgeRefused with every mistake.
    """
    entries: list[Known] = []
    mistakes: list[str] = []
    for path in _files(paths, mistakes):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(f"{path}: {error}")
            continue
        found = _markdown(text) if path.suffix == ".md" else _lines(text)
        for line, fields in found:
            try:
                if isinstance(fields, str):
                    raise msgspec.ValidationError(fields)
                entries.append(msgspec.convert({**fields, "written": now}, Known))
            except msgspec.ValidationError as error:
                mistakes.append(f"{path}:{line}: {str(error)[:1].lower()}{str(error)[1:]}")
    if mistakes:
        raise KnowledgeRefused("\n".join(mistakes))
    return entries


def load_known(path: Path) -> list[Known]:
    """What was imported; nothing before the first import. Raises KnowledgeRefused."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Known])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise KnowledgeRefused(f"{path}: {error}") from error


def dump_known(entries: Sequence[Known]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(entries)) + b"\n"


def _files(paths: Sequence[Path], mistakes: list[str]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(child for child in path.iterdir() if child.suffix in (".md", ".jsonl"))
        elif path.suffix in (".md", ".jsonl"):
            files.append(path)
        else:
            mistakes.append(f"{path}: neither a folder nor .md nor .jsonl")
    return files


def _markdown(text: str) -> list[tuple[int, dict[str, Any] | str]]:
    match = _FENCE.match(text)
    if match is None:
        return [(1, "begin the file with +++, TOML with `questions`, and +++ again; then the answer")]
    try:
        head = tomllib.loads(match[1])
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        return [(1 + int(at[1]) if at else 1, str(error))]
    if "answer" in head or "written" in head:
        return [(1, "the answer stands below the second +++")]
    return [(1, {**head, "answer": match[2].strip()})]


def _lines(text: str) -> list[tuple[int, dict[str, Any] | str]]:
    found: list[tuple[int, dict[str, Any] | str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            fields = msgspec.json.decode(line)
        except msgspec.MsgspecError as error:
            found.append((number, str(error)))
            continue
        found.append((number, fields if isinstance(fields, dict) else "each line is a JSON object"))
    return found
