"""Judges one answer: whole and as expected, or what is wrong with it."""

from dataclasses import dataclass
from typing import Literal

import msgspec

FaultKind = Literal["lost", "refused", "half", "wrong", "elsewhere"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why an answer does not count.

    `lost`: none came. `refused`: a status other than 200. `half`: not complete. `wrong`: complete, but
    not the answer to this request. `elsewhere`: the right one, but not from where the row says it comes.
    """

    kind: FaultKind
    detail: str


class _Message(msgspec.Struct, frozen=True, kw_only=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    message: _Message = _Message()
    delta: _Message = _Message()
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: msgspec.Raw | None = None


_decoder = msgspec.json.Decoder(_Document)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A whole answer."""

    text: str
    finish_reason: str
    input_tokens: int = 0
    output_tokens: int = 0


def judge(*, status: int, media_type: str, body: bytes, streams: bool, expected: str) -> Fault | None:
    """None when the answer is whole and says `expected`; its HTTP framing was checked before."""
    said = read(status=status, media_type=media_type, body=body, streams=streams)
    if isinstance(said, Fault):
        return said
    if said.finish_reason != "stop":
        return Fault(kind="half", detail=f"finish_reason is {said.finish_reason}")
    return _compare(said.text, expected)


def read(*, status: int, media_type: str, body: bytes, streams: bool) -> Said | Fault:
    """What a whole answer says; its HTTP framing was checked before."""
    if status != 200:
        return Fault(kind="refused", detail=f"status {status}: {body[:200].decode('utf-8', 'replace')}")
    wanted = "text/event-stream" if streams else "application/json"
    if media_type.partition(";")[0].strip().lower() != wanted:
        return Fault(kind="wrong", detail=f"content type {media_type or 'missing'}, not {wanted}")
    try:
        return _read_stream(body) if streams else _read_completion(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Fault(kind="half", detail=f"not a chat completion: {error}")


def _read_completion(body: bytes) -> Said | Fault:
    document = _decoder.decode(body)
    if not document.choices:
        return Fault(kind="half", detail="the answer holds no choices")
    choice = document.choices[0]
    return _said(choice.message.content or "", choice.finish_reason, document.usage)


def _read_stream(body: bytes) -> Said | Fault:
    *events, tail = body.replace(b"\r\n", b"\n").split(b"\n\n")
    if tail.strip():
        return Fault(kind="half", detail="the stream ends inside an event")
    said: list[str] = []
    finish_reason: str | None = None
    usage: _Usage | None = None
    is_done = False
    for event in events:
        data = _data_of(event)
        if data is None:
            continue
        if is_done:
            return Fault(kind="wrong", detail="the stream goes on after [DONE]")
        if data == b"[DONE]":
            is_done = True
            continue
        document = _decoder.decode(data)
        if document.error is not None:
            return Fault(kind="half", detail=f"an error inside the stream: {bytes(document.error)[:200]!r}")
        usage = document.usage or usage
        for choice in document.choices:
            said.append(choice.delta.content or "")
            finish_reason = choice.finish_reason or finish_reason
    if not is_done:
        return Fault(kind="half", detail="the stream ends without [DONE]")
    return _said("".join(said), finish_reason, usage)


def _said(text: str, finish_reason: str | None, usage: _Usage | None) -> Said | Fault:
    if finish_reason is None:
        return Fault(kind="half", detail="finish_reason is None")
    used = usage or _Usage()
    return Said(
        text=text,
        finish_reason=finish_reason,
        input_tokens=used.prompt_tokens,
        output_tokens=used.completion_tokens,
    )


def _data_of(event: bytes) -> bytes | None:
    """The data of one event; None for an event of comments only, which keeps a connection alive."""
    data = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(data) if data else None


def _compare(said: str, expected: str) -> Fault | None:
    if said == expected:
        return None
    return Fault(kind="wrong", detail=f"said {said[:100]!r}, not {expected[:100]!r}")
