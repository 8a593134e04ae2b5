"""Texts beyond what can be read in time are refused at once, and their places are given back."""

import asyncio

import pytest

from cloud.wire.errors import Overloaded
from edge.bounded_encoder import BoundedEncoder
from edge.domain import Encoding
from tests.support.encoder import FakeEncoder

pytestmark = pytest.mark.anyio


class Slow(FakeEncoder):
    """Reads when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def encode(self, text: str) -> Encoding:
        await self.let.wait()
        return await super().encode(text)


async def test_one_more_than_the_bound_is_refused_and_the_others_are_read() -> None:
    inner, shed = Slow(), []
    encoder = BoundedEncoder(inner, most=3, on_shed=lambda: shed.append(1))
    reading = [asyncio.create_task(encoder.encode(f"text {number}")) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await encoder.encode("one more")
    assert caught.value.retry_after_s == 1
    assert len(shed) == 1
    inner.let.set()
    await asyncio.gather(*reading)
    await encoder.encode("there is room again")


async def test_a_text_that_many_ask_at_once_is_read_once_and_takes_one_place() -> None:
    inner = Slow()
    encoder = BoundedEncoder(inner, most=2)
    asking = [asyncio.create_task(encoder.encode("the same")) for _ in range(50)]
    await asyncio.sleep(0)
    another = asyncio.create_task(encoder.encode("another"))
    await asyncio.sleep(0)
    asking[0].cancel()
    inner.let.set()
    assert len({id(told) for told in await asyncio.gather(*asking[1:], another)}) == 2
    assert asking[0].cancelled()
    assert inner.passes == 2


async def test_a_text_that_cannot_be_read_fails_for_all_who_ask_and_is_read_anew_after() -> None:
    class Broken(Slow):
        async def encode(self, text: str) -> Encoding:
            await self.let.wait()
            raise ValueError(text)

    inner = Broken()
    encoder = BoundedEncoder(inner, most=1)
    asking = [asyncio.create_task(encoder.encode("the same")) for _ in range(3)]
    await asyncio.sleep(0)
    inner.let.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in told] == [ValueError] * 3
    with pytest.raises(ValueError, match="next"):
        await encoder.encode("next")


async def test_a_caller_that_leaves_gives_its_place_back() -> None:
    encoder = BoundedEncoder(Slow(), most=1)
    leaving = asyncio.create_task(encoder.encode("text"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    waiting = asyncio.create_task(encoder.encode("next"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
