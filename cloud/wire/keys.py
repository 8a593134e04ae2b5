"""API keys: how they look, how they are kept (hashed), how one is checked."""

import hashlib
import hmac
import re
import secrets
from typing import Literal

import msgspec

Role = Literal["client", "edge"]

_KEY = re.compile(r"ws-([0-9a-f]{12})-([A-Za-z0-9_-]{43})")
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A tenant's name: it stands in headers, file names and logs, so it stays plain."""


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a key: never the key itself."""

    id: str
    tenant: str
    sha256: str
    role: Role = "client"
    """An `edge` may speak for any tenant; a `client` only for its own."""
    development: bool = False
    """Made by `make run`; honoured on a loopback bind only."""
    pins: bool = False
    """May choose the route of a request with `Wayside-Route`."""
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    """Quotas; None where there is none. Days and minutes are UTC's."""
    created_at: str
    """UTC, ISO 8601."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Quotas of a key to be made."""

    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None


NO_LIMITS = Limits()


class Keyring:
    """The keys a service honours. Immutable: a changed key file makes a new ring."""

    def __init__(self, records: tuple[KeyRecord, ...]) -> None:
        self._records = {record.id: record for record in records}

    def __len__(self) -> int:
        return len(self._records)

    def authenticate(self, token: str) -> KeyRecord | None:
        """The record the token belongs to, or None. The comparison takes the same time either way.

        A key's secret has 256 random bits, so a plain SHA-256 cannot be searched and no slow
        password hash is needed (NIST SP 800-63B, section 5.1.2.2: look-up secrets).
        """
        match = _KEY.fullmatch(token)
        record = self._records.get(match.group(1)) if match else None
        expected = record.sha256 if record else _NOBODY
        return record if hmac.compare_digest(_digest(token).encode(), expected.encode()) else None


def new_key(
    *,
    tenant: str,
    role: Role,
    created_at: str,
    development: bool = False,
    pins: bool = False,
    limits: Limits = NO_LIMITS,
) -> tuple[str, KeyRecord]:
    """A fresh key, to be shown once, and the record that is kept."""
    key_id = secrets.token_hex(6)
    token = f"ws-{key_id}-{secrets.token_urlsafe(32)}"
    record = KeyRecord(
        id=key_id,
        tenant=tenant,
        sha256=_digest(token),
        role=role,
        development=development,
        pins=pins,
        **msgspec.structs.asdict(limits),
        created_at=created_at,
    )
    return token, record


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


_NOBODY = "0" * 64
