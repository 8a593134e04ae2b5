"""HTTP to domain and back, nothing else."""

from starlette.requests import Request
from starlette.responses import Response

from cloud.auth import principal_of
from cloud.domain import Call
from cloud.wire import chat
from cloud.wire import headers as names
from cloud.wire.errors import InvalidRequest
from cloud.wire.service.endpoints import deadline_of, metrics_page, readiness
from cloud.wire.service.intake import json_response, read_body
from cloud.wire.service.observe import record_of
from cloud.wire.service.relay import streamed_answer, whole_answer
from cloud.wiring import Cloud


async def chat_completions(request: Request) -> Response:
    cloud = cloud_of(request)
    record = record_of(request.scope)
    principal = principal_of(request.headers, cloud.keys.current())
    record.tenant, record.route = principal.tenant, "cloud"
    deadline = deadline_of(request.headers, cloud.settings)
    body = await read_body(request, cloud.settings)
    document = chat.parse(body, max_depth=cloud.settings.max_json_depth)
    tier = request.headers.get(names.TIER) if principal.is_edge else None
    model = cloud.catalog.resolve(document.request.model, tier=tier)
    record.model, record.provider = model.name, model.provider
    call = Call(
        document=document,
        model=model,
        deadline=deadline,
        tenant=principal.tenant,
        session=request.headers.get(names.SESSION),
        request_id=record.request_id,
        idempotency_key=request.headers.get(names.IDEMPOTENCY_KEY),
        agent=request.headers.get(names.AGENT) if principal.is_edge else None,
        intent=request.headers.get(names.INTENT) if principal.is_edge else None,
        trace_headers=record.trace_headers,
        is_background=_may_wait(request),
    )
    answer = await cloud.answering.answer(call)
    if "preference-applied" in answer.headers:  # to be waited for elsewhere, also when it is told again
        response = await whole_answer(answer.documents, record, {names.ROUTE: "cloud", **answer.headers})
        response.status_code = 202
        return response
    respond = streamed_answer if call.request.streams else whole_answer
    return await respond(answer.documents, record, {names.ROUTE: "cloud", **answer.headers})


def _may_wait(request: Request) -> bool:
    """RFC 7240. In a session the preference is not applied: its turns are kept in order, by who waits."""
    preferences = {one.strip().lower() for one in request.headers.get("prefer", "").split(",")}
    return "respond-async" in preferences and names.SESSION not in request.headers


async def models(request: Request) -> Response:
    cloud = cloud_of(request)
    record_of(request.scope).tenant = principal_of(request.headers, cloud.keys.current()).tenant
    listed = [
        {"id": model.name, "object": "model", "created": cloud.started_at, "owned_by": model.provider}
        for model in cloud.catalog.models
    ]
    return json_response({"object": "list", "data": listed})


async def readyz(request: Request) -> Response:
    return await readiness({name: provider.check for name, provider in cloud_of(request).providers.items()})


async def metrics(request: Request) -> Response:
    cloud = cloud_of(request)
    if not cloud.settings.serves_metrics_openly:
        principal_of(request.headers, cloud.keys.current())
    return metrics_page(cloud.metrics)


def whole_number(text: str | None, name: str, *, usual: int, most: int, digits: int, least: int = 0) -> int:
    """A number as callers write it, of at most so many digits; `usual` where they do not. InvalidRequest."""
    if text is None:
        return usual
    is_number = text.isascii() and text.isdigit() and len(text) <= digits
    if not (is_number and least <= int(text) <= most):
        span = f"from {least} to {most}" if least else f"up to {most}"
        raise InvalidRequest(f"`{name}` must be a whole number {span}", param=name)
    return int(text)


def tenant_of(request: Request) -> str:
    """Whose request this is, by its key; noted for the log."""
    tenant = principal_of(request.headers, cloud_of(request).keys.current()).tenant
    record_of(request.scope).tenant = tenant
    return tenant


def cloud_of(request: Request) -> Cloud:
    """What the application opened."""
    cloud = request.state.cloud
    assert isinstance(cloud, Cloud)
    return cloud
