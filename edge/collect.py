"""From the documents of a finished answer to the one completion that is stored."""

from collections.abc import Sequence
from typing import Any

import msgspec


def collect_documents(documents: Sequence[bytes]) -> bytes | None:
    """The completion a finished answer amounts to, or None when it cannot be told as one.

    Works on plain JSON, so that fields we do not know survive: text fields of a delta are joined, other
    fields stay when every chunk agrees on them. Tool calls, log probabilities and fields that
    contradict each other are not put together: such an answer is not stored.
    """
    try:
        parsed = [msgspec.json.decode(document) for document in documents]
        if len(parsed) == 1 and parsed[0].get("object") == "chat.completion":
            return documents[0]
        return msgspec.json.encode(_joined(parsed))
    except (msgspec.MsgspecError, _CannotJoin, AttributeError, KeyError, TypeError, ValueError):
        return None


class _CannotJoin(Exception):
    """The chunks do not add up to one completion."""


def _joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    usage = None
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        if chunk.get("error") is not None:
            raise _CannotJoin
        usage = chunk.get("usage") or usage
        for key, value in chunk.items():
            if key not in ("choices", "usage"):
                whole.setdefault(key, value)
        for choice in chunk["choices"]:
            _extend(choices.setdefault(choice.get("index", 0), {"message": {}}), choice)
    if not choices or any(choice.get("finish_reason") is None for choice in choices.values()):
        raise _CannotJoin
    whole["object"] = "chat.completion"
    whole["choices"] = [{"index": index, **choice} for index, choice in sorted(choices.items())]
    for choice in whole["choices"]:
        choice["message"].setdefault("role", "assistant")
        choice["message"].setdefault("content", None)
    if usage is not None:
        whole["usage"] = usage
    return whole


def _extend(so_far: dict[str, Any], choice: dict[str, Any]) -> None:
    message = so_far["message"]
    for key, value in (choice.get("delta") or {}).items():
        if key in ("tool_calls", "function_call") and value:
            raise _CannotJoin
        if value is None:
            continue
        if key != "role" and isinstance(value, str) and isinstance(message.get(key, ""), str):
            message[key] = message.get(key, "") + value
        else:
            _agree(message, key, value)
    for key, value in choice.items():
        if key not in ("delta", "index") and value is not None:
            if key == "logprobs":
                raise _CannotJoin
            _agree(so_far, key, value)


def _agree(fields: dict[str, Any], key: str, value: Any) -> None:
    if fields.setdefault(key, value) != value:
        raise _CannotJoin
