"""What the caller's tenant has used, and what is left of its budget."""

from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.handlers import cloud_of, tenant_of, whole_number
from cloud.wire.service.intake import json_response

_USUAL_DAYS, _MOST_DAYS = 30, 366
_DAY_S = 86_400


async def used(request: Request) -> Response:
    """By day (UTC), agent and model."""
    cloud, tenant = cloud_of(request), tenant_of(request)
    days = whole_number(
        request.query_params.get("days"), "days", usual=_USUAL_DAYS, most=_MOST_DAYS, digits=3, least=1
    )
    found = await cloud.ledger.usage(tenant, days=days)
    budget = cloud.budgets.of(tenant)
    return json_response(
        {
            "object": "usage",
            "tenant": tenant,
            "data": [
                {**one, "day": f"{datetime.fromtimestamp(one['day'] * _DAY_S, UTC):%F}"} for one in found
            ],
            "totals": {
                name: sum(one[name] for one in found)
                for name in ("calls", "prompt_tokens", "completion_tokens", "usd")
            },
            "budget": msgspec.to_builtins(budget),
            "left": dict(await cloud.ledger.left(tenant, budget)),
        }
    )


ROUTES = (Route("/v1/usage", used, methods=["GET"]),)
