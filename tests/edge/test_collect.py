"""Stored completions: what a stream amounts to, or that it cannot be told as one."""

from typing import Any

import msgspec
import pytest

from edge.collect import collect_documents
from tests.support.upstream import chunk, completion


def collected(*documents: Any) -> Any:
    found = collect_documents([msgspec.json.encode(document) for document in documents])
    return None if found is None else msgspec.json.decode(found)


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return chunk() | {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def test_a_plain_answer_stays_as_it_is() -> None:
    assert collected(completion(x=1)) == completion(x=1)


def test_chunks_become_one_completion() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    last = chunk(usage=usage) | {"choices": []}
    assert collected(chunk("Hel"), chunk("lo"), chunk(finish_reason="stop"), last) == completion()


def test_fields_we_do_not_know_survive() -> None:
    whole = collected(
        delta(role="assistant", reasoning_content="Let ") | {"system_fingerprint": "fp"},
        delta(reasoning_content="me think", content="Hi", provider={"name": "p"}),
        delta("stop"),
    )
    assert whole["system_fingerprint"] == "fp"
    assert whole["choices"][0]["message"] == {
        "role": "assistant", "reasoning_content": "Let me think", "content": "Hi", "provider": {"name": "p"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [chunk("a")],
        [
            chunk("a"),
            chunk(finish_reason="stop"),
            chunk() | {"choices": [{"index": 1, "delta": {"content": "b"}}]},
        ],
        [delta(tool_calls=[{"index": 0}]), delta("tool_calls")],
        [delta(parts=[1]), delta(parts=[2]), delta("stop")],
        [delta(content="a"), delta(content=[1]), delta("stop")],
        [chunk("a") | {"error": {"message": "x"}}, chunk(finish_reason="stop")],
        [
            chunk("a", logprobs=1) | {"choices": [{"index": 0, "delta": {}, "logprobs": {}}]},
            chunk(finish_reason="stop"),
        ],
        [["no", "object"]],
        [{"choices": None}],
        [delta("stop"), delta("length")],
    ],
)
def test_what_does_not_add_up_is_not_stored(documents: list[Any]) -> None:
    assert collected(*documents) is None
