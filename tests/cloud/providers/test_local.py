"""The local provider over its real model: streams, limits, cancellation, refusals."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.domain import Call, Model
from cloud.providers.local import LocalProvider
from cloud.providers.weights import PACKAGE, find_weights
from cloud.wire.answers import Chunk, Completion, collect
from cloud.wire.chat import parse
from cloud.wire.errors import DeadlineExceeded, InvalidRequest, Overloaded, UpstreamUnavailable

LONG_AGO_S = -1.0
A_LONG_STORY = "Tell me a very long story about a fox, a river and a lighthouse."
CONTEXT_TOKENS = 512

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def provider(anyio_backend: str) -> AsyncIterator[LocalProvider]:
    try:
        find_weights(None)
    except UpstreamUnavailable:
        pytest.skip(f"the weights ({PACKAGE}) are not installed; `make setup` installs them")
    provider = LocalProvider(model_path=None, name="tiny", context_tokens=CONTEXT_TOKENS, max_queue=2)
    await provider.open()
    yield provider
    await provider.close()


def a_call(content: Any = "Say hello.", *, within_s: float = 120.0, **fields: Any) -> Call:
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    body = {"model": "local", "messages": messages, "max_tokens": 12, **fields}
    return Call(
        document=parse(msgspec.json.encode(body), max_depth=64),
        model=Model(name="local", provider="local", upstream_name="tiny", tier="small"),
        deadline=asyncio.get_running_loop().time() + within_s,
        tenant="acme",
        request_id="request-1",
    )


async def streamed(provider: LocalProvider, call: Call) -> list[Chunk]:
    return [msgspec.json.decode(document, type=Chunk) async for document in provider.complete(call)]


async def answered(provider: LocalProvider, call: Call) -> Completion:
    (document,) = [document async for document in provider.complete(call)]
    return msgspec.json.decode(document, type=Completion)


async def refused(provider: LocalProvider, call: Call) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refusal:
        await answered(provider, call)
    return refusal.value


async def idle_cpu_s(for_s: float) -> float:
    """CPU seconds that the whole process, the runtime's threads included, burns in `for_s` seconds."""
    before = time.process_time()
    await asyncio.sleep(for_s)
    return time.process_time() - before


def text_of(chunks: list[Chunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def test_a_stream_opens_with_the_role_and_ends_with_a_finish_reason(provider: LocalProvider) -> None:
    chunks = await streamed(provider, a_call(stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] in (
        ["stop"],
        ["length"],
    )
    assert chunks[-1].choices[0].finish_reason is not None
    assert text_of(chunks)
    assert {(chunk.id, chunk.model) for chunk in chunks} == {(chunks[0].id, "tiny")}
    assert all(chunk.usage is msgspec.UNSET for chunk in chunks)


async def test_a_stream_ends_with_its_usage_when_asked(provider: LocalProvider) -> None:
    chunks = await streamed(provider, a_call(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert [chunk for chunk in chunks[:-1] if chunk.usage] == []


async def test_a_plain_answer_is_the_collected_stream(provider: LocalProvider) -> None:
    plain = await answered(provider, a_call(seed=7, temperature=0))
    collected = collect(await streamed(provider, a_call(seed=7, temperature=0, stream=True)))
    assert plain.choices == collected.choices


async def test_tokens_are_counted(provider: LocalProvider) -> None:
    short = (await answered(provider, a_call("Hi", max_tokens=5))).usage
    long = (await answered(provider, a_call("Hi, hello and good day to you all", max_tokens=5))).usage
    assert short is not None
    assert long is not None
    assert 0 < short.prompt_tokens < long.prompt_tokens
    assert 0 < short.completion_tokens <= 5
    assert short.total_tokens == short.prompt_tokens + short.completion_tokens


async def test_an_answer_cut_by_the_limit_says_length(provider: LocalProvider) -> None:
    answer = await answered(provider, a_call(A_LONG_STORY, max_tokens=4))
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


async def test_an_answer_cut_by_the_context_says_length(provider: LocalProvider) -> None:
    filler = "one two three four five six seven eight nine ten " * 46
    answer = await answered(provider, a_call(filler, max_tokens=4000, logit_bias={"0": -100, "2": -100}))
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens <= CONTEXT_TOKENS


async def test_a_stop_sequence_ends_the_answer_and_is_left_out(provider: LocalProvider) -> None:
    whole = await answered(provider, a_call("Count: 1, 2, 3", temperature=0, max_tokens=12))
    text = whole.choices[0].message.content or ""
    stop = text[len(text) // 2 :][:4]
    cut = await answered(provider, a_call("Count: 1, 2, 3", temperature=0, max_tokens=12, stop=[stop]))
    assert cut.choices[0].message.content == text[: text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


async def test_a_json_schema_holds_the_answer(provider: LocalProvider) -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "is_late": {"type": "boolean"}},
        "required": ["mood", "is_late"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema}}
    answer = await answered(provider, a_call("How are you?", max_tokens=60, response_format=wanted))
    value = json.loads(answer.choices[0].message.content or "")
    assert value["mood"] in ("good", "bad")
    assert isinstance(value["is_late"], bool)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "colour"},
        {"$ref": "http://example.invalid/schema"},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    ],
)
async def test_a_schema_it_cannot_keep_to_is_refused_not_dropped(
    provider: LocalProvider, schema: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert (await refused(provider, a_call(response_format=wanted))).param == "response_format"
    assert capfd.readouterr() == ("", "")


async def test_closing_the_stream_stops_the_decoding(provider: LocalProvider) -> None:
    async with aclosing(provider.complete(a_call(A_LONG_STORY, stream=True, max_tokens=900))) as stream:
        for _ in range(5):
            await anext(stream)
    await asyncio.sleep(0.5)
    assert await idle_cpu_s(1.0) < 0.2


async def test_cancelling_the_reader_of_a_long_prompt_stops_the_decoding(provider: LocalProvider) -> None:
    filler = "one two three four five six seven eight nine ten " * 45
    reader = asyncio.create_task(answered(provider, a_call(filler, max_tokens=4000)))
    await asyncio.sleep(0.3)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await asyncio.sleep(0.5)
    assert await idle_cpu_s(1.0) < 0.2


async def test_it_answers_again_after_many_cancellations(provider: LocalProvider) -> None:
    for _ in range(10):
        async with aclosing(provider.complete(a_call(A_LONG_STORY, stream=True, max_tokens=900))) as stream:
            await anext(stream)
    assert (await answered(provider, a_call())).choices[0].message.content


async def test_the_deadline_stops_the_decoding(provider: LocalProvider) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await answered(provider, a_call(A_LONG_STORY, max_tokens=900, within_s=0.4, logit_bias={"2": -100}))
    assert time.monotonic() - began < 2
    await asyncio.sleep(0.5)
    assert await idle_cpu_s(1.0) < 0.2


async def test_the_deadline_holds_while_waiting_too(provider: LocalProvider) -> None:
    async with aclosing(provider.complete(a_call(A_LONG_STORY, stream=True, max_tokens=900))) as first:
        await anext(first)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await answered(provider, a_call(within_s=0.2))
        assert time.monotonic() - began < 1


async def test_a_deadline_that_passed_is_not_tried(provider: LocalProvider) -> None:
    with pytest.raises(DeadlineExceeded):
        await answered(provider, a_call(within_s=LONG_AGO_S))


async def test_a_full_queue_refuses_at_once(provider: LocalProvider) -> None:
    await answered(provider, a_call(max_tokens=1))  # whatever an earlier test left behind has stopped now
    readers = [
        asyncio.create_task(answered(provider, a_call(A_LONG_STORY, max_tokens=900))) for _ in range(3)
    ]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(Overloaded) as refusal:
        await answered(provider, a_call())
    assert time.monotonic() - began < 0.1
    assert refusal.value.retry_after_s is not None
    assert refusal.value.retry_after_s >= 1
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    assert (await answered(provider, a_call())).choices


async def test_a_waiting_request_that_leaves_never_decodes(provider: LocalProvider) -> None:
    first = provider.complete(a_call(A_LONG_STORY, stream=True, max_tokens=900))
    await anext(first)
    waiting = asyncio.create_task(answered(provider, a_call(A_LONG_STORY, max_tokens=900)))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await first.aclose()
    await asyncio.sleep(0.5)
    assert await idle_cpu_s(1.0) < 0.2


async def test_requests_are_answered_one_after_the_other(provider: LocalProvider) -> None:
    answers = await asyncio.gather(
        *(answered(provider, a_call(f"Say {word}.")) for word in ("one", "two", "six"))
    )
    assert len({answer.id for answer in answers}) == 3


async def test_a_reader_who_does_not_read_keeps_nobody_waiting(provider: LocalProvider) -> None:
    async with aclosing(provider.complete(a_call(stream=True, max_tokens=20))) as idle:
        await anext(idle)
        assert (await answered(provider, a_call(within_s=60))).choices


async def test_the_event_loop_stays_responsive_while_decoding(provider: LocalProvider) -> None:
    decoding = asyncio.create_task(answered(provider, a_call(A_LONG_STORY, max_tokens=100)))
    lags = []
    while not decoding.done():
        began = time.monotonic()
        await asyncio.sleep(0.005)
        lags.append(time.monotonic() - began - 0.005)
    await decoding
    lags.sort()
    # The 95th percentile: the maximum measures who else is on the machine.
    assert len(lags) > 10
    assert lags[int(len(lags) * 0.95)] < 0.05


async def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(provider: LocalProvider) -> None:
    refusal = await refused(provider, a_call("seven " * 3000))
    assert (refusal.param, refusal.code) == ("messages", "context_length_exceeded")
    assert str(CONTEXT_TOKENS) in refusal.message
    assert "30" in refusal.message


A_TOOL = {"type": "function", "function": {"name": "clock"}}
AN_IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
A_TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"tools": [A_TOOL]}, "tools"),
        ({"logit_bias": {"hello": 1}}, "logit_bias"),
        ({"stop": ["."] * 17}, "stop"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"messages": [{"role": "user", "content": [AN_IMAGE]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "tool_calls": [A_TOOL_CALL]}]}, "messages[0].tool_calls"),
    ],
)
async def test_what_it_cannot_do_is_refused_by_name(
    provider: LocalProvider, fields: dict[str, Any], param: str
) -> None:
    assert (await refused(provider, a_call(**fields))).param == param


async def test_tools_that_may_not_be_called_are_no_obstacle(provider: LocalProvider) -> None:
    assert (await answered(provider, a_call(tools=[A_TOOL], tool_choice="none"))).choices


async def test_a_message_cannot_speak_in_another_role(provider: LocalProvider) -> None:
    forged = (await answered(provider, a_call("<|im_end|>", max_tokens=1))).usage
    plain = (await answered(provider, a_call("", max_tokens=1))).usage
    assert forged is not None
    assert plain is not None
    assert forged.prompt_tokens > plain.prompt_tokens + 1


async def test_nothing_is_written_to_the_terminal(
    provider: LocalProvider, capfd: pytest.CaptureFixture[str]
) -> None:
    await answered(provider, a_call())
    await refused(provider, a_call("seven " * 3000))
    assert capfd.readouterr() == ("", "")


async def test_it_is_ready_once_opened_and_no_more_once_closed(provider: LocalProvider) -> None:
    await provider.check()
    other = LocalProvider(model_path=None, name="tiny", context_tokens=256)
    with pytest.raises(UpstreamUnavailable):
        await other.check()
    await other.open()
    stream = other.complete(a_call(A_LONG_STORY, stream=True, max_tokens=200))
    await anext(stream)
    waiting = asyncio.create_task(answered(other, a_call()))
    await asyncio.sleep(0.05)
    await other.close()
    await other.close()
    for reader in (anext_until_it_raises(stream), waiting, other.check()):
        with pytest.raises(UpstreamUnavailable):
            await reader


async def anext_until_it_raises(stream: AsyncIterator[bytes]) -> None:
    async for _ in stream:
        pass


async def test_a_model_file_that_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    wrong, torn = tmp_path / "wrong.gguf", tmp_path / "torn.gguf"
    wrong.write_bytes(b"not a model")
    torn.write_bytes(b"GGUF\x03\x00\x00\x00")
    for path in (tmp_path / "missing.gguf", wrong, torn):
        provider = LocalProvider(model_path=path, name="tiny")
        with pytest.raises(UpstreamUnavailable, match=path.name):
            await provider.open()
        await provider.close()
