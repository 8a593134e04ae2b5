"""The script in place of a model: the same request, the same answer, at the pace it was told."""

import asyncio
from typing import Any

import msgspec
import pytest

from cloud.domain import Call
from cloud.providers.scripted import ScriptedProvider
from cloud.wire.answers import Chunk, Completion, collect
from cloud.wire.errors import DeadlineExceeded
from tests.support.cloud_calls import call

pytestmark = pytest.mark.anyio

ECHO = ScriptedProvider(reply="You said: {text}")


async def whole(provider: ScriptedProvider, asked: Call) -> Completion:
    (document,) = [document async for document in provider.complete(asked)]
    return msgspec.json.decode(document, type=Completion)


async def chunks(provider: ScriptedProvider, asked: Call) -> list[Chunk]:
    return [msgspec.json.decode(document, type=Chunk) async for document in provider.complete(asked)]


async def test_the_reply_quotes_the_last_user_message() -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": "last"},
        {"role": "assistant", "content": "well"},
    ]
    answer = await whole(ECHO, call(messages=messages))
    assert answer.choices[0].message.content == "You said: last"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.id) == ("ours", "chatcmpl-req_1")


async def test_the_same_request_has_the_same_answer_streamed_or_not() -> None:
    plain = await whole(ECHO, call("one two"))
    assert (await whole(ECHO, call("one two"))).choices == plain.choices
    streamed = collect(await chunks(ECHO, call("one two", stream=True)))
    assert streamed.choices == plain.choices


async def test_one_word_is_one_token_and_one_chunk() -> None:
    pieces = await chunks(ECHO, call("one two", stream=True))
    assert [piece.choices[0].delta.content for piece in pieces[1:-1]] == ["You", " said:", " one", " two"]
    assert pieces[0].choices[0].delta.role == "assistant"


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({"max_tokens": 1}, "You", "length"),
        ({"max_completion_tokens": 2}, "You said:", "length"),
        ({"max_tokens": 4}, "You said: one two", "stop"),
        ({"max_tokens": 99}, "You said: one two", "stop"),
    ],
)
async def test_a_limit_cuts_the_reply_and_says_so(fields: dict[str, Any], text: str, reason: str) -> None:
    answer = await whole(ECHO, call("one two", **fields))
    assert answer.choices[0].message.content == text
    assert answer.choices[0].finish_reason == reason
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(text.split())


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}])
async def test_a_stream_counts_only_when_asked(options: dict[str, Any]) -> None:
    pieces = await chunks(ECHO, call(stream=True, **options))
    assert all(piece.usage is msgspec.UNSET for piece in pieces)


async def test_usage_is_the_last_chunk_of_a_stream_that_asks_for_it() -> None:
    pieces = await chunks(ECHO, call("one two", stream=True, stream_options={"include_usage": True}))
    assert pieces[-1].choices == []
    assert msgspec.to_builtins(pieces[-1].usage) == {
        "prompt_tokens": 2,
        "completion_tokens": 4,
        "total_tokens": 6,
    }


async def test_the_pace_is_kept() -> None:
    provider = ScriptedProvider(reply="a b c", first_token_ms=60, tokens_per_s=20)
    clock = asyncio.get_running_loop().time
    started = clock()
    stamps = [clock() - started async for _ in provider.complete(call(stream=True))]
    assert stamps[0] > 0.05
    assert stamps[3] > 0.05 + 2 * 0.04


@pytest.mark.parametrize("stream", [False, True])
async def test_a_deadline_that_would_pass_ends_the_answer_in_an_error_on_time(stream: bool) -> None:
    provider = ScriptedProvider(reply="a b c", tokens_per_s=1)
    clock = asyncio.get_running_loop().time
    asked = call(stream=stream, within_s=0.1)
    with pytest.raises(DeadlineExceeded):
        await chunks(provider, asked) if stream else await whole(provider, asked)
    assert -0.01 < clock() - asked.deadline < 0.8


async def test_a_script_is_always_ready() -> None:
    await ECHO.check()


async def test_where_tools_are_offered_its_steps_come_first_and_then_the_reply_with_what_was_found() -> None:
    provider = ScriptedProvider(reply="It is {found}.", steps=[("calculate", {"expression": "6*7"})])
    tools = [{"type": "function", "function": {"name": "calculate"}}]
    (first,) = [document async for document in provider.complete(call("6*7", tools=tools))]
    choice = msgspec.json.decode(first)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"expression":"6*7"}'
    asked = [
        {"role": "user", "content": "6*7"},
        choice["message"],
        {"role": "tool", "tool_call_id": "call_0", "content": "42"},
    ]
    (last,) = [document async for document in provider.complete(call("6*7", tools=tools, messages=asked))]
    assert msgspec.json.decode(last)["choices"][0]["message"]["content"] == "It is 42."
    (plain,) = [document async for document in provider.complete(call("6*7"))]
    assert msgspec.json.decode(plain)["choices"][0]["message"]["content"] == "It is ."
