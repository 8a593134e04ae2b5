"""A script in place of a model: deterministic, with the pace of a real one if asked."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import msgspec

from cloud.domain import Call
from cloud.wire.answers import Chunk, ChunkChoice, Delta, FunctionCallDelta, ToolCallDelta, Usage, collect
from cloud.wire.chat import Message
from cloud.wire.errors import DeadlineExceeded


class ScriptedProvider:
    """Says `reply`, one word a token, after `first_token_ms`, at `tokens_per_s` (0: at once).

    Where tools are offered it first calls those of `steps`, one at a time; `{found}` in the reply is then
    what the last of them said.
    """

    def __init__(
        self,
        *,
        reply: str,
        first_token_ms: float = 0.0,
        tokens_per_s: float = 0.0,
        steps: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        self._reply = reply
        self._steps = tuple(steps)
        self._first_token_s = first_token_ms / 1000
        self._token_s = 1 / tokens_per_s if tokens_per_s else 0.0

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        if call.request.streams:
            async for chunk in self._chunks(call, with_usage=call.request.streams_usage):
                yield msgspec.json.encode(chunk)
        else:
            chunks = [chunk async for chunk in self._chunks(call, with_usage=True)]
            yield msgspec.json.encode(collect(chunks))

    async def check(self) -> None:
        """A script is always ready."""

    def _call(self, number: int) -> ToolCallDelta:
        tool, arguments = self._steps[number]
        return ToolCallDelta(
            index=0,
            id=f"call_{number}",
            type="function",
            function=FunctionCallDelta(name=tool, arguments=msgspec.json.encode(arguments).decode()),
        )

    async def _chunks(self, call: Call, *, with_usage: bool) -> AsyncGenerator[Chunk]:
        created = int(time.time())
        answer_id = f"chatcmpl-{call.request_id}"

        def chunk(*choices: ChunkChoice, usage: Usage | msgspec.UnsetType = msgspec.UNSET) -> Chunk:
            return Chunk(
                id=answer_id, created=created, model=call.model.name, choices=list(choices), usage=usage
            )

        messages = call.request.messages
        asked = next((message.text for message in reversed(messages) if message.role == "user"), "")
        first = next((message.text for message in messages if message.role == "user"), "")
        done = _said_since_asked(messages)
        if call.request.tools and done < len(self._steps):
            await _pause(self._first_token_s, call)
            yield chunk(ChunkChoice(delta=Delta(role="assistant", tool_calls=[self._call(done)])))
            yield chunk(ChunkChoice(finish_reason="tool_calls"))
            if with_usage:
                read = sum(len(message.text.split()) for message in messages)
                yield chunk(usage=Usage(prompt_tokens=read, completion_tokens=1, total_tokens=read + 1))
            return
        found = messages[-1].text if messages and messages[-1].role == "tool" else ""
        reply = self._reply.replace("{first}", first).replace("{text}", asked).replace("{found}", found)
        words = reply.split(" ")
        limit = call.request.output_limit
        spoken = words if limit is None else words[:limit]
        await _pause(self._first_token_s, call)
        yield chunk(ChunkChoice(delta=Delta(role="assistant", content="")))
        for position, word in enumerate(spoken):
            if position:
                await _pause(self._token_s, call)
            yield chunk(ChunkChoice(delta=Delta(content=word if position == 0 else f" {word}")))
        yield chunk(ChunkChoice(finish_reason="stop" if len(spoken) == len(words) else "length"))
        if with_usage:
            read = sum(len(message.text.split()) for message in messages)
            yield chunk(
                usage=Usage(
                    prompt_tokens=read, completion_tokens=len(spoken), total_tokens=read + len(spoken)
                )
            )


def _said_since_asked(messages: Sequence[Message]) -> int:
    """How many of its own messages stand after the last user's."""
    count = 0
    for message in reversed(messages):
        if message.role == "user":
            break
        count += message.role == "assistant"
    return count


async def _pause(seconds: float, call: Call) -> None:
    if seconds >= call.remaining_s():
        await asyncio.sleep(call.remaining_s())
        raise DeadlineExceeded("the deadline passed before the answer was complete")
    if seconds:
        await asyncio.sleep(seconds)
