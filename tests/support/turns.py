"""Turns as sessions keep them, from bare texts."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cloud.domain_sessions import Turn, Utterance


def utterance(role: str, text: str | None, **fields: Any) -> Utterance:
    return Utterance(document=msgspec.json.encode({"role": role, "content": text, **fields}))


def turn(seq: int, role: str, text: str | None, **fields: Any) -> Turn:
    document = msgspec.json.encode({"role": role, "content": text, **fields})
    return Turn(seq=seq, document=document, created_at=0.0)


def dialogue(*texts: str, first: int = 1) -> tuple[Turn, ...]:
    """User and assistant by turns."""
    return tuple(
        turn(seq, "user" if at % 2 == 0 else "assistant", text)
        for at, (seq, text) in enumerate(zip(range(first, first + len(texts)), texts, strict=True))
    )


def tool_call(call_id: str, arguments: str = "{}") -> list[dict[str, Any]]:
    return [{"id": call_id, "type": "function", "function": {"name": "look", "arguments": arguments}}]


def texts(turns: Sequence[Utterance]) -> list[str]:
    return [one.text for one in turns]
