"""Answers with a small language model inside this process, one request at a time."""

import asyncio
import math
import time
import uuid
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from cloud.domain import Call
from cloud.providers.gguf import Gguf, RuntimeEvent
from cloud.providers.gguf_request import Defaults, RuntimeRequest, runtime_request
from cloud.providers.weights import find_weights
from cloud.wire.answers import Chunk, ChunkChoice, Delta, collect
from cloud.wire.errors import DeadlineExceeded, Overloaded, UpstreamBroken, UpstreamUnavailable, WaysideError

_FIRST_GUESS_S = 2.0
_LONGEST_RETRY_AFTER_S = 60


class LocalProvider:
    """A `Provider` over one GGUF model.

    Decoding has a thread of its own. At most `max_queue` requests wait for it, first come first served;
    the next is refused with Overloaded. A request whose caller leaves, or whose deadline passes, gives up
    its place at once, and the thread within a batch of the prompt or a token of the answer.

    `threads` is how many threads compute. One is the default because the runtime's threads wait for each
    other by spinning, hundreds of times a token: on a machine that is busy with anything else, as many
    threads as cores decode a hundred times slower than one.
    """

    def __init__(
        self,
        *,
        model_path: Path | None,
        name: str,
        context_tokens: int = 4096,
        threads: int = 1,
        max_queue: int = 16,
        temperature: float = 0.2,
        repeat_penalty: float = 1.1,
        max_output_tokens: int = 512,
    ) -> None:
        """`model_path` None means the packaged weights; `name` is the model name answers carry."""
        self._model_path = model_path
        self._name = name
        self._context_tokens = context_tokens
        self._threads = threads
        self._max_queue = max_queue
        self._defaults = Defaults(
            temperature=temperature, repeat_penalty=repeat_penalty, max_output_tokens=max_output_tokens
        )
        self._model: Gguf | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._decodings: dict[asyncio.Task[None], _Decoding] = {}
        self._typical_s = _FIRST_GUESS_S

    async def open(self) -> None:
        """Load the model. Raises UpstreamUnavailable when there is none or it does not load."""
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(worker, self._load)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        self._worker = worker

    def _load(self) -> Gguf:
        return Gguf(
            path=find_weights(self._model_path), context_tokens=self._context_tokens, threads=self._threads
        )

    async def close(self) -> None:
        """Stop whatever is under way and give the memory back. Closing twice is closing once."""
        model, worker = self._model, self._worker
        self._model = self._worker = None
        if model is None or worker is None:
            return
        for task, decoding in tuple(self._decodings.items()):
            decoding.stop(task, UpstreamUnavailable("the local model was closed"))
        await asyncio.gather(*self._decodings, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(worker, model.close)
        worker.shutdown(wait=False)

    async def check(self) -> None:
        """Return when the model is loaded; raise UpstreamUnavailable when it is not."""
        if self._model is None:
            raise UpstreamUnavailable("the local model is not loaded")

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        """The port's `complete`; see `cloud.ports.Provider`."""
        await self.check()
        request = runtime_request(call.request, defaults=self._defaults)
        if call.remaining_s() <= 0:
            raise DeadlineExceeded("the deadline passed before the local model was asked")
        if len(self._decodings) > self._max_queue:
            raise Overloaded(
                f"{self._max_queue} requests wait for the local model already",
                retry_after_s=self._retry_after_s(),
            )
        decoding = _Decoding(request=request)
        task = asyncio.create_task(self._decode(decoding))
        self._decodings[task] = decoding
        task.add_done_callback(self._settle)
        alarm = asyncio.get_running_loop().call_at(
            call.deadline,
            decoding.stop,
            task,
            DeadlineExceeded("the local model did not finish by the deadline"),
        )
        answer = _Answer(model=self._name)
        whole: list[Chunk] = []
        try:
            while (event := await decoding.next_event()) is not None:
                for chunk in answer.chunks(
                    event, with_usage=call.request.streams_usage or not call.request.streams
                ):
                    if call.request.streams:
                        yield msgspec.json.encode(chunk)
                    else:
                        whole.append(chunk)
            if decoding.stopped is not None:
                raise decoding.stopped
            await task
            answer.verify(is_json=request.grammar is not None)
            if not call.request.streams:
                yield msgspec.json.encode(collect(whole))
        finally:
            alarm.cancel()
            decoding.stop(task, None)

    async def _decode(self, decoding: "_Decoding") -> None:
        # A task of its own, so that the turn ends with the decoding: a caller who reads slowly, or not at
        # all, keeps nobody waiting.
        async with self._turn:
            if self._model is None or self._worker is None:
                raise UpstreamUnavailable("the local model was closed")
            loop = asyncio.get_running_loop()
            began = loop.time()
            decoding.is_running = True
            await loop.run_in_executor(self._worker, decoding.run, self._model)
            self._typical_s += 0.2 * (loop.time() - began - self._typical_s)

    def _settle(self, task: "asyncio.Task[None]") -> None:
        self._decodings.pop(task).end()
        if not task.cancelled():
            task.exception()  # seen, even when the caller has left: nothing to report at exit

    def _retry_after_s(self) -> int:
        return max(1, min(_LONGEST_RETRY_AFTER_S, math.ceil(self._typical_s * len(self._decodings))))


class _Decoding:
    """One request on its way through the worker thread, and the events that come back."""

    def __init__(self, *, request: RuntimeRequest) -> None:
        self._request = request
        self._loop = asyncio.get_running_loop()
        # No bound: an answer is a few thousand small events at most, and a full queue would hold the worker.
        self._events: asyncio.Queue[RuntimeEvent | None] = asyncio.Queue()
        self._is_over = False
        self.is_running = False
        self.stopped: WaysideError | None = None
        """Why the answer was cut short, where the caller is still there to be told."""

    async def next_event(self) -> RuntimeEvent | None:
        """The next event; None when there will be no more."""
        return await self._events.get()

    def stop(self, task: "asyncio.Task[None]", reason: WaysideError | None) -> None:
        """Let the worker stop at its next event, or, if it has not begun, never begin."""
        if self._is_over:
            return
        self._is_over = True
        self.stopped = reason
        self.end()
        if not self.is_running:
            task.cancel()

    def end(self) -> None:
        """Let the reader know that nothing follows."""
        self._is_over = True
        self._events.put_nowait(None)

    def run(self, model: Gguf) -> None:
        """Decode to the end, on the worker thread."""
        if not self._is_over:
            model.generate(self._request, self._receive)

    def _receive(self, event: RuntimeEvent) -> bool:
        if not self._is_over and not bytes(event.prompt_progress):
            try:
                self._loop.call_soon_threadsafe(self._events.put_nowait, event)
            except RuntimeError:  # the loop is closed, nobody listens
                return True
        return self._is_over


class _Answer:
    """Writes the runtime's events as the chunks of one answer."""

    def __init__(self, *, model: str) -> None:
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model
        self._text: list[str] = []
        self._has_begun = False
        self._finish_reason: str | None = None

    def chunks(self, event: RuntimeEvent, *, with_usage: bool) -> list[Chunk]:
        chunks: list[Chunk] = []
        for choice in event.choices:
            if not self._has_begun:
                self._has_begun = True
                chunks.append(self._chunk(ChunkChoice(delta=Delta(role="assistant", content=""))))
            if choice.delta.content:
                self._text.append(choice.delta.content)
                chunks.append(self._chunk(ChunkChoice(delta=Delta(content=choice.delta.content))))
            if choice.finish_reason is not None:
                self._finish_reason = choice.finish_reason
                chunks.append(self._chunk(ChunkChoice(finish_reason=choice.finish_reason)))
        if event.usage is not None and with_usage:
            chunks.append(
                Chunk(id=self._id, created=self._created, model=self._model, choices=[], usage=event.usage)
            )
        return chunks

    def verify(self, *, is_json: bool) -> None:
        """Raise UpstreamBroken unless the answer is whole, and JSON if it was to be."""
        if self._finish_reason is None:
            raise UpstreamBroken("the local model stopped before its answer was complete")
        # The runtime lets go of a grammar, silently, when it costs too much to follow further.
        if is_json and self._finish_reason == "stop":
            try:
                msgspec.json.decode("".join(self._text))
            except msgspec.DecodeError as error:
                raise UpstreamBroken("the local model did not keep to the response format") from error

    def _chunk(self, choice: ChunkChoice) -> Chunk:
        return Chunk(id=self._id, created=self._created, model=self._model, choices=[choice])
