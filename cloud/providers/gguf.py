"""One GGUF model in memory, run by llama.cpp through xllamacpp; every call blocks."""

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cloud.providers.gguf_request import RuntimeRequest
from cloud.wire.answers import Usage
from cloud.wire.errors import InvalidRequest, UpstreamBroken, UpstreamUnavailable, WaysideError

_BATCH_TOKENS = 16
"""Prompt tokens read in one go. The runtime notices a cancelled request between two batches only, so this
bounds how long it works for nobody: about a tenth of a second. Larger batches gain little on one thread."""


class RuntimeDelta(msgspec.Struct, frozen=True, kw_only=True):
    content: str | None = None


class RuntimeChoice(msgspec.Struct, frozen=True, kw_only=True):
    delta: RuntimeDelta = RuntimeDelta()
    text: str = ""
    """Where the request was not a chat."""
    finish_reason: str | None = None


class RuntimeFailure(msgspec.Struct, frozen=True, kw_only=True):
    code: int = 500
    type: str = ""
    message: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class RuntimeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of one document of the runtime's stream."""

    choices: list[RuntimeChoice] = []
    usage: Usage | None = None
    prompt_progress: msgspec.Raw = msgspec.Raw()
    """Empty but for the events that only say how far the prompt is read."""
    error: RuntimeFailure | None = None


_EVENTS = msgspec.json.Decoder(RuntimeEvent)


class Gguf:
    """A loaded model. Not for two threads at once; `close` ends it."""

    def __init__(self, *, path: Path, context_tokens: int, threads: int) -> None:
        """Load the weights, memory-mapped. Raises UpstreamUnavailable when they do not load."""
        # Here and not at the top: the shared library is 100 MB, and who never opens a model never pays.
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context_tokens
        params.n_parallel = 1
        params.n_batch = params.n_ubatch = _BATCH_TOKENS
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.fit_params = False  # it would shrink the context to fit memory; we promise a size
        params.verbosity = -1  # its log goes to stderr and can hold prompts
        # Nothing of a prompt outlives its request: a prefix kept for the next caller would answer faster
        # and so tell one tenant what another had asked (arXiv 2409.20002).
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.prefill_assistant = (
            False  # the chat API answers a last assistant message, it does not extend it
        )
        # The runtime insists on an HTTP listener. Ours is a socket in a private folder, behind a key that
        # nobody knows, and its name is gone once the model is loaded: nobody can connect.
        params.endpoint_slots = False
        params.ui = False
        params.n_threads_http = 1
        params.api_keys = [secrets.token_urlsafe(32)]
        try:
            with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
                params.hostnames = [str(Path(folder, "llama.sock"))]
                self._server: Any = xllamacpp.Server(params)
        except (RuntimeError, ValueError, OSError) as error:
            raise UpstreamUnavailable(f"the local model {path} could not be loaded") from error

    def generate(self, request: RuntimeRequest, on_event: Callable[[RuntimeEvent], bool]) -> None:
        """Answer one chat request, event by event.

        `on_event` is called on this thread and stops the work by returning True. Returns when the
        answer is complete or was stopped; raises InvalidRequest or UpstreamBroken.
        """
        if request.grammar is not None and not self._keeps_to(request.grammar):
            raise InvalidRequest(
                "`response_format`: this model cannot keep to this schema", param="response_format"
            )
        self._stream(self._server.handle_chat_completions, request.document, on_event)

    def _keeps_to(self, grammar: str) -> bool:
        # A grammar that the runtime cannot compile is dropped without a word, and the answer is free text.
        # So it is asked for one token with every reason to say "@", which no JSON value begins with.
        said: list[str] = []

        def listen(event: RuntimeEvent) -> bool:
            said.extend(choice.text for choice in event.choices)
            return False

        canary = {
            "prompt": ".",
            "max_tokens": 1,
            "stream": True,
            "temperature": 0,
            "logit_bias": [["@", 100]],
        }
        self._stream(
            self._server.handle_completions, msgspec.json.encode({**canary, "grammar": grammar}), listen
        )
        return not "".join(said).lstrip().startswith("@")

    def _stream(
        self,
        handle: Callable[[bytes, Callable[[bytes], bool]], None],
        document: bytes,
        on_event: Callable[[RuntimeEvent], bool],
    ) -> None:
        failure: WaysideError | None = None

        def receive(answer: bytes) -> bool:
            nonlocal failure
            # An exception must not cross the C++ frames below: the runtime would swallow it.
            try:
                event = _EVENTS.decode(answer)
                if event.error is None:
                    return on_event(event)
                failure = _translated(event.error)
            except Exception as error:
                failure = UpstreamBroken("the local model's answer could not be read")
                failure.__cause__ = error
            return True

        try:
            handle(document, receive)
        except (RuntimeError, ValueError) as error:
            raise UpstreamBroken("the local model failed") from error
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Give the memory back."""
        self._server = None


def _translated(error: RuntimeFailure) -> WaysideError:
    if error.type == "exceed_context_size_error":
        return InvalidRequest(
            f"the messages are {error.n_prompt_tokens} tokens long; this model reads at most {error.n_ctx}",
            param="messages",
            code="context_length_exceeded",
        )
    if error.code == 400:
        return InvalidRequest(f"the local model refused the request: {error.message}")
    return UpstreamBroken("the local model failed")
