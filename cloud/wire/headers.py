"""Names of the headers the services exchange, and how their values are read."""

import re
from collections.abc import Mapping

from cloud.wire.errors import InvalidRequest

REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
IDEMPOTENCY_KEY = "idempotency-key"
CACHE_CONTROL = "cache-control"
CACHE_STATUS = "cache-status"  # RFC 9211
SERVER_TIMING = "server-timing"
AGE = "age"
RETRY_AFTER = "retry-after"

SESSION = "wayside-session"
TENANT = "wayside-tenant"
INTENT = "wayside-intent"
CONFIDENCE = "wayside-confidence"
COMPLEXITY = "wayside-complexity"
AGENT = "wayside-agent"
TIER = "wayside-tier"
INJECTION = "wayside-injection"
DEADLINE_MS = "wayside-deadline-ms"
ROUTE = "wayside-route"
RUN = "wayside-run"
"""The durable run that an answer comes from: `GET /v1/runs/{id}` shows it."""
CONTEXT = "wayside-context"
"""What a session's prompt was made of, and what it cost."""

BELIEVED_FROM_AN_EDGE_ONLY = frozenset({TENANT, INTENT, CONFIDENCE, COMPLEXITY, AGENT, TIER, INJECTION})
"""What an edge knows about a request. From anyone else these are ignored."""

FROM_THE_CLIENT = (SESSION, IDEMPOTENCY_KEY, CACHE_CONTROL)
"""Client headers that mean the same at every hop and are passed on as they came."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LONGEST_DEADLINE_MS = 24 * 60 * 60 * 1000
_MOST_DEADLINE_DIGITS = 12


def accepted_request_id(value: str | None) -> str | None:
    """The caller's request id if it is safe to log and to send on, else None."""
    return value if value is not None and _REQUEST_ID.fullmatch(value) else None


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """The client's headers that mean the same at every hop.

    Raises InvalidRequest naming one that holds anything but ASCII: the next hop might read it differently.
    """
    found = {name: headers[name] for name in FROM_THE_CLIENT if name in headers}
    for name, value in found.items():
        if not value.isascii():
            raise InvalidRequest(f"`{name}` may hold ASCII only", param=name)
    return found


def parse_deadline_ms(value: str | None) -> int | None:
    """Milliseconds the caller is still willing to wait; None without the header.

    Raises InvalidRequest when the value is not a whole number of milliseconds from 1 up to one day.
    """
    if value is None:
        return None
    # Digits are counted first: int() of thousands of them is refused by Python with an error of its own.
    is_number = value.isascii() and value.isdigit() and len(value) <= _MOST_DEADLINE_DIGITS
    if not (is_number and 1 <= int(value) <= _LONGEST_DEADLINE_MS):
        raise InvalidRequest(
            f"Wayside-Deadline-Ms must be a whole number of milliseconds from 1 to {_LONGEST_DEADLINE_MS}",
            param="Wayside-Deadline-Ms",
        )
    return int(value)
