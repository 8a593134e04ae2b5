"""Any request the API accepts goes on equal in meaning; any other is refused by field."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.wire.chat import ChatDocument, Message, parse
from cloud.wire.errors import InvalidRequest
from tests.support.json_values import OBJECTS, TEXT, VALUES, nested, requests, same

USER = {"role": "user", "content": "hi"}


def read(document: Any, *, max_depth: int = 64) -> ChatDocument:
    return parse(json.dumps(document).encode(), max_depth=max_depth)


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [USER], **fields}


def refusal(document: Any, *, max_depth: int = 64) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(document, max_depth=max_depth)
    return caught.value


@given(requests(), st.booleans())
def test_what_is_accepted_is_sent_on_equal_in_meaning(document: dict[str, Any], in_ascii: bool) -> None:
    sent = json.dumps(document, ensure_ascii=in_ascii).encode()
    assert same(json.loads(parse(sent, max_depth=64).body), document)


@given(requests(), TEXT.filter(bool))
def test_another_models_name_changes_nothing_else(document: dict[str, Any], model: str) -> None:
    renamed = json.loads(read(document).with_model(model))
    assert same(renamed, document | {"model": model})


def test_the_same_models_name_is_no_work() -> None:
    document = read(ask())
    assert document.with_model("auto") is document.body


@given(requests())
def test_what_is_sent_on_is_accepted_again_as_the_same_request(document: dict[str, Any]) -> None:
    once = read(document)
    assert parse(once.body, max_depth=64) == once


def accepted_or_refused(body: bytes) -> None:
    with suppress(InvalidRequest):
        parse(body, max_depth=64)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(body: bytes) -> None:
    accepted_or_refused(body)


@given(VALUES)
def test_any_json_parses_or_is_refused(value: Any) -> None:
    accepted_or_refused(json.dumps(value).encode())


@given(requests(), st.data())
def test_an_accepted_request_with_one_field_gone_wrong_parses_or_is_refused(
    document: dict[str, Any], data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(document)))
    accepted_or_refused(json.dumps(document | {field: data.draw(VALUES)}).encode())


@given(requests(), st.data())
def test_an_accepted_request_with_bytes_gone_wrong_parses_or_is_refused(
    document: dict[str, Any], data: st.DataObject
) -> None:
    body = json.dumps(document).encode()
    start = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.integers(start, min(len(body), start + 9)))
    accepted_or_refused(body[:start] + data.draw(st.binary(max_size=5)) + body[stop:])


@given(OBJECTS)
def test_parts_of_types_nobody_knows_pass_untouched(fields: dict[str, Any]) -> None:
    part = {key: value for key, value in fields.items() if key not in ("text", "image_url")}
    part["type"] = "hologram"
    sent = ask(messages=[{"role": "user", "content": [part]}])
    assert same(json.loads(read(sent).body), sent)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "https://example.com/cat.png"},
        {"type": "text_ref", "text": {"id": 7}},
        {"type": "hologram", "text": None, "image_url": None},
    ],
)
def test_a_type_nobody_knows_may_use_our_names_its_own_way(part: dict[str, Any]) -> None:
    sent = ask(messages=[{"role": "user", "content": [part]}])
    assert json.loads(read(sent).body) == sent


FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("no model", {"messages": [USER]}, "model"),
    ("an empty model", ask(model=""), "model"),
    ("a model without end", ask(model="x" * 257), "model"),
    ("a null model", ask(model=None), "model"),
    ("no messages", {"model": "auto"}, "messages"),
    ("an empty list of messages", ask(messages=[]), "messages"),
    ("messages in an object", ask(messages={"0": USER}), "messages"),
    ("a message that is text", ask(messages=["hi"]), "messages[0]"),
    ("a second message that is null", ask(messages=[USER, None]), "messages[1]"),
    ("no role", ask(messages=[{"content": "x"}]), "messages[0].role"),
    ("an unknown role", ask(messages=[{"role": "alien", "content": "x"}]), "messages[0].role"),
    ("a user's null content", ask(messages=[{"role": "user", "content": None}]), "messages[0].content"),
    ("a system message without content", ask(messages=[{"role": "system"}]), "messages[0].content"),
    ("a number for content", ask(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
    (
        "a part without a type",
        ask(messages=[{"role": "user", "content": [{"text": "x"}]}]),
        "messages[0].content[0].type",
    ),
    (
        "a text part without text",
        ask(messages=[{"role": "user", "content": [{"type": "x"}, {"type": "text"}]}]),
        "messages[0].content[1].text",
    ),
    (
        "a text part with a number for text",
        ask(messages=[{"role": "user", "content": [{"type": "text", "text": 5}]}]),
        "messages[0].content[0].text",
    ),
    (
        "an image part without an image",
        ask(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
        "messages[0].content[0].image_url",
    ),
    (
        "an image part with a bare address",
        ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}]),
        "messages[0].content[0].image_url",
    ),
    (
        "an image without an address",
        ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        "messages[0].content[0].image_url.url",
    ),
    (
        "a tool result without its call",
        ask(messages=[{"role": "tool", "content": "x"}]),
        "messages[0].tool_call_id",
    ),
    (
        "a tool call without a function",
        ask(messages=[{"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}]),
        "messages[0].tool_calls[0].function",
    ),
    (
        "a tool call without an id",
        ask(messages=[{"role": "assistant", "tool_calls": [{"type": "x"}]}]),
        "messages[0].tool_calls[0].id",
    ),
    ("a stream in words", ask(stream="yes"), "stream"),
    ("stream options in words", ask(stream_options="usage"), "stream_options"),
    ("a wrong stream option", ask(stream_options={"include_usage": 1}), "stream_options.include_usage"),
    ("a temperature too high", ask(temperature=2.1), "temperature"),
    ("a temperature in words", ask(temperature="hot"), "temperature"),
    ("a negative top_p", ask(top_p=-0.1), "top_p"),
    ("no choices", ask(n=0), "n"),
    ("too many choices", ask(n=129), "n"),
    ("half a choice", ask(n=1.5), "n"),
    ("no tokens", ask(max_tokens=0), "max_tokens"),
    ("no completion tokens", ask(max_completion_tokens=0), "max_completion_tokens"),
    ("a number for stop", ask(stop=3), "stop"),
    ("a number among stops", ask(stop=["a", 3]), "stop[1]"),
    ("a seed in words", ask(seed="x"), "seed"),
    ("a penalty too high", ask(presence_penalty=3), "presence_penalty"),
    ("a penalty too low", ask(frequency_penalty=-3), "frequency_penalty"),
    ("a bias in words", ask(logit_bias={"50256": "much"}), "logit_bias[...]"),
    ("a number for the user", ask(user=7), "user"),
    ("a tool that is text", ask(tools=["x"]), "tools[0]"),
    ("a tool without a type", ask(tools=[{}]), "tools[0].type"),
    ("a tool without a function", ask(tools=[{"type": "function"}]), "tools[0].function"),
    (
        "a function without a name",
        ask(tools=[{"type": "function", "function": {}}]),
        "tools[0].function.name",
    ),
    ("a number for the tool's choice", ask(tool_choice=1), "tool_choice"),
    ("a format without a type", ask(response_format={}), "response_format.type"),
    ("nesting too deep", ask(metadata=nested(80)), "metadata"),
    ("a NUL in a text", ask(messages=[{"role": "user", "content": "a\0"}]), "messages[0].content"),
    ("a NUL in a field nobody knows", ask(x={"y": ["\0"]}), "x.y[0]"),
    ("a NUL in a key", ask(x={"\0": 1}), "x"),
]


@pytest.mark.parametrize(
    ("document", "param"), [case[1:] for case in FIELDS], ids=[case[0] for case in FIELDS]
)
def test_an_error_names_the_field(document: dict[str, Any], param: str) -> None:
    error = refusal(document)
    assert error.param == param
    assert f"`{param}`" in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"model":"auto","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"auto","x":NaN,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"auto","x":1e400,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"auto","x":' + b"9" * 5000 + b',"messages":[{"role":"user","content":"x"}]}',
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b'{"model":"auto","messages":[{"role":"user","content":"x"}]}x',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body, max_depth=64)


@pytest.mark.parametrize("max_depth", [4, 64, 500])
def test_nesting_is_allowed_to_the_limit_and_no_further(max_depth: int) -> None:
    deepest = ask(x=nested(max_depth - 1))
    assert json.loads(read(deepest, max_depth=max_depth).body) == deepest
    assert refusal(ask(x=nested(max_depth)), max_depth=max_depth).param == "x"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (b"[" * 80 + b"]" * 80, "the body is nested more than 63 levels deep"),
        (b'"\\u0000"', "the body holds a NUL character"),
    ],
)
def test_a_value_that_only_a_key_given_twice_hides_is_still_refused(value: bytes, complaint: str) -> None:
    body = b'{"x":%s,"x":1,"model":"auto","messages":[{"role":"user","content":"hi"}]}' % value
    with pytest.raises(InvalidRequest) as caught:
        parse(body, max_depth=64)
    assert (caught.value.message, caught.value.param) == (complaint, None)


def test_brackets_and_quotes_inside_texts_are_no_nesting() -> None:
    sent = ask(x=['["{' * 50, '\\"[' * 50, "\\" * 51, "[" * 99])
    assert json.loads(read(sent).body) == sent


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    wide = ask(x=[[] for _ in range(1000)])
    assert json.loads(read(wide).body) == wide


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    sent = ask(x="\\u0000")
    assert json.loads(read(sent).body) == sent


@pytest.mark.parametrize("again", ['"other"', "3", "null"])
def test_of_a_key_given_twice_what_was_checked_is_what_is_sent_on(again: str) -> None:
    body = f'{{"model":{again},"messages":[],"model":"auto","messages":[{{"role":"user","content":"x"}}]}}'
    document = parse(body.encode(), max_depth=64)
    pairs = json.loads(document.body, object_pairs_hook=list)
    assert [key for key, _ in pairs] == ["model", "messages"]
    assert dict(pairs)["model"] == document.request.model == "auto"


def test_of_a_key_given_twice_the_last_is_what_is_checked() -> None:
    body = b'{"model":"auto","messages":[{"role":"user","content":"x"}],"temperature":1,"temperature":9}'
    with pytest.raises(InvalidRequest, match="temperature"):
        parse(body, max_depth=64)


def test_a_key_in_another_case_is_another_key() -> None:
    sent = ask(Model="other", TEMPERATURE=9)
    document = read(sent)
    assert document.request.model == "auto"
    assert document.request.temperature is None
    assert json.loads(document.body) == sent


def test_a_known_field_reads_the_same_when_it_is_null() -> None:
    nulls = dict.fromkeys(["stream", "temperature", "n", "max_tokens", "stop", "tools", "response_format"])
    assert read(ask(**nulls)).request == read(ask()).request


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({}, None), ({"max_tokens": 5}, 5), ({"max_completion_tokens": 3, "max_tokens": 5}, 3)],
)
def test_the_newer_name_of_the_output_limit_wins(fields: dict[str, int], limit: int | None) -> None:
    assert read(ask(**fields)).request.output_limit == limit


@pytest.mark.parametrize(
    ("fields", "streams", "with_usage"),
    [
        ({}, False, False),
        ({"stream": False}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": None}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
    ],
)
def test_a_stream_is_asked_for_in_so_many_words(
    fields: dict[str, Any], streams: bool, with_usage: bool
) -> None:
    request = read(ask(**fields)).request
    assert (request.streams, request.streams_usage) == (streams, with_usage)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hi", "hi"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "b"}], "b"),
        ([{"type": "hologram"}], ""),
    ],
)
def test_a_messages_text_is_that_of_its_text_parts(content: Any, text: str) -> None:
    message: Message = read(ask(messages=[{"role": "assistant", "content": content}])).request.messages[0]
    assert message.text == text
