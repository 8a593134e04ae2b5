"""Clones HEAD into an empty folder and does what a new user does: one command, one question."""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

_FIRST_ANSWER_WITHIN_S = 15 * 60
_SECOND_START_WITHIN_S = 60
_STOPPED_WITHIN_S = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.fresh_clone", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the clone in place")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="wayside-fresh-"))
    try:
        check(folder)
    except AssertionError as error:
        print(f"fresh clone: FAILED: {error}", file=sys.stderr)
        return 1
    finally:
        if keep:
            print(f"fresh clone: kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def check(folder: Path) -> None:
    clone = folder / "wayside"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ".", str(clone)], check=True)
    pip_log = folder / "pip.log"
    started = time.monotonic()
    with Running(clone, pip_log) as first:
        answer = first.answer_within(_FIRST_ANSWER_WITHIN_S)
    minutes = (time.monotonic() - started) / 60
    with Running(clone, pip_log) as second:
        restarted = time.monotonic()
        second.answer_within(_SECOND_START_WITHIN_S)
        seconds = time.monotonic() - restarted
    assert "installing" not in second.output(), "the second `make run` installed something"
    size = downloaded_mb(pip_log.read_text("utf-8", "replace"))
    print(f"fresh clone: first answer after {minutes:.1f} min, {size:.0f} MB of packages: {answer!r}")
    print(f"fresh clone: second `make run` answered after {seconds:.1f} s and installed nothing")


class Running:
    """`make run` in its own process group, stopped as Ctrl-C stops it."""

    def __init__(self, clone: Path, pip_log: Path) -> None:
        self._clone = clone
        self._log = clone.parent / "run.log"
        self._edge, cloud = free_port(), free_port()
        # As on a new machine: no environment of this checkout's leaks in.
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("VIRTUAL_ENV", "WAYSIDE"))
        }
        self._environ = {
            **own,
            "PIP_LOG": str(pip_log),
            "EDGE_PORT": str(self._edge),
            "CLOUD_PORT": str(cloud),
        }

    def __enter__(self) -> "Running":
        with open(self._log, "wb") as log:
            self._make = subprocess.Popen(
                ["make", "run"],
                cwd=self._clone,
                env=self._environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._make.poll() is None:
            os.killpg(self._make.pid, signal.SIGINT)
        try:
            self._make.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._make.pid, signal.SIGKILL)
            raise AssertionError("Ctrl-C did not stop `make run`") from None

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def answer_within(self, limit_s: float) -> str:
        """Ask until answered, as an impatient user would."""
        give_up = time.monotonic() + limit_s
        while time.monotonic() < give_up:
            assert self._make.poll() is None, f"`make run` ended:\n{self.output()[-2000:]}"
            try:
                return self._ask()
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        raise AssertionError(f"no answer within {limit_s:.0f} s:\n{self.output()[-2000:]}")

    def _ask(self) -> str:
        key = (self._clone / "data" / "dev.key").read_text("utf-8").strip()
        body = {"model": "auto", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._edge}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=120) as response:
            text = json.load(response)["choices"][0]["message"]["content"]
        assert isinstance(text, str)
        assert text.strip(), "the answer is empty"
        return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def downloaded_mb(pip_log: str) -> float:
    """Megabytes of packages that pip's log says it fetched, from the index or from its cache."""
    unit = {"B": 1e-6, "bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
    sizes = re.findall(r"(?:Downloading|Using cached) \S+ \(([\d.]+) (B|bytes|kB|MB|GB)\)", pip_log)
    return sum(float(number) * unit[name] for number, name in sizes)


if __name__ == "__main__":
    sys.exit(main())
