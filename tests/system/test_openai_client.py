"""The official client of the API we speak, against a running edge."""

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.stack import openai_provider, running
from tests.support.upstream import answers, by_request, chunk, completion, fake_upstream, streams

pytestmark = pytest.mark.anyio


async def test_a_plain_question_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.openai() as client:
        answer = await client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hello there"}]
        )
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


async def test_a_stream_arrives_in_pieces_and_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.openai() as client:
        stream = await client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "one two three"}], stream=True
        )
        pieces = [piece async for piece in stream]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "You said: one two three"
    assert len(pieces) > 5
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert all(piece.usage is None for piece in pieces)


async def test_usage_ends_a_stream_that_asks_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.openai() as client:
        stream = await client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "count me"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        pieces = [piece async for piece in stream]
    assert pieces[-1].choices == []
    assert pieces[-1].usage is not None
    assert (pieces[-1].usage.prompt_tokens, pieces[-1].usage.completion_tokens) == (2, 4)


async def test_models_are_listed(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.openai() as client:
        assert [model.id async for model in client.models.list()] == ["echo"]


async def test_a_tool_call_comes_back_to_the_client(tmp_path: Path) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
    }
    whole = completion()
    whole["choices"][0] |= {
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    events = [
        chunk()
        | {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}, "finish_reason": None}]},
        chunk(finish_reason="tool_calls"),
    ]
    async with (
        fake_upstream(by_request(answers(whole), streams(*events))) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.openai() as client,
    ):
        # Untyped, as a user's own dictionaries are.
        request: Any = {
            "model": "m",
            "messages": [{"role": "user", "content": "Weather in Rome?"}],
            "tools": [
                {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
            ],
            "tool_choice": "required",
        }
        plain = await client.chat.completions.create(**request)
        pieces = [piece async for piece in await client.chat.completions.create(**request, stream=True)]
    assert plain.choices[0].message.tool_calls[0].function.arguments == '{"city":"Rome"}'
    assert pieces[0].choices[0].delta.tool_calls[0].function.name == "weather"
    assert pieces[-1].choices[0].finish_reason == "tool_calls"
    assert upstream.received[0].json == request


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_a_providers_error_keeps_its_class_and_message(
    tmp_path: Path, status: int, expected: type[openai.APIStatusError]
) -> None:
    error = {"error": {"message": "because of reasons", "type": "t", "param": "p", "code": "c", "extra": 1}}
    async with (
        fake_upstream(answers(error, status=status)) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.openai() as client,
    ):
        with pytest.raises(expected) as caught:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert caught.value.body == error["error"]
    assert caught.value.request_id


async def test_a_wrong_key_is_an_authentication_error(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.openai() as client:
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="ws-000000000000-" + "x" * 43).models.list()


async def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.openai() as client:
        with pytest.raises(openai.NotFoundError, match="known models: auto, echo") as caught:
            await client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"
