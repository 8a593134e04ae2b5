"""An answer within a session: its end is handed on only once the turn is kept."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from cloud.wire.answers import AnswerMessage, Chunk, ChunkChoice, Documents, Usage, collect
from cloud.wire.chat import Message
from cloud.wire.errors import UpstreamBroken


class _SeenChunk(msgspec.Struct, frozen=True):
    choices: list[ChunkChoice] = []
    usage: Usage | None = None


class _SeenChoice(msgspec.Struct, frozen=True):
    message: Message
    index: int = 0


class _SeenCompletion(msgspec.Struct, frozen=True):
    choices: list[_SeenChoice] = []
    usage: Usage | None = None


_SeenT = TypeVar("_SeenT", _SeenChunk, _SeenCompletion)


class SessionAnswer:
    """Documents around another's. What comes before a finish reason passes at once; the rest waits."""

    def __init__(
        self,
        documents: Documents,
        *,
        streams: bool,
        keep: Callable[[bytes, Usage | None], Awaitable[None]],
        give_up: Callable[[], Awaitable[None]],
    ) -> None:
        """`keep` is awaited with the JSON of the answer's message once it is whole, or else `give_up`."""
        self._documents = documents
        self._streams = streams
        self._keep = keep
        self._give_up = give_up
        self._chunks: list[Chunk] = []
        self._whole: bytes = b""
        self._held: deque[bytes] = deque()
        self._is_finishing = not streams
        self._is_settled = False

    def __aiter__(self) -> "SessionAnswer":
        return self

    async def __anext__(self) -> bytes:
        if not self._is_settled:
            try:
                return await self._next()
            except StopAsyncIteration:
                await self._settle()
            except BaseException:
                await self._abandon()
                raise
        if self._held:
            return self._held.popleft()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        try:
            await self._documents.aclose()
        finally:
            await self._abandon()

    async def _next(self) -> bytes:
        while True:
            document = await anext(self._documents)
            self._note(document)
            if not self._is_finishing:
                return document
            self._held.append(document)

    def _note(self, document: bytes) -> None:
        if not self._streams:
            self._whole = document
            return
        seen = _read(document, _SeenChunk)
        self._chunks.append(
            Chunk(id="", created=0, model="", choices=seen.choices, usage=seen.usage or msgspec.UNSET)
        )
        self._is_finishing |= any(choice.finish_reason is not None for choice in seen.choices)

    async def _settle(self) -> None:
        try:
            message, usage = self._answer()
            self._is_settled = True
            await self._keep(message, usage)
        except BaseException:
            self._held.clear()
            self._is_settled = True
            await self._give_up()
            raise

    async def _abandon(self) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._held.clear()
            await self._give_up()

    def _answer(self) -> tuple[bytes, Usage | None]:
        """The first choice's message: the one a conversation goes on from."""
        if self._streams:
            completion = collect(self._chunks)
            return msgspec.json.encode(completion.choices[0].message), completion.usage
        seen = _read(self._whole, _SeenCompletion)
        if not seen.choices:
            raise UpstreamBroken("the upstream's answer has no choice")
        message = seen.choices[0].message
        kept = AnswerMessage(content=message.text, tool_calls=message.tool_calls or msgspec.UNSET)
        return msgspec.json.encode(kept), seen.usage


def _read(document: bytes, kind: type[_SeenT]) -> _SeenT:
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UpstreamBroken("the upstream's answer is not a chat completion") from error
