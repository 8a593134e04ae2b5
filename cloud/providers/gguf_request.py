"""Turns a chat request into what llama.cpp understands, or says what it cannot do."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from cloud.wire.chat import ChatRequest, Message, ResponseFormat
from cloud.wire.errors import InvalidRequest

_MAX_STOPS = 16
"""Each is looked for after every token."""

_MAX_SCHEMA_BYTES = 65_536
_MAX_SCHEMA_ITEMS = 10_000
"""The sum of all array bounds of a schema: the runtime lays out every item before the first token, and
cannot be stopped meanwhile."""

_SEEDS = 2**32 - 1
"""The runtime's seeds are 32 bits wide, and the last of them means "any"."""

_CONTROL_TOKEN = re.compile(r"<\|(?=im_start\|>|im_end\|>|endoftext\|>)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What holds where the request is silent."""

    temperature: float
    repeat_penalty: float
    """Always applied: without it a model this small repeats itself until the limit."""
    max_output_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeRequest:
    document: bytes
    """llama.cpp's JSON, always streaming so that it can be stopped."""
    grammar: str | None
    """What `document` holds the answer to, in the runtime's own notation; always one JSON value."""


def runtime_request(request: ChatRequest, *, defaults: Defaults) -> RuntimeRequest:
    """The request in the runtime's terms.

    It is built field by field: the runtime has many fields of its own, and a caller who could set them
    would steer the process. Raises InvalidRequest naming the field that cannot be honoured.
    """
    _refuse_what_it_cannot_do(request)
    fields: dict[str, Any] = {
        "messages": [
            _message(message, at=f"messages[{index}]") for index, message in enumerate(request.messages)
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "temperature": defaults.temperature if request.temperature is None else request.temperature,
        "repeat_penalty": defaults.repeat_penalty,
        "max_tokens": request.output_limit or defaults.max_output_tokens,
    }
    if request.top_p is not None:
        fields["top_p"] = request.top_p
    if request.seed is not None:
        fields["seed"] = request.seed % _SEEDS
    if request.presence_penalty is not None:
        fields["presence_penalty"] = request.presence_penalty
    if request.frequency_penalty is not None:
        fields["frequency_penalty"] = request.frequency_penalty
    if request.stop:
        fields["stop"] = _stops(request.stop)
    if request.logit_bias:
        fields["logit_bias"] = [_bias(token, bias) for token, bias in request.logit_bias.items()]
    grammar = _grammar(request.response_format)
    if grammar is not None:
        fields["grammar"] = grammar
    return RuntimeRequest(document=msgspec.json.encode(fields), grammar=grammar)


def _refuse_what_it_cannot_do(request: ChatRequest) -> None:
    if request.n is not None and request.n > 1:
        raise InvalidRequest("`n`: this model gives one answer a request", param="n")
    if request.logprobs or request.top_logprobs:
        param = "logprobs" if request.logprobs else "top_logprobs"
        raise InvalidRequest(f"`{param}`: this model reports no log probabilities", param=param)
    if request.tools and request.tool_choice != "none":
        raise InvalidRequest("`tools`: this model cannot call tools", param="tools")


def _message(message: Message, *, at: str) -> dict[str, str]:
    if message.role in ("tool", "function"):
        raise InvalidRequest(
            f"`{at}.role`: this model cannot call tools or read their results", param=f"{at}.role"
        )
    if message.tool_calls:
        raise InvalidRequest(f"`{at}.tool_calls`: this model cannot call tools", param=f"{at}.tool_calls")
    if isinstance(message.content, list):
        for index, part in enumerate(message.content):
            if part.type != "text":
                param = f"{at}.content[{index}]"
                raise InvalidRequest(f"`{param}`: this model reads text only, not `{part.type}`", param=param)
    return {"role": template_role(message), "content": harmless(message.text)}


def template_role(message: Message) -> str:
    """What the template calls whoever speaks."""
    return "system" if message.role == "developer" else message.role


def harmless(text: str) -> str:
    """The text without control tokens.

    The template marks turns with them, and the runtime believes them wherever they stand: a message that
    spells one could speak in another role. A space inside makes it the text it claims to be.
    """
    return _CONTROL_TOKEN.sub("< |", text)


def _stops(stop: str | list[str]) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop
    if len(stops) > _MAX_STOPS:
        raise InvalidRequest(f"`stop`: at most {_MAX_STOPS} sequences", param="stop")
    return stops


def _bias(token: str, bias: float) -> tuple[int, float]:
    if not (token.isascii() and token.isdigit() and len(token) < 10 and -100 <= bias <= 100):
        raise InvalidRequest("`logit_bias` maps token ids to numbers from -100 to 100", param="logit_bias")
    return int(token), bias


def _grammar(wanted: ResponseFormat | None) -> str | None:
    # Not the runtime's own `response_format`: that one lets a Markdown fence through, takes what it cannot
    # express for "any string", and prints the schema on stderr when it fails.
    if wanted is None or wanted.type == "text":
        return None
    schema = _schema(wanted)
    # Without line breaks between the values: left the choice, a model this small indents until the limit.
    compact = msgspec.json.encode({**schema, "x-guidance": {"whitespace_flexible": False}})
    if len(compact) > _MAX_SCHEMA_BYTES or _item_bounds(schema) > _MAX_SCHEMA_ITEMS:
        raise InvalidRequest(
            "`response_format`: this schema is too large for this model", param="response_format"
        )
    return f"%llguidance {{}}\nstart: %json {compact.decode()}"


def _schema(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.type != "json_schema":
        raise InvalidRequest(
            "`response_format.type` must be `text`, `json_object` or `json_schema`",
            param="response_format.type",
        )
    schema = (wanted.json_schema or {}).get("schema")
    if not isinstance(schema, dict):
        raise InvalidRequest(
            "`response_format.json_schema.schema` must be a JSON schema",
            param="response_format.json_schema.schema",
        )
    return schema


def _item_bounds(schema: Any) -> float:
    total = 0.0
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            bounds = (value.get("minItems"), value.get("maxItems"))
            total += sum(bound for bound in bounds if isinstance(bound, int | float))
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return total
