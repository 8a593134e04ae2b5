"""From a request's headers to the principal behind it."""

from collections.abc import Mapping
from functools import lru_cache

from cloud.wire.errors import PermissionDenied
from cloud.wire.keys import KeyRecord, Keyring
from cloud.wire.service.access import authenticate
from edge.domain import Principal, Quota

_UNLIMITED = Quota()
_MOST_KEPT = 1024


def principal_of(headers: Mapping[str, str], ring: Keyring) -> Principal:
    """Raises AuthenticationFailed without a good key, PermissionDenied for another edge's."""
    record = authenticate(headers, ring)
    if record.role != "client":
        raise PermissionDenied("an edge's credential opens the cloud, not another edge")
    return _principal(record)


@lru_cache(_MOST_KEPT)
def _principal(record: KeyRecord) -> Principal:
    quota = Quota(
        requests_per_minute=record.requests_per_minute,
        requests_per_day=record.requests_per_day,
        tokens_per_day=record.tokens_per_day,
    )
    return Principal(
        tenant=record.tenant,
        key_id=record.id,
        pins=record.pins,
        quota=None if quota == _UNLIMITED else quota,
    )
