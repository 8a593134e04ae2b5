"""Whether a request may be answered from storage, and whether its answer may be stored."""

import re
from dataclasses import dataclass

import msgspec

from cloud.wire.chat import ChatRequest, Message
from edge.personal import is_personal, is_time_dependent

_DIRECTIVE = re.compile(r'\s*([A-Za-z-]+)\s*(?:=\s*"?([^",]*)"?)?\s*(?:,|$)')
TOO_LARGE = "request too large"
_END = 2000
"""Characters at either end of a question that are searched for what forbids storing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Directives:
    """The request's `Cache-Control` (RFC 9111, section 5.2.1), as far as it binds us."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: int | None = None
    min_fresh_s: int = 0

    def allow_stale(self, *, age_s: float) -> bool:
        """Whether an answer of this age may be used though it is no longer fresh."""
        is_young = self.max_age_s is None or age_s <= self.max_age_s
        return is_young and not self.no_cache and self.min_fresh_s == 0

    def allow(self, *, age_s: float, ttl_s: float) -> bool:
        """Whether an answer of this age, that stays fresh for so long, may be used."""
        return (self.max_age_s is None or age_s <= self.max_age_s) and ttl_s >= self.min_fresh_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Where the lines are drawn."""

    exact_max_temperature: float = 1.0
    """Whoever asks for a higher temperature than the default asks for variety."""
    semantic_max_temperature: float = 0.7
    max_answer_bytes: int = 256 * 1024
    max_request_bytes: int = 256 * 1024
    """Reading a larger request for its keys would hold up the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cacheability:
    """For each use, why not; None where nothing speaks against it."""

    exact: str | None
    """Neither looked up to the letter nor stored."""
    semantic: str | None
    """Neither looked up by meaning nor stored for it."""
    store: str | None
    knowledge: str | None
    """Not answered by the operator's own answers."""


def directives_of(cache_control: str) -> Directives:
    """Read the header. A number that is none counts as 0: the strictest reading."""
    if not cache_control:
        return Directives()
    found = {match[1].lower(): match[2] for match in _DIRECTIVE.finditer(cache_control)}
    return Directives(
        no_store="no-store" in found,
        no_cache="no-cache" in found,
        only_if_cached="only-if-cached" in found,
        max_age_s=_seconds(found["max-age"]) if "max-age" in found else None,
        min_fresh_s=_seconds(found["min-fresh"]) if "min-fresh" in found else 0,
    )


def _seconds(value: str | None) -> int:
    value = (value or "").strip()
    return min(int(value[:10]), 2**31) if value.isascii() and value.isdigit() else 0


def exact_refusal(*, body_bytes: int, in_session: bool, directives: Directives, limits: Limits) -> str | None:
    """Why a request is not looked up to the letter, as far as its key does not tell.

    Everything else that forbids storing follows from what the key is made of, so that nothing was stored
    under the key of a request it forbids.
    """
    if body_bytes > limits.max_request_bytes:
        return TOO_LARGE
    return ("session" if in_session else None) or ("no-store" if directives.no_store else None)


def assess(
    request: ChatRequest,
    *,
    fields: frozenset[str],
    text: str,
    in_session: bool,
    directives: Directives,
    limits: Limits,
) -> Cacheability:
    """What the request itself forbids. `fields` are the body's top-level names, `text` the question."""
    # The request of a long text stands at one of its ends; what is between is material.
    ends = text if len(text) <= 2 * _END else f"{text[:_END]}\n{text[-_END:]}"
    personal = is_personal(ends)
    never = (
        _of_the_request(request, fields, limits)
        or ("session" if in_session else None)
        or ("personal" if personal else None)
        or ("time-dependent" if is_time_dependent(ends) else None)
    )
    return Cacheability(
        exact=never or ("no-store" if directives.no_store else None),
        semantic=never or ("no-store" if directives.no_store else None) or _only_exact(request, text, limits),
        store=never or ("no-store" if directives.no_store else None),
        knowledge=_not_from_knowledge(request, fields, text, in_session=in_session, personal=personal),
    )


def _not_from_knowledge(
    request: ChatRequest, fields: frozenset[str], text: str, *, in_session: bool, personal: bool
) -> str | None:
    """A known answer is plain text for a question that stands on its own; its operator keeps it current."""
    roles = [message.role for message in request.messages]
    if in_session or roles.count("user") != 1 or "assistant" in roles:
        return "follow-up"
    if request.tools or "functions" in fields or "tool" in roles or "function" in roles:
        return "tools"
    if request.response_format is not None and request.response_format.type != "text":
        return "response format"
    if request.n is not None and request.n > 1:
        return "several answers"
    if not _is_text(request.messages[-1]):
        return "not only text"
    if not text.strip():
        return "no question"
    return "personal" if personal else None


def _of_the_request(request: ChatRequest, fields: frozenset[str], limits: Limits) -> str | None:
    """Why no answer to it can ever serve again."""
    if request.tools or "functions" in fields or any(_uses_tools(message) for message in request.messages):
        return "tools"
    if "web_search_options" in fields:
        return "time-dependent"
    if request.n is not None and request.n > 1:
        return "several answers"
    if request.logprobs or request.top_logprobs:
        return "logprobs"
    if request.temperature is not None and request.temperature > limits.exact_max_temperature:
        return "temperature"
    if any(not _is_text(message) for message in request.messages):
        return "not only text"
    return None


def _only_exact(request: ChatRequest, text: str, limits: Limits) -> str | None:
    if request.temperature is not None and request.temperature > limits.semantic_max_temperature:
        return "temperature"
    if not text.strip():
        return "no question"
    if request.messages[-1].role != "user":
        # What follows the question (the start of an answer, say) is asked about too.
        return "question is not last"
    return None


def _uses_tools(message: Message) -> bool:
    return message.role in ("tool", "function") or bool(message.tool_calls)


def _is_text(message: Message) -> bool:
    return not isinstance(message.content, list) or all(part.type == "text" for part in message.content)


class _Message(msgspec.Struct, kw_only=True):
    content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, kw_only=True):
    finish_reason: str | None = None
    message: _Message


class _Answer(msgspec.Struct, kw_only=True):
    choices: list[_Choice]
    error: object = None


_answers = msgspec.json.Decoder(_Answer)


def answer_refusal(completion: bytes, limits: Limits) -> str | None:
    """Why a collected answer may not be stored, or None."""
    if len(completion) > limits.max_answer_bytes:
        return "too large"
    try:
        answer = _answers.decode(completion)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "not a completion"
    if answer.error is not None or not answer.choices:
        return "an error"
    for choice in answer.choices:
        if choice.finish_reason != "stop":
            return "not finished"
        if choice.message.tool_calls or choice.message.function_call:
            return "tools"
        if choice.message.refusal:
            return "a refusal"
        if not (choice.message.content or "").strip():
            return "empty"
    return None
