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
    name = f"chatcmpl-ws-{stored.id}-{random.getrandbits(48):012x}"  # known to nobody before; no secret
    completion = b'{"id":"' + name.encode() + b'",' + _all_but_its_id(stored.completion, stored.id, origin)
    if request.streams:
        return Ready(as_chunks(completion, with_usage=request.streams_usage))
    return Ready([completion])


@lru_cache(_MOST_READ)
def _all_but_its_id(completion: bytes, entry: str, origin: Origin) -> bytes:
    """The marked document from its second field on: what is popular is replayed again and again."""
    document: dict[str, Any] = msgspec.json.decode(completion)
    document.pop("id", None)
    document["wayside"] = {**_mapping(document.get("wayside")), "origin": origin, "entry": entry}
    return msgspec.json.encode(document)[1:]


@lru_cache(_MOST_READ)
def stored_usage(completion: bytes) -> Usage | None:
    """The token counts of a stored completion, read as often as it is replayed."""
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
