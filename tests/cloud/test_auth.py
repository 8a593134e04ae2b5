"""Who may talk to the cloud, and for whom."""

import pytest

from cloud.auth import principal_of
from cloud.domain import Principal
from cloud.wire.errors import AuthenticationFailed, InvalidRequest
from cloud.wire.keys import Keyring, new_key

NOW = "2026-01-01T00:00:00+00:00"
CLIENT, CLIENT_RECORD = new_key(tenant="acme", role="client", created_at=NOW)
EDGE, EDGE_RECORD = new_key(tenant="edge-1", role="edge", created_at=NOW)
RING = Keyring((CLIENT_RECORD, EDGE_RECORD))


@pytest.mark.parametrize(
    ("token", "named", "principal"),
    [
        (CLIENT, None, Principal(tenant="acme", is_edge=False)),
        (CLIENT, "other", Principal(tenant="acme", is_edge=False)),
        (CLIENT, "not a tenant!", Principal(tenant="acme", is_edge=False)),
        (EDGE, "other", Principal(tenant="other", is_edge=True)),
        (EDGE, None, Principal(tenant="edge-1", is_edge=True)),
    ],
)
def test_only_an_edge_is_believed_about_the_tenant(
    token: str, named: str | None, principal: Principal
) -> None:
    headers = {"authorization": f"Bearer {token}"}
    if named is not None:
        headers["wayside-tenant"] = named
    assert principal_of(headers, RING) == principal


@pytest.mark.parametrize("name", ["", "a b", "../x", "é", "x" * 65, "a\n"])
def test_an_edge_that_names_no_tenant_is_told_so(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        principal_of({"authorization": f"Bearer {EDGE}", "wayside-tenant": name}, RING)
    assert caught.value.param == "Wayside-Tenant"


def test_a_tenant_header_without_a_key_opens_nothing() -> None:
    with pytest.raises(AuthenticationFailed):
        principal_of({"wayside-tenant": "acme"}, RING)
