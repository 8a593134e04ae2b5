"""A chat completion answer: the chunks of a stream, and the whole they make."""

from collections.abc import Sequence
from typing import Literal

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
    usage: Usage | None = None


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


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that a relay needs to see of a chunk or a completion it passes on."""

    choices: list["OutcomeChoice"] = []
    usage: Usage | None = None
    model: str | None = None
    error: msgspec.Raw | None = None


class OutcomeChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    finish_reason: str | None = None


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
        usage = chunk.usage or usage
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
    known = call.function if call is not None and call.function is not None else FunctionCall(name="", arguments="")
    return ToolCall(
        id=delta.id or (call.id if call else ""),
        type=delta.type or (call.type if call else "function"),
        function=FunctionCall(
            name=known.name or function.name or "",
            arguments=known.arguments + (function.arguments or ""),
        ),
    )
