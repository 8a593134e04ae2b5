"""From a request's headers to the principal behind it."""

from collections.abc import Mapping

from cloud.domain import Principal
from cloud.wire import headers as names
from cloud.wire.errors import InvalidRequest
from cloud.wire.keys import TENANT, Keyring
from cloud.wire.service.access import authenticate


def principal_of(headers: Mapping[str, str], ring: Keyring) -> Principal:
    """Whose request this is. An edge says for whom it speaks; anyone else speaks for themselves.

    Raises AuthenticationFailed without a good key, InvalidRequest when an edge names no tenant.
    """
    record = authenticate(headers, ring)
    if record.role == "client":
        return Principal(tenant=record.tenant, is_edge=False)
    tenant = headers.get(names.TENANT)
    if tenant is None:
        return Principal(tenant=record.tenant, is_edge=True)
    if not TENANT.fullmatch(tenant):
        raise InvalidRequest("this is not the name of a tenant", param="Wayside-Tenant")
    return Principal(tenant=tenant, is_edge=True)
