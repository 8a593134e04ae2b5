"""A stream and the whole answer it amounts to."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.wire.answers import (
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    FunctionCallDelta,
    Ready,
    ToolCallDelta,
    Usage,
    as_chunks,
    collect,
    outcome_of,
    usage_of,
)
from cloud.wire.errors import UpstreamBroken
from tests.support.json_values import KEYS, TEXT, VALUES, same
from tests.support.upstream import completion


def chunk(*choices: ChunkChoice, usage: Usage | msgspec.UnsetType | None = msgspec.UNSET) -> Chunk:
    return Chunk(id="c-1", created=7, model="m", choices=list(choices), usage=usage)


def says(text: str, *, index: int = 0) -> ChunkChoice:
    return ChunkChoice(index=index, delta=Delta(content=text))


def ends(reason: str = "stop", *, index: int = 0) -> ChunkChoice:
    return ChunkChoice(index=index, finish_reason=reason)


def calls(
    at: int, *, id: str | None = None, name: str | None = None, arguments: str | None = None
) -> ChunkChoice:
    function = FunctionCallDelta(name=name, arguments=arguments)
    return ChunkChoice(delta=Delta(tool_calls=[ToolCallDelta(index=at, id=id, function=function)]))


def test_the_pieces_of_a_text_are_joined() -> None:
    opening = ChunkChoice(delta=Delta(role="assistant", content=""))
    whole = collect([chunk(opening), chunk(says("Hel")), chunk(says("lo")), chunk(ends())])
    assert (whole.id, whole.created, whole.model, whole.usage) == ("c-1", 7, "m", None)
    assert whole.choices[0].message.content == "Hello"
    assert whole.choices[0].message.tool_calls is msgspec.UNSET
    assert whole.choices[0].finish_reason == "stop"


def test_several_choices_are_kept_apart_and_in_order() -> None:
    whole = collect(
        [
            chunk(says("b", index=1), says("a")),
            chunk(says("B", index=1)),
            chunk(ends("length", index=1)),
            chunk(says("A"), ends()),
        ]
    )
    told = [(choice.index, choice.message.content, choice.finish_reason) for choice in whole.choices]
    assert told == [(0, "aA", "stop"), (1, "bB", "length")]


def test_the_pieces_of_tool_calls_are_joined_by_their_place() -> None:
    whole = collect(
        [
            chunk(calls(1, id="call_b", name="time", arguments="")),
            chunk(calls(0, id="call_a", name="weather", arguments='{"ci')),
            chunk(calls(0, arguments='ty":1}')),
            chunk(calls(1, arguments="{}")),
            chunk(ends("tool_calls")),
        ]
    )
    message = whole.choices[0].message
    assert message.content is None
    assert json.loads(msgspec.json.encode(message.tool_calls)) == [
        {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city":1}'}},
        {"id": "call_b", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]


def test_the_last_usage_told_is_the_answers() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    assert collect([chunk(says("x"), usage=None), chunk(ends()), chunk(usage=usage)]).usage == usage


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk()],
        [chunk(usage=Usage())],
        [chunk(says("Hel"))],
        [chunk(says("a"), says("b", index=1)), chunk(ends())],
        [chunk(calls(0, id="c", name="f", arguments="{"))],
    ],
    ids=["nothing", "no choice", "usage alone", "no end", "one of two ended", "half a tool call"],
)
def test_half_an_answer_is_not_an_answer(chunks: list[Chunk]) -> None:
    with pytest.raises(UpstreamBroken, match="before the answer was complete"):
        collect(chunks)


CALL = st.fixed_dictionaries(
    {
        "id": TEXT.filter(bool),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT}),
    }
)
MESSAGE = st.fixed_dictionaries({"role": st.just("assistant"), "content": TEXT}) | st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.none() | TEXT,
        "tool_calls": st.lists(CALL, min_size=1, max_size=3),
    }
)
COUNT = st.integers(0, 2**40)


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    messages = draw(st.lists(MESSAGE, min_size=1, max_size=3))
    usage = {name: draw(COUNT) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    return {
        "id": draw(TEXT),
        "object": "chat.completion",
        "created": draw(COUNT),
        "model": draw(TEXT),
        "choices": [
            {"index": index, "message": message, "finish_reason": draw(st.sampled_from(["stop", "length"]))}
            for index, message in enumerate(messages)
        ],
        "usage": draw(st.none() | st.just(usage)),
    }


@given(completions())
def test_an_answer_told_as_a_stream_and_collected_is_the_same_answer(answer: dict[str, Any]) -> None:
    events = as_chunks(json.dumps(answer).encode(), with_usage=True)
    told = collect([msgspec.json.decode(event, type=Chunk) for event in events])
    assert told == msgspec.json.decode(json.dumps(answer), type=Completion)


@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_fields_nobody_knows_keep_their_place_in_a_replayed_stream(extras: dict[str, Any]) -> None:
    own = {key: value for key, value in extras.items() if key not in completion()}
    answer = completion("hi", **own)
    answer["choices"][0]["message"]["annotations"] = extras
    answer["choices"][0]["logprobs"] = extras
    first, *_ = [json.loads(event) for event in as_chunks(json.dumps(answer).encode(), with_usage=False)]
    assert same({key: first[key] for key in own}, own)
    assert same(first["choices"][0]["delta"]["annotations"], extras)
    assert same(first["choices"][0]["logprobs"], extras)


@pytest.mark.parametrize("with_usage", [False, True])
def test_a_replayed_stream_ends_with_usage_only_when_asked(with_usage: bool) -> None:
    *events, last = [
        json.loads(event) for event in as_chunks(json.dumps(completion()).encode(), with_usage=with_usage)
    ]
    assert all("usage" not in event for event in events)
    assert ("usage" in last) is with_usage
    assert (last["choices"] == []) is with_usage


def test_an_answer_that_leaves_out_what_a_relay_can_do_without_is_still_told_as_a_stream() -> None:
    bare = b'{"choices":[{"message":{"content":"hi"}},{"index":1,"message":{"content":"ho"}}]}'
    events = [json.loads(event) for event in as_chunks(bare, with_usage=True)]
    assert [event["choices"][0]["index"] for event in events[:-1]] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b'{"choices":1}', b'{"choices":[{"index":"x"}]}', b"\xff", b"[" * 99_999],
)
def test_what_is_no_answer_is_the_upstreams_fault(document: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        outcome_of(document)


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        (b'{"choices":[]}', None),
        (b'{"choices":[],"usage":null}', None),
        (b'{"usage":{"prompt_tokens":3}}', Usage(prompt_tokens=3)),
        (
            b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"details":{}}}',
            Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7),
        ),
        (b'{"choices":[{"message":{"content":"\\"usage\\""}}]}', None),
    ],
)
def test_usage_is_read_where_there_is_some(document: bytes, usage: Usage | None) -> None:
    assert usage_of(document) == usage


@pytest.mark.parametrize("counts", [{"prompt_tokens": -5}, {"completion_tokens": 10**400}])
def test_counts_that_cannot_be_counts_are_kept_within_reason(counts: dict[str, int]) -> None:
    usage = usage_of(json.dumps({"usage": counts}).encode())
    assert usage is not None
    assert 0 <= usage.prompt_tokens < 2**53
    assert 0 <= usage.completion_tokens < 2**53


@pytest.mark.anyio
async def test_ready_documents_come_in_order_and_stop_when_closed() -> None:
    documents = Ready([b"1", b"2", b"3"])
    assert await anext(documents) == b"1"
    assert [document async for document in documents] == [b"2", b"3"]
    closed = Ready([b"1"])
    await closed.aclose()
    assert [document async for document in closed] == []
