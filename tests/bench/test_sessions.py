"""The sessions' benchmark, short: real processes killed with -9, and a conversation long enough to fold."""

import subprocess
import sys

import msgspec

from bench import long_talk
from cloud.adapters.tokens import ByteTokens


def test_killed_writers_and_folders_lose_double_and_reorder_nothing() -> None:
    command = [sys.executable, "-m", "bench", "sessions", "--rounds", "25", "--turns", "40", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = msgspec.json.decode(done.stdout)
    for store, burnt in figures["burnt"].items():
        assert burnt["acknowledged"] > 0, store
        faults = ("lost", "duplicated", "reordered", "gaps", "empty_checkpoints")
        assert [burnt[fault] for fault in faults] == [0] * len(faults)


def test_a_long_conversation_costs_a_fraction_and_keeps_what_was_said_first() -> None:
    talked = long_talk.hold(long_talk.written(200, seed=3), limit=4000, counter=("bytes", ByteTokens()))
    assert talked.turns == 200
    assert talked.over_budget == 0
    assert talked.stable_pairs == talked.pairs
    assert talked.checkpoints > 5
    assert talked.share < 0.3
    assert talked.planted_kept == talked.planted > 0
