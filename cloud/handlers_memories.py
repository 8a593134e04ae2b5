"""Long-term memory's own HTTP: remember, search, list, revise, forget; a person's data, out, in, erased."""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cloud.domain import RecallQuery
from cloud.domain_memory import Memory, NewMemory, Scope
from cloud.handlers import cloud_of, tenant_of, whole_number
from cloud.memory.remember import pieces
from cloud.wire.errors import InvalidRequest
from cloud.wire.service.intake import json_response, read_body

MOST_CHARACTERS = 200_000
MOST_IN_A_BATCH = 256
_USUAL_PAGE, _LARGEST_PAGE = 50, 200
_MOST_FOUND = 50
Name = Annotated[str, Meta(max_length=256)]


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One memory as a client writes it."""

    text: Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)]
    scope: Scope = "user"
    user: Name | None = None
    session: Name | None = None
    agent: Name | None = None
    speaker: Name = ""
    source: Name = ""
    """Of a document: its name, by which it is cited."""
    said_at: Annotated[float, Meta(ge=0, le=1e11)] | None = None
    """Unix time, seconds; now where absent."""
    ttl_s: Annotated[float, Meta(gt=0, le=1e9)] | None = None


class Revision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a memory says from now on."""

    text: Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)]
    valid_from: Annotated[float, Meta(ge=0, le=1e11)] | None = None
    """Unix time, seconds; now where absent."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    memories: Annotated[list[Told], Meta(min_length=1, max_length=MOST_IN_A_BATCH)]


async def remember(request: Request) -> Response:
    """One memory, or `{"memories": […]}`. The same text of the same owner is one memory."""
    cloud, tenant = cloud_of(request), tenant_of(request)
    body = await read_body(request, cloud.settings)
    try:
        told = _decoded(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(str(error)) from error
    now = time.time()
    memories = [memory for one in told for memory in _new(one, now)]
    ids = await cloud.memories.add(tenant, memories)
    return json_response({"object": "list", "data": [{"id": one, "object": "memory"} for one in ids]}, 201)


async def search(request: Request) -> Response:
    """`query`, and whose: `user`, `session`, `agent`; the tenant's documents are for all. `k`, `as_of`."""
    asked = request.query_params
    text = asked.get("query", "").strip()
    if not text:
        raise InvalidRequest("say what to look for", param="query")
    as_of = asked.get("as_of")
    found = await cloud_of(request).recall.recall(
        RecallQuery(
            tenant=tenant_of(request),
            text=text[:2000],
            user=asked.get("user"),
            session=asked.get("session"),
            agent=asked.get("agent"),
            limit=_number(request, "k", usual=3, most=_MOST_FOUND),
            as_of=_seconds(as_of) if as_of is not None else None,
        )
    )
    return json_response({"object": "list", "data": [msgspec.to_builtins(one) for one in found]})


async def listed(request: Request) -> Response:
    """By id; `next` is what to pass as `after` for the rest, null at the end."""
    limit = _number(request, "limit", usual=_USUAL_PAGE, most=_LARGEST_PAGE)
    found = await cloud_of(request).memories.page(
        tenant_of(request), limit=limit + 1, after=request.query_params.get("after", "")
    )
    page = found[:limit]
    return json_response(
        {
            "object": "list",
            "data": [_shown(one) for one in page],
            "next": page[-1].id if len(found) > limit else None,
        }
    )


async def revised(request: Request) -> Response:
    """A version in place of the one that holds; the id may be any version's."""
    cloud, tenant = cloud_of(request), tenant_of(request)
    body = await read_body(request, cloud.settings)
    try:
        told = msgspec.json.decode(body, type=Revision)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(str(error)) from error
    memory = await cloud.memories.revise(
        tenant, request.path_params["id"], told.text, valid_from=told.valid_from
    )
    return json_response(_shown(memory))


async def history(request: Request) -> Response:
    """All versions, newest first; the id may be any version's."""
    found = await cloud_of(request).memories.history(tenant_of(request), request.path_params["id"])
    return json_response({"object": "list", "data": [_shown(one) for one in found]})


async def deleted(request: Request) -> Response:
    memory = request.path_params["id"]
    await cloud_of(request).memories.delete(tenant_of(request), memory)
    return json_response({"id": memory, "object": "memory", "deleted": True})


async def erased(request: Request) -> Response:
    """Everything kept of a person, in every store; the receipt counts what went."""
    cloud, tenant, user = cloud_of(request), tenant_of(request), request.path_params["user"]
    receipt: dict[str, int] = {}
    for store in cloud.erasables:
        receipt |= await store.erase(tenant, user)
    await cloud.database.scrub()
    return json_response({"object": "erasure", "user": user, "erased": receipt})


async def exported(request: Request) -> Response:
    """JSON lines, a record each."""
    cloud, tenant, user = cloud_of(request), tenant_of(request), request.path_params["user"]

    async def lines() -> AsyncIterator[bytes]:
        for store in cloud.erasables:
            async for record in store.export(tenant, user):
                yield msgspec.json.encode(record) + b"\n"

    return StreamingResponse(lines(), media_type="application/jsonl")


async def imported(request: Request) -> Response:
    """JSON lines as `exported` gives them. What is there already stays; the answer counts what was not."""
    cloud, tenant, user = cloud_of(request), tenant_of(request), request.path_params["user"]
    body = await read_body(request, cloud.settings)
    try:
        records = [msgspec.json.decode(line, type=dict[str, Any]) for line in body.splitlines() if line]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"not JSON lines: {error}") from error
    known = {kind for store in cloud.erasables for kind in store.kinds}
    for number, record in enumerate(records, start=1):
        if record.get("kind") not in known:
            raise InvalidRequest(f"record {number} is of no kind that an export has", param="kind")
    kept = 0
    for store in cloud.erasables:
        theirs = [record for record in records if record["kind"] in store.kinds]
        if theirs:
            kept += await store.restore(tenant, user, theirs)
    return json_response({"object": "import", "user": user, "records": len(records), "new": kept})


def _decoded(body: bytes) -> list[Told]:
    document = msgspec.json.decode(body)
    if isinstance(document, dict) and "memories" in document:
        return msgspec.convert(document, Batch).memories
    return [msgspec.convert(document, Told)]


def _new(told: Told, now: float) -> list[NewMemory]:
    said_at = told.said_at if told.said_at is not None else now
    expires = now + told.ttl_s if told.ttl_s is not None else None
    if told.scope == "tenant":
        if not told.source:
            raise InvalidRequest("a document needs a name to be cited by", param="source")
        return [
            replace(one, expires_at=expires) for one in pieces(told.text, source=told.source, said_at=said_at)
        ]
    owner = {"user": told.user, "session": told.session, "agent": told.agent}[told.scope]
    if not owner:
        raise InvalidRequest(f"say whose memory it is: `{told.scope}`", param=told.scope)
    return [
        NewMemory(
            scope=told.scope,
            owner=owner,
            text=told.text,
            group=f"told/{told.scope}/{owner}",
            place=int(said_at * 1000),
            source=told.source or "told",
            speaker=told.speaker,
            user=told.user,
            said_at=said_at,
            expires_at=expires,
        )
    ]


def _shown(memory: Memory) -> Mapping[str, Any]:
    return {"object": "memory", "valid_from": memory.said_at, **msgspec.to_builtins(memory)}


def _number(request: Request, name: str, *, usual: int, most: int) -> int:
    return whole_number(request.query_params.get(name), name, usual=usual, most=most, digits=6, least=1)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e11:
        raise InvalidRequest("`as_of` must be a Unix time in seconds", param="as_of")
    return seconds


ROUTES = [
    Route("/v1/memories", remember, methods=["POST"]),
    Route("/v1/memories", listed, methods=["GET"]),
    Route("/v1/memories/search", search, methods=["GET"]),
    Route("/v1/memories/{id}", revised, methods=["PATCH"]),
    Route("/v1/memories/{id}", deleted, methods=["DELETE"]),
    Route("/v1/memories/{id}/history", history, methods=["GET"]),
    Route("/v1/subjects/{user}", erased, methods=["DELETE"]),
    Route("/v1/subjects/{user}/export", exported, methods=["GET"]),
    Route("/v1/subjects/{user}/import", imported, methods=["POST"]),
]
