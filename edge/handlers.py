"""HTTP to domain and back, nothing else."""

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cloud.wire import chat
from cloud.wire import headers as names
from cloud.wire.errors import InvalidRequest, PermissionDenied
from cloud.wire.service.endpoints import deadline_of, metrics_page, readiness
from cloud.wire.service.intake import headers_of, json_response, read_body
from cloud.wire.service.observe import record_of
from cloud.wire.service.relay import streamed_answer, whole_answer
from edge.auth import principal_of
from edge.cache_status import Stages
from edge.domain import Pin, Principal, Query
from edge.explain import explained
from edge.wiring import Edge


async def chat_completions(request: Request) -> Response:
    edge = _edge(request)
    record = record_of(request.scope)
    principal = _principal(edge, request)
    left = edge.quotas.admit(principal)
    query = await _query(edge, request, principal)
    record.route = "cloud"  # unless the pipeline knows better: what fails, fails on its way there
    answer = await edge.pipeline.answer(query)
    record.route = answer.route
    record.used(answer.usage)
    headers = {**answer.headers, **left, names.ROUTE: answer.route}
    documents = answer.documents
    if answer.route == "cloud":
        documents = edge.quotas.metered(documents, query.principal, body_bytes=len(query.document.body))
    respond = streamed_answer if query.request.streams else whole_answer
    return await respond(documents, record, headers)


async def route(request: Request) -> Response:
    """What would be done with a chat completion request, and why; nothing is done."""
    edge = _edge(request)
    query = await _query(edge, request, _principal(edge, request))
    stages = Stages()
    judgement = await edge.judge.judge(query, stages, in_full=True)
    told = explained(
        judgement, upstream=edge.settings.upstream_url, thresholds=edge.thresholds, budget=edge.budget
    )
    return json_response({**told, "server_timing": stages.header()})


async def forget(request: Request) -> Response:
    """Drop one entry, one scope, or all that is stored for the caller's tenant."""
    edge = _edge(request)
    principal = _principal(edge, request)
    asked = dict(request.query_params)
    match asked:
        case {"entry": entry, **rest} if not rest and entry:
            count = await edge.feedback.forget(principal.tenant, entry=entry)
        case {"scope": scope, **rest} if not rest and scope:
            count = await edge.feedback.forget(principal.tenant, scope=scope)
        case {"all": _, **rest} if not rest:
            count = await edge.feedback.forget(principal.tenant)
        case _:
            raise InvalidRequest("say what to drop: ?entry=ID, ?scope=ID or ?all")
    return json_response({"dropped": count})


async def feedback(request: Request) -> Response:
    """Whether an answer was right. A wrong one is dropped, so that nobody gets it again."""
    edge = _edge(request)
    principal = _principal(edge, request)
    try:
        told = msgspec.json.decode(await read_body(request, edge.settings), type=_Feedback)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f'send {{"id": …, "verdict": "wrong" or "right"}}: {error}') from error
    dropped = await edge.feedback.tell(principal.tenant, told.id, is_right=told.verdict == "right")
    return json_response({"dropped": dropped})


class _Feedback(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """Of the answer, as the caller received it."""
    verdict: Literal["wrong", "right"]


async def models(request: Request) -> Response:
    edge = _edge(request)
    record = record_of(request.scope)
    principal = _principal(edge, request)
    return Response(await edge.upstream.models(principal, record.request_id), media_type="application/json")


async def readyz(request: Request) -> Response:
    return await readiness({"upstream": _edge(request).upstream.check})


async def metrics(request: Request) -> Response:
    edge = _edge(request)
    if not edge.settings.serves_metrics_openly:
        principal_of(headers_of(request), edge.keys.current())
    return metrics_page(edge.metrics)


async def _query(edge: Edge, request: Request, principal: Principal) -> Query:
    """Authenticated before the body is read, and checked after."""
    record = record_of(request.scope)
    headers = headers_of(request)
    deadline = deadline_of(headers, edge.settings)
    pin = _pin(request, principal)
    passed_on = names.passed_on(headers)
    body = await read_body(request, edge.settings)
    document = chat.parse(body, max_depth=edge.settings.max_json_depth)
    record.model = document.request.model
    return Query(
        principal=principal,
        document=document,
        deadline=deadline,
        passed_on={**record.trace_headers, **passed_on},
        request_id=record.request_id,
        in_session=names.SESSION in headers,
        pin=pin,
        cache_control=headers.get(names.CACHE_CONTROL, ""),
    )


def _principal(edge: Edge, request: Request) -> Principal:
    principal = principal_of(headers_of(request), edge.keys.current())
    record_of(request.scope).tenant = principal.tenant
    return principal


def _pin(request: Request, principal: Principal) -> Pin | None:
    """Where the client wants its answer from, if it says so and its key lets it."""
    match headers_of(request).get(names.ROUTE):
        case None:
            return None
        case _ if not principal.pins:
            raise PermissionDenied("this key may not choose a route", param="Wayside-Route")
        case "cache" | "local" | "cloud" as pin:
            return pin
        case _:
            raise InvalidRequest("Wayside-Route must be cache, local or cloud", param="Wayside-Route")


def _edge(request: Request) -> Edge:
    edge = request.state.edge
    assert isinstance(edge, Edge)
    return edge
