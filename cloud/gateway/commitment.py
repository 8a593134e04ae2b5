"""Where an answer begins to bind: what a stream has said so far, and how another model goes on from there."""

from dataclasses import replace

import msgspec

from cloud.domain import Call, Model
from cloud.wire.answers import Chunk, ChunkChoice, Delta, Usage
from cloud.wire.chat import ChatDocument, ChatRequest
from cloud.wire.errors import UpstreamBroken

_chunks = msgspec.json.Decoder(Chunk)


class Said:
    """The text of one streamed choice so far, as the caller has received it."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.can_be_continued = True
        self.first: Chunk | None = None
        self.finish: str | None = None

    def become(self, other: "Said") -> None:
        """Go on as the other: it is the one that the caller hears."""
        self.text, self.can_be_continued = other.text, other.can_be_continued
        self.first, self.finish = other.first, other.finish

    def hear(self, document: bytes) -> bool:
        """Take note of a chunk; whether it says anything that binds: content, a tool call, an end."""
        try:
            chunk = _chunks.decode(document)
        except msgspec.MsgspecError as error:
            raise UpstreamBroken("the upstream sent an event that is no chunk") from error
        self.first = self.first or chunk
        binds = False
        for choice in chunk.choices:
            if choice.index != 0 or choice.delta.tool_calls:
                self.can_be_continued = False
            if choice.delta.content and choice.index == 0:
                self.text.append(choice.delta.content)
            if choice.finish_reason is not None:
                self.finish = choice.finish_reason
            binds |= bool(choice.delta.content or choice.delta.tool_calls or choice.finish_reason)
        return binds


def continuation(call: Call, model: Model, said: Said) -> Call:
    """The call that asks `model` to go on exactly where the text so far ends."""
    body = msgspec.json.decode(call.document.body)
    body["messages"] = [*body["messages"], {"role": "assistant", "content": "".join(said.text)}]
    # vLLM and those who follow it complete a last assistant message only when told so.
    body |= {"continue_final_message": True, "add_generation_prompt": False}
    request = msgspec.convert(body, ChatRequest)
    document = ChatDocument(request=request, body=msgspec.json.encode(body))
    return replace(call, document=document, model=model)


def joined(document: bytes, said: Said) -> bytes | None:
    """A chunk of the continuing model as part of the answer begun; None where it only opens its own."""
    assert said.first is not None
    chunk = _chunks.decode(document)
    choices = [
        ChunkChoice(
            index=choice.index, delta=Delta(content=choice.delta.content), finish_reason=choice.finish_reason
        )
        for choice in chunk.choices
        if choice.delta.content or choice.finish_reason
    ]
    usage = chunk.usage if isinstance(chunk.usage, Usage) else msgspec.UNSET
    if not choices and usage is msgspec.UNSET:
        return None
    return msgspec.json.encode(
        Chunk(
            id=said.first.id, created=said.first.created, model=said.first.model, choices=choices, usage=usage
        )
    )
