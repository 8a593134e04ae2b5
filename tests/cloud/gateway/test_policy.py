"""What the gateway does about a failure: a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain import Model
from cloud.gateway.policy import Disposition, GatewayLimits, disposition, is_larger, line_up, wait_s
from cloud.wire.errors import (
    DeadlineExceeded,
    InvalidRequest,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnavailable,
    WaysideError,
)


def refused(status: int, code: str = "", retry_after_s: int | None = None) -> UpstreamRefused:
    return UpstreamRefused(status=status, error={"message": "no", "code": code}, retry_after_s=retry_after_s)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refused(429), "retry"),
        (refused(500), "retry"),
        (refused(503), "retry"),
        (UpstreamUnavailable("gone"), "retry"),
        (UpstreamBroken("half"), "retry"),
        (refused(401), "next"),
        (refused(404), "next"),
        (UpstreamBroken("key", code="upstream_credential"), "next"),
        (refused(400, "context_length_exceeded"), "larger"),
        (refused(413), "larger"),
        (refused(400, "content_filter"), "final"),
        (refused(400), "final"),
        (refused(422), "final"),
        (DeadlineExceeded("late"), "final"),
        (InvalidRequest("bad"), "final"),
    ],
)
def test_a_failure_before_any_content(error: WaysideError, expected: Disposition) -> None:
    assert disposition(error) == expected


def model(name: str, *fallbacks: str, context_tokens: int | None = None) -> Model:
    return Model(
        name=name, provider="p", upstream_name=name, fallbacks=fallbacks, context_tokens=context_tokens
    )


def test_a_line_holds_fallbacks_of_fallbacks_once_even_in_a_circle() -> None:
    models = (model("a", "b", "c"), model("b", "a", "d"), model("c"), model("d"))
    assert [one.name for one in line_up(models[0], models)] == ["a", "b", "c", "d"]


def test_a_prompt_too_long_goes_only_where_it_may_fit() -> None:
    assert is_larger(model("big", context_tokens=9000), model("small", context_tokens=4000))
    assert not is_larger(model("small", context_tokens=4000), model("big", context_tokens=9000))
    assert is_larger(model("unknown"), model("small", context_tokens=4000))


@given(st.integers(1, 8), st.floats(0, 1, exclude_max=True))
def test_waits_are_spread_bounded_and_end(attempt: int, chance: float) -> None:
    limits = GatewayLimits(retries=3)
    pause = wait_s(attempt, UpstreamUnavailable("gone"), limits, chance=chance)
    if attempt > limits.retries:
        assert pause is None
    else:
        assert pause is not None
        assert limits.first_wait_s / 2 <= pause <= limits.longest_wait_s


def test_a_retry_after_is_kept_to_or_left_to_another_model() -> None:
    limits = GatewayLimits(retries=1, longest_wait_s=2)
    assert wait_s(1, refused(429, retry_after_s=1), limits, chance=0.9) == 1.0
    assert wait_s(1, refused(429, retry_after_s=60), limits, chance=0.9) is None
