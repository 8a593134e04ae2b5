"""Children are measured with all they start, and none survives its block."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.processes import base_environment, running, ticks_s, tree

PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "while True: sum(range(1000))"], start_new_session=True)
print("up", flush=True)
while True: sum(range(1000))
"""


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_counts_and_ends_with_its_own_children(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT]
    with running(command, log=tmp_path / "log", environment=base_environment()) as child:
        wait_until(lambda: len(tree(child.pid)) == 2)
        wait_until(lambda: child.cpu_s() > 0.2)
        members = tree(child.pid)
        assert abs(child.cpu_s() - sum(map(ticks_s, members))) < 0.1
        assert child.rss_bytes() > 1_000_000
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in members))


def test_a_child_ends_when_the_block_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        pytest.raises(RuntimeError),
        running(command, log=tmp_path / "log", environment=base_environment()) as child,
    ):
        raise RuntimeError
    assert child.has_ended


def test_the_last_words_of_a_child_say_why_it_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with running(command, log=tmp_path / "log", environment=base_environment()) as child:
        wait_until(lambda: child.has_ended)
        assert child.last_words() == "the port is taken"


def test_children_inherit_no_proxy_and_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://example.invalid")
    monkeypatch.setenv("WAYSIDE_EDGE_LOG_REQUESTS", "false")
    environment = base_environment()
    assert "HTTPS_PROXY" not in environment
    assert "WAYSIDE_EDGE_LOG_REQUESTS" not in environment
