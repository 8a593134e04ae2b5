"""Reads the tokenizer out of a GGUF file's header, so that prompts can be counted without the model."""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = b"GGUF"
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""struct's code of each scalar type of the format (GGUF specification, version 3)."""
_STRING, _ARRAY = 8, 9
_WANTED = "tokenizer."


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """What the file says of its tokenizer."""

    kind: str
    """`gpt2` is byte-level BPE."""
    split: str
    """The name of the rule by which text is cut before merging."""
    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    types: tuple[int, ...]
    """3 is a control token."""
    chat_template: str


def read_vocabulary(path: Path) -> Vocabulary | None:
    """None where the file has none that we can read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            fields = _Header(data).fields()
    except (OSError, ValueError, struct.error, UnicodeDecodeError):
        return None
    try:
        return Vocabulary(
            kind=fields["tokenizer.ggml.model"],
            split=fields.get("tokenizer.ggml.pre", ""),
            tokens=tuple(fields["tokenizer.ggml.tokens"]),
            merges=tuple(fields.get("tokenizer.ggml.merges", ())),
            types=tuple(fields.get("tokenizer.ggml.token_type", ())),
            chat_template=fields.get("tokenizer.chat_template", ""),
        )
    except KeyError:
        return None


class _Header:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> dict[str, Any]:
        """The tokenizer's keys and values. Raises ValueError or struct.error on what is no GGUF header."""
        if self._bytes(4) != _MAGIC:
            raise ValueError("not a GGUF file")
        _, _, count = self._number("I"), self._number("Q"), self._number("Q")
        found = {}
        for _ in range(count):
            name = self._string()
            value = self._value(self._number("I"))
            if name.startswith(_WANTED):
                found[name] = value
        return found

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            item, length = self._number("I"), self._number("Q")
            if length > len(self._data):
                raise ValueError("an array is longer than the file")
            return [self._value(item) for _ in range(length)]
        if kind not in _NUMBERS:
            raise ValueError("a value of an unknown type")
        return self._number(_NUMBERS[kind])

    def _number(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self._bytes(size))[0]

    def _string(self) -> str:
        return self._bytes(self._number("Q")).decode()

    def _bytes(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ValueError("the file ends inside its header")
        self._at += size
        return self._data[self._at - size : self._at]
