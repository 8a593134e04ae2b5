"""One envelope for every error."""

from typing import Any

import msgspec
import pytest

from cloud.wire import errors
from cloud.wire.errors import (
    BodyTimeout,
    BodyTooLarge,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    UpstreamBroken,
    UpstreamRefused,
    WaysideError,
    envelope,
)


def rendered(error: WaysideError) -> dict[str, Any]:
    document: dict[str, dict[str, Any]] = msgspec.json.decode(envelope(error))
    assert document.keys() == {"error"}
    return document["error"]


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (InvalidRequest("m"), 400, "invalid_request_error", None),
        (BodyTooLarge("m"), 413, "invalid_request_error", "body_too_large"),
        (BodyTimeout("m"), 408, "invalid_request_error", "body_timeout"),
        (errors.HeadersTooLarge("m"), 431, "invalid_request_error", "headers_too_large"),
        (errors.AuthenticationFailed("m"), 401, "invalid_request_error", "invalid_api_key"),
        (errors.PermissionDenied("m"), 403, "invalid_request_error", "permission_denied"),
        (ModelNotFound("m"), 404, "invalid_request_error", "model_not_found"),
        (errors.MethodNotAllowed("m"), 405, "invalid_request_error", "method_not_allowed"),
        (Overloaded("m"), 429, "rate_limit_error", "overloaded"),
        (errors.InternalError("m"), 500, "server_error", "internal_error"),
        (UpstreamBroken("m"), 502, "server_error", "upstream_broken"),
        (errors.UpstreamUnavailable("m"), 503, "server_error", "upstream_unavailable"),
        (errors.DeadlineExceeded("m"), 504, "server_error", "deadline_exceeded"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, WaysideError) else None,
)
def test_an_error_has_its_status_type_and_code(
    error: WaysideError, status: int, kind: str, code: str | None
) -> None:
    assert error.status == status
    assert rendered(error) == {"message": "m", "type": kind, "param": None, "code": code}


def test_the_field_and_a_closer_code_are_told() -> None:
    error = InvalidRequest("bad", param="messages[0].role", code="closer")
    assert rendered(error) == {
        "message": "bad",
        "type": "invalid_request_error",
        "param": "messages[0].role",
        "code": "closer",
    }


def test_a_closer_code_stays_with_its_instance() -> None:
    InvalidRequest("bad", code="closer")
    assert InvalidRequest("bad").code is None


def test_an_upstreams_error_is_told_as_it_was_with_fields_nobody_knows() -> None:
    told = {"message": "slow down", "type": "t", "param": "p", "code": 7, "extra": {"deep": [1]}}
    assert rendered(UpstreamRefused(status=429, error=told)) == told


def test_an_upstreams_bare_message_still_fills_the_envelope() -> None:
    error = UpstreamRefused(status=400, error={"message": "no"})
    assert error.status == 400
    assert rendered(error) == {"message": "no", "type": "server_error", "param": None, "code": None}
