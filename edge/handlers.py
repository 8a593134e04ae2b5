"""HTTP to domain and back, nothing else."""

from starlette.requests import Request
from starlette.responses import Response

from cloud.wire import chat
from cloud.wire import headers as names
from cloud.wire.service.endpoints import deadline_of, metrics_page, readiness
from cloud.wire.service.intake import read_body
from cloud.wire.service.observe import record_of
from cloud.wire.service.relay import streamed_answer, whole_answer
from edge.auth import principal_of
from edge.domain import Query
from edge.wiring import Edge


async def chat_completions(request: Request) -> Response:
    edge = _edge(request)
    record = record_of(request.scope)
    principal = principal_of(request.headers, edge.keys.current())
    record.tenant = principal.tenant
    deadline = deadline_of(request.headers, edge.settings)
    passed_on = names.passed_on(request.headers)
    body = await read_body(request, edge.settings)
    document = chat.parse(body, max_depth=edge.settings.max_json_depth)
    record.model = document.request.model
    query = Query(
        principal=principal,
        document=document,
        deadline=deadline,
        passed_on={**record.trace_headers, **passed_on},
        request_id=record.request_id,
    )
    record.route = "cloud"  # unless the pipeline knows better: what fails, fails on its way there
    answer = await edge.pipeline.answer(query)
    record.route = answer.route
    headers = {**answer.headers, names.ROUTE: answer.route}
    respond = streamed_answer if query.request.streams else whole_answer
    return await respond(answer.documents, record, headers)


async def models(request: Request) -> Response:
    edge = _edge(request)
    record = record_of(request.scope)
    principal = principal_of(request.headers, edge.keys.current())
    record.tenant = principal.tenant
    return Response(await edge.upstream.models(principal, record.request_id), media_type="application/json")


async def readyz(request: Request) -> Response:
    return await readiness({"upstream": _edge(request).upstream.check})


async def metrics(request: Request) -> Response:
    edge = _edge(request)
    if not edge.settings.serves_metrics_openly:
        principal_of(request.headers, edge.keys.current())
    return metrics_page(edge.metrics)


def _edge(request: Request) -> Edge:
    edge = request.state.edge
    assert isinstance(edge, Edge)
    return edge
