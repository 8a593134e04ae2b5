"""A chat completion answer: the chunks of a stream, and the whole they make."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol

import msgspec

from cloud.wire.chat import FunctionCall, ToolCall
from cloud.wire.errors import UpstreamBroken

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class FunctionCallDelta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    index: int
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta | None = None


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    role: str | None = None
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    delta: Delta = Delta()
    finish_reason: str | None = None


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    """Unix time, seconds."""
    model: str
    choices: list[ChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


class AnswerMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None = None
    tool_calls: list[ToolCall] | msgspec.UnsetType = msgspec.UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    message: AnswerMessage
    finish_reason: str


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    """Unix time, seconds."""
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class Documents(Protocol):
    """JSON documents of one answer: chunks of a stream, or one completion.

    Ends normally only when the answer is whole; everything else raises a WaysideError.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def __anext__(self) -> bytes: ...
    async def aclose(self) -> None: ...


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that a relay needs to see of a chunk or a completion it passes on."""

    choices: list["OutcomeChoice"] = []
    usage: Usage | None = None
    model: str | None = None
    error: Any = None


class OutcomeChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    finish_reason: str | None = None


_MOST_TOKENS = 2**53 - 1
"""More than anybody counts, and exact in every number format on the way."""

_outcome_decoder = msgspec.json.Decoder(Outcome)


def outcome_of(document: bytes) -> Outcome:
    """Raises UpstreamBroken when the document is no chunk and no completion."""
    try:
        return _outcome_decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken("the upstream's answer is not a chat completion") from error


def usage_of(document: bytes) -> Usage | None:
    """The token counts of a document that carries some, nonsense brought back to the nearest sense."""
    # Most chunks carry none, and looking is cheaper than parsing.
    usage = outcome_of(document).usage if b'"usage"' in document else None
    if usage is None or 0 <= min(counts := msgspec.structs.astuple(usage)) <= max(counts) <= _MOST_TOKENS:
        return usage
    prompt, completion, total = (min(max(0, count), _MOST_TOKENS) for count in counts)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


def collect(chunks: Sequence[Chunk]) -> Completion:
    """The answer that a finished stream of chunks amounts to.

    Raises UpstreamBroken when the stream holds no choice or one that never finished: half an answer
    is not an answer.
    """
    text: dict[int, list[str]] = {}
    calls: dict[int, dict[int, ToolCall]] = {}
    finished: dict[int, str] = {}
    usage: Usage | None = None
    for chunk in chunks:
        usage = chunk.usage if isinstance(chunk.usage, Usage) else usage
        for choice in chunk.choices:
            parts = text.setdefault(choice.index, [])
            if choice.delta.content is not None:
                parts.append(choice.delta.content)
            for delta in choice.delta.tool_calls or ():
                so_far = calls.setdefault(choice.index, {})
                so_far[delta.index] = _extended(so_far.get(delta.index), delta)
            if choice.finish_reason is not None:
                finished[choice.index] = choice.finish_reason
    if not text or finished.keys() != text.keys():
        raise UpstreamBroken("the stream ended before the answer was complete")
    return Completion(
        id=chunks[0].id,
        created=chunks[0].created,
        model=chunks[0].model,
        usage=usage,
        choices=[
            Choice(
                index=index,
                message=AnswerMessage(
                    content="".join(parts) if parts or index not in calls else None,
                    tool_calls=[call for _, call in sorted(calls[index].items())]
                    if index in calls
                    else msgspec.UNSET,
                ),
                finish_reason=finished[index],
            )
            for index, parts in sorted(text.items())
        ],
    )


def _extended(call: ToolCall | None, delta: ToolCallDelta) -> ToolCall:
    function = delta.function or FunctionCallDelta()
    known = (
        call.function
        if call is not None and call.function is not None
        else FunctionCall(name="", arguments="")
    )
    return ToolCall(
        id=delta.id or (call.id if call else ""),
        type=delta.type or (call.type if call else "function"),
        function=FunctionCall(
            name=known.name or function.name or "",
            arguments=known.arguments + (function.arguments or ""),
        ),
    )


def as_chunks(completion: bytes, *, with_usage: bool) -> list[bytes]:
    """A stored completion told as a stream: a chunk a choice, its end, and usage if asked for.

    Fields we do not know keep their place: those of the message become those of the delta.
    """
    whole = msgspec.json.decode(completion)
    shared = {key: value for key, value in whole.items() if key not in ("choices", "usage", "object")}
    shared["object"] = "chat.completion.chunk"
    chunks = []
    for choice in whole["choices"]:
        message = dict(choice.get("message") or {})
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
        rest = {
            key: value for key, value in choice.items() if key not in ("message", "finish_reason", "index")
        }
        at = {"index": choice.get("index", 0)}
        reason = choice.get("finish_reason")
        chunks.append({**shared, "choices": [{**at, "delta": message, "finish_reason": None, **rest}]})
        chunks.append({**shared, "choices": [{**at, "delta": {}, "finish_reason": reason}]})
    if with_usage:
        chunks.append({**shared, "choices": [], "usage": whole.get("usage")})
    return [msgspec.json.encode(chunk) for chunk in chunks]


class Ready:
    """Documents that are already here."""

    def __init__(self, documents: Sequence[bytes]) -> None:
        self._left = iter(documents)

    def __aiter__(self) -> "Ready":
        return self

    async def __anext__(self) -> bytes:
        for document in self._left:
            return document
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._left = iter(())
