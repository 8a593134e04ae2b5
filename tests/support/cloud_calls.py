"""Calls as the cloud's handlers make them, for its providers' tests."""

import asyncio
from typing import Any

import msgspec

from cloud.domain import Call, Model
from cloud.wire.chat import parse


def call(text: str = "hi", *, within_s: float = 30.0, upstream_name: str = "theirs", **fields: Any) -> Call:
    """Needs a running event loop, on whose clock the deadline is."""
    body = {"model": "ours", "messages": [{"role": "user", "content": text}], **fields}
    return Call(
        document=parse(msgspec.json.encode(body), max_depth=64),
        model=Model(name="ours", provider="p", upstream_name=upstream_name),
        deadline=asyncio.get_running_loop().time() + within_s,
        tenant="acme",
        request_id="req_1",
        trace_headers={"traceparent": "00-1"},
    )
