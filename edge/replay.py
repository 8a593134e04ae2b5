"""A stored answer sent again: under a fresh id, marked, as JSON or as events."""

import random
import re
from functools import lru_cache
from typing import Any, Literal

import msgspec

from cloud.wire.answers import Documents, Ready, Usage, as_chunks, usage_of
from cloud.wire.chat import ChatRequest
from edge.domain import StoredAnswer

Origin = Literal["exact", "semantic", "knowledge"]

_MOST_READ = 64
_ID = re.compile(r"chatcmpl-ws-([A-Za-z0-9_-]{43})-[0-9a-f]{12}")


def replayed(stored: StoredAnswer, request: ChatRequest, *, origin: Origin) -> Documents:
    """The documents of the answer, in the form that the request asks for."""
    document: dict[str, Any] = msgspec.json.decode(stored.completion)
    document["id"] = f"chatcmpl-ws-{stored.id}-{random.getrandbits(48):012x}"  # a name
    document["wayside"] = {**_mapping(document.get("wayside")), "origin": origin, "entry": stored.id}
    completion = msgspec.json.encode(document)
    if request.streams:
        return Ready(as_chunks(completion, with_usage=request.streams_usage))
    return Ready([completion])


@lru_cache(_MOST_READ)
def stored_usage(completion: bytes) -> Usage | None:
    """The token counts of a stored completion: what is popular is replayed again and again."""
    return usage_of(completion)


def owes_usage(request: ChatRequest) -> bool:
    """Whether the caller was promised token counts. An answer first asked for as a stream may lack them."""
    return not request.streams or request.streams_usage


def entry_of(response_id: str) -> str | None:
    """The entry that a replayed answer came from, by the answer's id; None for any other id."""
    match = _ID.fullmatch(response_id)
    return match[1] if match else None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
