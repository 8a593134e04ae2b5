"""The error tree of both services and its one rendering, the OpenAI envelope.

WaysideError
├── InvalidRequest 400 ── BodyTooLarge 413, BodyTimeout 408, HeadersTooLarge 431
├── AuthenticationFailed 401
├── PermissionDenied 403
├── NotFound 404 ── ModelNotFound
├── MethodNotAllowed 405
├── SessionConflict 409             another turn of the same session is under way
├── IdempotencyConflict 409         the key belongs to another request, or to one under way
├── Overloaded 429                  our own queue is full: come back later ── QuotaExceeded
├── DeadlineExceeded 504
├── NotStored 504                   the caller wanted a stored answer or none
├── UpstreamUnavailable 503         nobody answered: refused, reset, timed out
├── StorageFull 507                 nothing was written
├── UpstreamBroken 502              somebody answered, but not with a whole answer
├── UpstreamRefused <its status>    the upstream's own error, told as it was
└── InternalError 500
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec


class WaysideError(Exception):
    """Something a caller is told about. The class says the status, the instance what happened."""

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    """Told with the error, beside `Retry-After`."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code


class InvalidRequest(WaysideError):
    status = 400
    type = "invalid_request_error"


class BodyTooLarge(InvalidRequest):
    status = 413
    code = "body_too_large"


class BodyTimeout(InvalidRequest):
    status = 408
    code = "body_timeout"


class HeadersTooLarge(InvalidRequest):
    status = 431
    code = "headers_too_large"


class AuthenticationFailed(WaysideError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class PermissionDenied(WaysideError):
    status = 403
    type = "invalid_request_error"
    code = "permission_denied"


class NotFound(WaysideError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(WaysideError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class SessionConflict(WaysideError):
    status = 409
    type = "invalid_request_error"
    code = "session_conflict"


class StorageFull(WaysideError):
    """The store took nothing of it."""

    status = 507
    code = "storage_full"


class IdempotencyConflict(WaysideError):
    status = 409
    type = "invalid_request_error"
    code = "idempotency_conflict"


class Overloaded(WaysideError):
    status = 429
    type = "rate_limit_error"
    code = "overloaded"


class QuotaExceeded(Overloaded):
    """The key has used up what it may ask for."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_s: int, headers: Mapping[str, str]) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.headers = headers


class DeadlineExceeded(WaysideError):
    status = 504
    code = "deadline_exceeded"


class NotStored(WaysideError):
    """RFC 9111, section 5.2.1.7: `only-if-cached` without a stored answer."""

    status = 504
    code = "only_if_cached"


class UpstreamUnavailable(WaysideError):
    status = 503
    code = "upstream_unavailable"


class UpstreamBroken(WaysideError):
    status = 502
    code = "upstream_broken"


class UpstreamRefused(WaysideError):
    """The upstream's own error: its status and its envelope, fields we do not know included."""

    def __init__(self, *, status: int, error: dict[str, Any], retry_after_s: int | None = None) -> None:
        code = error.get("code")
        super().__init__(
            str(error.get("message", "")),
            code=code if isinstance(code, str) else None,
            retry_after_s=retry_after_s,
        )
        self.status = status
        self.error = error


class InternalError(WaysideError):
    code = "internal_error"


def envelope(error: WaysideError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, the shape every OpenAI client reads."""
    if isinstance(error, UpstreamRefused):
        body = {"message": error.message, "type": error.type, "param": None, "code": None} | error.error
    else:
        body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": body})
