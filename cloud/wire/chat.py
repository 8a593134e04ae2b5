"""A chat completion request: what we read of it, and the whole of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cloud.wire.errors import InvalidRequest

AUTO = "auto"
"""The model name that leaves the choice to the router."""

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class ImageUrl(msgspec.Struct, frozen=True, kw_only=True):
    url: str


class ContentPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a message. Types we do not know pass on untouched, whatever they mean by our names."""

    type: str
    text: Any = None
    """A string in a `text` part."""
    image_url: Any = None
    """As `ImageUrl` in an `image_url` part."""


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str = "function"
    function: FunctionCall | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    role: Role
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text of the message, its parts joined by line breaks; images are left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if isinstance(part.text, str))


class FunctionSpec(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    function: FunctionSpec | None = None


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    include_usage: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    json_schema: dict[str, Any] | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields we know of `POST /v1/chat/completions` (OpenAI API reference, Chat)."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0)] | None = None
    user: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None

    @property
    def streams(self) -> bool:
        return self.stream is True

    @property
    def streams_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage is True

    @property
    def output_limit(self) -> int | None:
        """The most tokens the caller wants back, by either of the field's two names."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatDocument:
    """A request as it will be sent on: what we understood, and every field the caller wrote."""

    request: ChatRequest
    body: bytes
    """JSON encoded again from what was parsed, so that the next hop reads what was checked here:
    a key given twice, or in another case, cannot mean one thing to us and another to it."""
    decoded: Mapping[str, Any] | None = None
    """The body as it was decoded, where it is at hand; nobody changes it."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Every field of the body by its name."""
        return msgspec.json.decode(self.body) if self.decoded is None else self.decoded

    def with_model(self, model: str) -> bytes:
        """The body under another model's name."""
        if model == self.request.model:
            return self.body
        return msgspec.json.encode({**self.fields, "model": model})


def parse(body: bytes, *, max_depth: int) -> ChatDocument:
    """Read and check a request body (UTF-8 JSON, at most `max_depth` levels deep).

    Raises InvalidRequest whose `param` names the field at fault.
    """
    document = _decode(body)
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    _refuse_unsafe_values(body, document, max_depth=max_depth)
    try:
        request = msgspec.convert(document, ChatRequest)
    except msgspec.ValidationError as error:
        message, param = _located(str(error))
        raise InvalidRequest(message, param=param) from error
    _check_messages(request.messages)
    _check_tools(request.tools or [])
    return ChatDocument(request=request, body=msgspec.json.encode(document), decoded=document)


def _decode(body: bytes) -> Any:
    if not body:
        raise InvalidRequest("the body is empty; send a JSON object with `model` and `messages`")
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest("the body is not valid UTF-8") from error
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error


def _refuse_unsafe_values(body: bytes, document: dict[str, Any], *, max_depth: int) -> None:
    """Deep nesting breaks parsers further on; NUL characters break stores and C strings."""
    if _is_deeper(body, max_depth):
        field = next(
            (key for key, value in document.items() if _is_deeper(_encoded(value), max_depth - 1)), None
        )
        # None when it was a key given twice, whose first value nobody will read.
        where = f"`{field}`" if field is not None else "the body"
        raise InvalidRequest(f"{where} is nested more than {max_depth - 1} levels deep", param=field)
    # Without escaped backslashes, what looks like an escaped NUL is one.
    if b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b""):
        path = _path_of_nul(document)
        where = f"`{path}`" if path else "the body"
        raise InvalidRequest(f"{where} holds a NUL character", param=path or None)


_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_SQUARED = bytes.maketrans(b"{}", b"[]")


def _is_deeper(text: bytes, levels: int) -> bool:
    """Whether valid JSON is nested deeper, by byte operations alone: bodies may be large, and hostile."""
    if text.count(b"{") + text.count(b"[") <= levels:
        return False
    outside_strings = b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside_strings.translate(_SQUARED, _NO_BRACKET)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")  # takes the innermost level away, and only that
    return bool(brackets)


_MOST_VALUES_LOOKED_AT = 10_000


def _path_of_nul(document: dict[str, Any]) -> str | None:
    """Where the NUL character stands, if it is found soon; the request is refused either way."""
    pending: list[tuple[str, Any]] = [("", document)]
    for _ in range(_MOST_VALUES_LOOKED_AT):
        if not pending:
            break
        path, value = pending.pop()
        if isinstance(value, str) and "\0" in value:
            return path
        if isinstance(value, dict):
            if any("\0" in key for key in value):
                return path
            pending.extend((f"{path}.{key}" if path else key, child) for key, child in value.items())
        elif isinstance(value, list):
            pending.extend((f"{path}[{index}]", child) for index, child in enumerate(value))
    return None


_encoded = msgspec.json.encode

_AT = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>\w+)`")


def _located(message: str, *, within: str = "") -> tuple[str, str | None]:
    """Split msgspec's message into ours and the path of the field, in the OpenAI spelling."""
    match = _AT.fullmatch(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    path = f"{within}.{path}" if within and path else within or path
    if missing := _MISSING.fullmatch(what):
        path = f"{path}.{missing['field']}" if path else missing["field"]
        return f"`{path}` is required", path
    if path:
        return f"`{path}`: {what[:1].lower()}{what[1:]}", path
    return what, None


def _check_messages(messages: list[Message]) -> None:
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        if message.role in ("system", "developer", "user") and message.content is None:
            raise InvalidRequest(f"`{at}.content` is required", param=f"{at}.content")
        if message.role == "tool" and message.tool_call_id is None:
            raise InvalidRequest(f"`{at}.tool_call_id` is required", param=f"{at}.tool_call_id")
        if isinstance(message.content, list):
            _check_parts(message.content, at=f"{at}.content")
        for position, call in enumerate(message.tool_calls or ()):
            if call.type == "function" and call.function is None:
                param = f"{at}.tool_calls[{position}].function"
                raise InvalidRequest(f"`{param}` is required", param=param)


def _check_parts(parts: list[ContentPart], *, at: str) -> None:
    for index, part in enumerate(parts):
        match part.type:
            case "text":
                _check_field(part.text, str, at=f"{at}[{index}].text")
            case "image_url":
                _check_field(part.image_url, ImageUrl, at=f"{at}[{index}].image_url")
            case _:
                pass


def _check_field(value: Any, kind: type, *, at: str) -> None:
    if value is None:
        raise InvalidRequest(f"`{at}` is required", param=at)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, param = _located(str(error), within=at)
        raise InvalidRequest(message, param=param) from error


def _check_tools(tools: list[Tool]) -> None:
    for index, tool in enumerate(tools):
        if tool.type == "function" and tool.function is None:
            param = f"tools[{index}].function"
            raise InvalidRequest(f"`{param}` is required", param=param)
