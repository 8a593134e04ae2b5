"""What the judge of answers lets pass, and what it does not."""

import msgspec
import pytest

from bench.answers import FaultKind, judge
from bench.questions import STATIC_REPLY
from bench.upstream import completion, events

STREAM = b"".join(events())


def fault_of_stream(body: bytes, *, expected: str = STATIC_REPLY) -> FaultKind | None:
    fault = judge(status=200, media_type="text/event-stream", body=body, streams=True, expected=expected)
    return fault.kind if fault else None


def fault_of_completion(
    body: bytes, *, status: int = 200, media_type: str = "application/json", expected: str = STATIC_REPLY
) -> FaultKind | None:
    fault = judge(status=status, media_type=media_type, body=body, streams=False, expected=expected)
    return fault.kind if fault else None


def test_whole_answers_pass() -> None:
    assert fault_of_stream(STREAM) is None
    assert fault_of_stream(STREAM.replace(b"\n\n", b"\r\n\r\n")) is None
    assert fault_of_stream(b": alive\n\n" + STREAM) is None
    assert fault_of_completion(completion(), media_type="application/json; charset=utf-8") is None


@pytest.mark.parametrize("kept", range(len(events())))
def test_a_stream_cut_after_any_event_is_half_an_answer(kept: int) -> None:
    assert fault_of_stream(b"".join(events()[:kept])) == "half"


@pytest.mark.parametrize("cut", [1, 2, 5, 9, 40])
def test_a_stream_cut_inside_an_event_is_half_an_answer(cut: int) -> None:
    assert fault_of_stream(STREAM[:-cut]) == "half"


def test_a_stream_that_is_done_without_a_finish_reason_is_half_an_answer() -> None:
    assert fault_of_stream(b"".join((*events()[:-2], events()[-1]))) == "half"


def test_a_stream_with_a_missing_word_is_a_wrong_answer() -> None:
    assert fault_of_stream(b"".join(event for place, event in enumerate(events()) if place != 3)) == "wrong"


def test_a_stream_that_goes_on_after_done_is_a_wrong_answer() -> None:
    assert fault_of_stream(STREAM + events()[1]) == "wrong"


def test_an_error_event_is_half_an_answer() -> None:
    body = b"".join(events()[:4]) + b'data: {"error": {"message": "broken"}}\n\ndata: [DONE]\n\n'
    assert fault_of_stream(body) == "half"


def test_a_truncated_completion_is_half_an_answer() -> None:
    assert fault_of_completion(completion()[:-1]) == "half"
    assert fault_of_completion(b"") == "half"
    assert fault_of_completion(b"{}") == "half"


def test_a_completion_that_ran_out_of_tokens_is_half_an_answer() -> None:
    document = msgspec.json.decode(completion())
    document["choices"][0]["finish_reason"] = "length"
    assert fault_of_completion(msgspec.json.encode(document)) == "half"


def test_somebody_elses_answer_is_a_wrong_one() -> None:
    assert fault_of_completion(completion(), expected="You said: hello") == "wrong"
    assert fault_of_stream(STREAM, expected="You said: hello") == "wrong"


def test_an_answer_of_the_other_kind_is_a_wrong_one() -> None:
    assert fault_of_completion(STREAM, media_type="text/event-stream") == "wrong"


def test_another_status_is_a_refusal_even_with_a_whole_body() -> None:
    assert fault_of_completion(completion(), status=503) == "refused"
