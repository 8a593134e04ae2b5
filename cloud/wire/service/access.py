"""Who is calling: the bearer key of a request, checked before its body is read."""

from collections.abc import Mapping

from cloud.wire.errors import AuthenticationFailed
from cloud.wire.keys import KeyRecord, Keyring


def authenticate(headers: Mapping[str, str], ring: Keyring) -> KeyRecord:
    """The key record behind `Authorization: Bearer …` (RFC 6750). Raises AuthenticationFailed."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationFailed(
            "send your API key as `Authorization: Bearer <key>`",
            param="Authorization",
            code="missing_api_key",
        )
    record = ring.authenticate(token.strip())
    if record is None:
        raise AuthenticationFailed("this API key is not known here", param="Authorization")
    return record
