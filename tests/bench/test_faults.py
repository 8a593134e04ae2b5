"""Answers that break off on their way through real services, and what the report makes of answers."""

import pytest

from bench.fault_cuts import cut
from bench.fault_services import Seen
from bench.fault_upstream import WORDS, Kind
from bench.faults import Verdict, verdict

WHOLE = " ".join(WORDS)
HALF = " ".join(WORDS[:30])


def test_every_answer_is_cut_and_none_looks_whole() -> None:
    told: list[int] = []
    cuts = cut(48, buffered=False, seed=3, seen=told.append)
    assert told == list(range(1, 49))
    assert cuts.false_successes == 0
    assert cuts.spared == 0
    assert cuts.connections >= 48


def seen(text: str = "", *, finished: bool = False, status: int = 200, error: str | None = None) -> Seen:
    return Seen(status=status, text=text, finished=finished, error=error, usage=None, seconds=0.1)


@pytest.mark.parametrize(
    ("got", "primary", "backup", "expected"),
    [
        (seen(WHOLE, finished=True), "cut", "answers", "pass"),
        (seen(HALF, finished=True), "cut", "answers", "fail"),
        (seen(HALF), "cut", "answers", "fail"),
        (seen(HALF, error="upstream_broken"), "cut", "answers", "partial"),
        (seen(HALF, error="upstream_broken"), "cut", "rejects prefill", "pass"),
        (seen(status=502, error="upstream_broken"), "reset", "answers", "safe"),
        (seen(status=400, error="content_filter"), "content filter", "answers", "pass"),
    ],
)
def test_what_a_client_saw_is_judged(got: Seen, primary: Kind, backup: Kind, expected: Verdict) -> None:
    assert verdict(got, primary, backup) == expected
