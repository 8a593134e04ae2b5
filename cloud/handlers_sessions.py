"""The sessions' own HTTP: list, show, turns, state, delete."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.domain_sessions import Session, Turn
from cloud.handlers import cloud_of, tenant_of, whole_number
from cloud.wire.service.intake import json_response

_USUAL_PAGE, _LARGEST_PAGE = 50, 200
_MOST_DIGITS = 15


async def listed(request: Request) -> Response:
    """By id; `next` is what to pass as `after` for the rest, null at the end."""
    limit = _number(request, "limit", usual=_USUAL_PAGE, most=_LARGEST_PAGE)
    found = await cloud_of(request).sessions.sessions(
        tenant_of(request), limit=limit + 1, after=request.query_params.get("after")
    )
    page = found[:limit]
    return json_response(
        {
            "object": "list",
            "data": [_session(session) for session in page],
            "next": page[-1].id if len(found) > limit else None,
        }
    )


async def shown(request: Request) -> Response:
    session = await cloud_of(request).sessions.session(tenant_of(request), request.path_params["id"])
    return json_response(_session(session))


async def turns(request: Request) -> Response:
    """In order; `next` is what to pass as `after` for the rest, null at the end."""
    tenant, session = tenant_of(request), request.path_params["id"]
    limit = _number(request, "limit", usual=_USUAL_PAGE, most=_LARGEST_PAGE)
    after = _number(request, "after", usual=0, most=10**_MOST_DIGITS)
    store = cloud_of(request).sessions
    known = await store.session(tenant, session)
    page = await store.turns(tenant, known.id, after=after, limit=limit)
    ends = not page or page[-1].seq >= known.turns
    return json_response(
        {
            "object": "list",
            "data": [_turn(turn) for turn in page],
            "next": None if ends else page[-1].seq,
        }
    )


async def state(request: Request) -> Response:
    """The newest checkpoint, as it is kept; version 0 before the first."""
    tenant, session = tenant_of(request), request.path_params["id"]
    known = await cloud_of(request).sessions.session(tenant, session)
    window = await cloud_of(request).checkpoints.window(tenant, known.id)
    return json_response(
        {"object": "session.state", "session": known.id, **msgspec.to_builtins(window.state)}
    )


async def deleted(request: Request) -> Response:
    await cloud_of(request).sessions.delete(tenant_of(request), request.path_params["id"])
    return json_response({"object": "session.deleted", "id": request.path_params["id"], "deleted": True})


ROUTES = (
    Route("/v1/sessions", listed, methods=["GET"]),
    Route("/v1/sessions/{id}", shown, methods=["GET"]),
    Route("/v1/sessions/{id}", deleted, methods=["DELETE"]),
    Route("/v1/sessions/{id}/turns", turns, methods=["GET"]),
    Route("/v1/sessions/{id}/state", state, methods=["GET"]),
)


def _session(session: Session) -> Mapping[str, Any]:
    saved = session.raw_tokens - session.sent_tokens
    return {
        "object": "session",
        "id": session.id,
        "user": session.user,
        "turns": session.turns,
        "state_version": session.state_version,
        "tokens": {"sent": session.sent_tokens, "raw": session.raw_tokens, "saved": saved},
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }


def _turn(turn: Turn) -> Mapping[str, Any]:
    return {
        "object": "session.turn",
        "seq": turn.seq,
        "message": msgspec.Raw(turn.document),
        "user": turn.user,
        "model": turn.model,
        "usage": turn.usage,
        "created_at": turn.created_at,
    }


def _number(request: Request, name: str, *, usual: int, most: int) -> int:
    return whole_number(request.query_params.get(name), name, usual=usual, most=most, digits=_MOST_DIGITS)
