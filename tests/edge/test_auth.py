"""Who may talk to an edge."""

import pytest

from cloud.wire.errors import AuthenticationFailed, PermissionDenied
from cloud.wire.keys import Keyring, new_key
from edge.auth import principal_of
from edge.domain import Principal

NOW = "2026-01-01T00:00:00+00:00"
CLIENT, CLIENT_RECORD = new_key(tenant="acme", role="client", created_at=NOW)
EDGE, EDGE_RECORD = new_key(tenant="edge-2", role="edge", created_at=NOW)
RING = Keyring((CLIENT_RECORD, EDGE_RECORD))


@pytest.mark.parametrize("authorization", [f"Bearer {CLIENT}", f"bearer {CLIENT}", f"BEARER   {CLIENT} "])
def test_a_clients_key_is_its_tenant(authorization: str) -> None:
    principal = principal_of({"authorization": authorization}, RING)
    assert principal == Principal(tenant="acme", key_id=CLIENT_RECORD.id)


def test_a_client_speaks_for_nobody_else() -> None:
    headers = {"authorization": f"Bearer {CLIENT}", "wayside-tenant": "other"}
    assert principal_of(headers, RING).tenant == "acme"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"authorization": ""}, "missing_api_key"),
        ({"authorization": "Bearer"}, "missing_api_key"),
        ({"authorization": "Bearer  "}, "missing_api_key"),
        ({"authorization": CLIENT}, "missing_api_key"),
        ({"authorization": f"Basic {CLIENT}"}, "missing_api_key"),
        ({"x-api-key": CLIENT}, "missing_api_key"),
        ({"authorization": f"Bearer {CLIENT}x"}, "invalid_api_key"),
        ({"authorization": f"Bearer {CLIENT} {CLIENT}"}, "invalid_api_key"),
        ({"authorization": "Bearer \xff"}, "invalid_api_key"),
    ],
)
def test_without_a_good_key_nobody_is_anybody(headers: dict[str, str], code: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        principal_of(headers, RING)
    assert (caught.value.code, caught.value.param) == (code, "Authorization")
    assert CLIENT not in caught.value.message


def test_another_edges_credential_does_not_open_an_edge() -> None:
    with pytest.raises(PermissionDenied):
        principal_of({"authorization": f"Bearer {EDGE}"}, RING)
