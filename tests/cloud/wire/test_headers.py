"""How header values are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.wire.errors import InvalidRequest
from cloud.wire.headers import accepted_request_id, parse_deadline_ms

ONE_DAY_MS = 24 * 60 * 60 * 1000


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [(None, None), ("1", 1), ("250", 250), ("0250", 250), (str(ONE_DAY_MS), ONE_DAY_MS)],
)
def test_a_deadline_is_a_whole_number_of_milliseconds(value: str | None, milliseconds: int | None) -> None:
    assert parse_deadline_ms(value) == milliseconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-1",
        "+1",
        "1.5",
        "1e3",
        " 1",
        "1_000",
        "soon",
        "٣",
        "²",
        str(ONE_DAY_MS + 1),
        "000000086400000001",
        "000000000001" + "9" * 5000,
        "9" * 10_000,
    ],
)
def test_any_other_deadline_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_deadline_ms(value)
    assert caught.value.param == "Wayside-Deadline-Ms"
    assert "Wayside-Deadline-Ms" in caught.value.message


@given(st.text())
def test_a_deadline_is_within_a_day_or_refused_and_nothing_else(value: str) -> None:
    try:
        milliseconds = parse_deadline_ms(value)
    except InvalidRequest:
        return
    assert milliseconds is not None
    assert 1 <= milliseconds <= ONE_DAY_MS


@pytest.mark.parametrize("value", ["a", "req_1", "0f3c:1.2-x", "x" * 128])
def test_a_plain_request_id_is_kept(value: str) -> None:
    assert accepted_request_id(value) == value


@pytest.mark.parametrize("value", [None, "", "a b", "a\n", "é", '"', "x" * 129, "a\r\nSet-Cookie: x"])
def test_a_request_id_that_could_forge_a_line_is_dropped(value: str | None) -> None:
    assert accepted_request_id(value) is None
