"""The lateness of the event loop."""

import asyncio
import time

import pytest

from cloud.wire.service.lag import LoopLag

pytestmark = pytest.mark.anyio


def is_late(lag: LoopLag) -> bool:
    return lag.is_late


async def test_one_long_stall_is_not_lateness_that_stands() -> None:
    lag = LoopLag(latest_s=0.003)
    lag.start()
    try:
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # noqa: ASYNC251  # work that does not let go
        await asyncio.sleep(0)
        assert not is_late(lag)
        for _ in range(20):
            time.sleep(0.05)  # noqa: ASYNC251
            await asyncio.sleep(0)
        assert is_late(lag)
        await asyncio.sleep(1.2)
        assert not is_late(lag)
    finally:
        lag.stop()


async def test_a_loop_that_is_held_up_is_seen_to_be_late_and_to_recover() -> None:
    lag = LoopLag()
    lag.start()
    try:
        await asyncio.sleep(0.1)
        quiet = lag.late_s
        for _ in range(8):
            time.sleep(0.1)  # noqa: ASYNC251  # work that does not let go
            await asyncio.sleep(0)
        held_up = lag.late_s
        assert held_up > 0.02
        assert held_up > quiet
        await asyncio.sleep(1.0)
        assert lag.late_s < held_up
    finally:
        lag.stop()
