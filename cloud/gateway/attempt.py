"""One model's answer under its breaker; a stream is held until it says something that binds."""

import asyncio
from collections.abc import AsyncGenerator

from cloud.domain import Call
from cloud.gateway.commitment import Said
from cloud.ports import Provider
from cloud.wire.errors import UpstreamUnavailable, WaysideError
from cloud.wire.service.breaker import Breaker, judge


async def attempt(
    call: Call,
    provider: Provider,
    breaker: Breaker,
    said: Said,
    *,
    first_content_s: float | None,
    patience_s: float,
) -> AsyncGenerator[bytes]:
    """Nothing is yielded before it binds, so what is raised before the first document has reached nobody.

    `first_content_s` is how long the first content may take; None waits for the deadline.
    """
    permit = breaker.admit()
    clock = asyncio.get_running_loop().time
    heard = clock()
    documents = provider.complete(call)
    try:
        held: list[bytes] = []
        if call.request.streams:
            async with asyncio.timeout(first_content_s) as patience:
                async for document in documents:
                    heard = clock()
                    permit.answered()
                    held.append(document)
                    if said.hear(document):
                        if not call.model.buffered:
                            break
                        patience.reschedule(None)  # it speaks: how long it goes on is not ours to bound
        for document in held:
            yield document
        async for document in documents:
            heard = clock()
            if call.request.streams:
                said.hear(document)
            yield document
        permit.succeeded()
    except TimeoutError as error:
        permit.failed()
        raise UpstreamUnavailable(f"`{call.model.name}` said nothing for too long") from error
    except WaysideError as error:
        permit.settle(
            judge(
                error,
                waited_s=clock() - heard,
                remaining_s=call.deadline - clock(),
                patience_s=patience_s,
            )
        )
        raise
    finally:
        permit.abandoned()  # the caller left: the first settlement counts
        await documents.aclose()
