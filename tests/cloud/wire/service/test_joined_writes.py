"""Head and body leave together; nothing waits for longer than the loop takes to come round."""

import asyncio
from typing import cast

import pytest

from cloud.wire.service.joined_writes import JoinedWrites

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Recorder:
    """A transport that keeps every write apart."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def write_eof(self) -> None:
        self.written.append(b"EOF")

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def opened() -> tuple[Recorder, JoinedWrites]:
    transport = Recorder()
    return transport, JoinedWrites(cast("asyncio.Transport", transport), asyncio.get_running_loop())


async def test_a_head_and_the_body_after_it_are_one_write() -> None:
    transport, joined = opened()
    joined.write(HEAD)
    joined.write(b"hi")
    assert transport.written == [HEAD + b"hi"]
    await asyncio.sleep(0)
    assert transport.written == [HEAD + b"hi"]


async def test_a_head_whose_body_takes_its_time_leaves_at_once() -> None:
    transport, joined = opened()
    joined.write(HEAD)
    await asyncio.sleep(0)
    assert transport.written == [HEAD]
    joined.write(b"data: 1\n\n")
    joined.write(b"data: 2\n\n")
    assert transport.written == [HEAD, b"data: 1\n\n", b"data: 2\n\n"]


async def test_the_answers_to_requests_sent_together_keep_their_order() -> None:
    transport, joined = opened()
    for _ in range(3):
        joined.write(HEAD)
        joined.write(b"hi")
    await asyncio.sleep(0)
    assert b"".join(transport.written) == (HEAD + b"hi") * 3


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_nothing_held_is_lost_when_the_connection_ends(end: str) -> None:
    transport, joined = opened()
    joined.write(HEAD)
    getattr(joined, end)()
    assert transport.written[0] == HEAD
    await asyncio.sleep(0)
    assert transport.written.count(HEAD) == 1


async def test_everything_else_is_the_transports() -> None:
    transport, joined = opened()
    assert not joined.is_closing()
    joined.close()
    assert joined.is_closing()
    assert joined.get_extra_info("peername") == "the peername"
    assert transport.is_closed
