"""What a request is stored under: its exact fingerprint and its semantic scope."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from cloud.wire.chat import ChatRequest
from edge.domain import Keys, Scope
from edge.standalone import stands_alone

CANNOT_CHANGE_THE_ANSWER = frozenset(
    {
        "stream",  # how the answer travels, not what it says
        "stream_options",
        "user",  # who the caller's own customer is, for abuse reports
        "safety_identifier",
        "metadata",  # the caller's own notes
        "prompt_cache_key",  # where the provider runs it
        "service_tier",  # how fast
    }
)
"""Request fields left out of both keys. Every other field, known to us or not, is part of them."""

_KNOWN = frozenset(field.name for field in msgspec.structs.fields(ChatRequest))


class Fingerprint:
    """The keys of a request's decoded body, which has been parsed and found valid.

    Two bodies that differ in key order or white space alone have the same keys. `bundle` and `policy`
    name what the edge decided with: what it kept under other rules is not found under these. The entry is
    found at once, the scope when it is asked for: an exact hit never does.
    """

    def __init__(self, *, tenant: str, body: Mapping[str, Any], bundle: str, policy: str) -> None:
        self.tenant = tenant
        self._fields = _answer_fields(body)
        self._rules = (tenant, bundle, policy)
        self.entry = _digest(["entry", *self._rules, self._fields])

    @cached_property
    def keys(self) -> Keys:
        around = self._fields | {"messages": _around_the_question(self._fields["messages"])}
        scope = _digest(["scope", *self._rules, around])
        return Keys(entry=self.entry, scope=Scope(tenant=self.tenant, digest=scope))


def keys_of(*, tenant: str, body: Mapping[str, Any], bundle: str, policy: str) -> Keys:
    """All the keys of a request's decoded body."""
    return Fingerprint(tenant=tenant, body=body, bundle=bundle, policy=policy).keys


def _around_the_question(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages without the last question's text, and without what came before one that stands alone."""
    around = [*messages]
    for index in range(len(around) - 1, -1, -1):
        question = around[index]
        if question["role"] == "user":
            # The place of the question stays, its text goes.
            around[index] = {key: value for key, value in question.items() if key != "content"}
            text = question.get("content")
            before = around[:index]
            told = [one for one in before if one["role"] in ("system", "developer")]
            if len(told) < len(before) and isinstance(text, str) and stands_alone(text):
                around[:index] = told
            break
    return around


def _answer_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that count. A known field that is null says the same as one that is not there."""
    return {
        key: value
        for key, value in document.items()
        if key not in CANNOT_CHANGE_THE_ANSWER and not (value is None and key in _KNOWN)
    }


def _digest(value: list[Any]) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no white space), 43 URL-safe characters."""
    canonical = msgspec.json.encode(value, order="sorted")
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
