"""Builds both images, starts them together, and checks what they promise: `make images`."""

import argparse
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from deploy.buildah import BASE, CheckFailed, Image, Store, must, step
from deploy.running_images import check_running
from deploy.sandbox import UID

ROOT = Path(__file__).resolve().parent.parent
_LOCKS = {
    "edge": ("requirements-edge.lock",),
    "cloud": ("requirements-cloud.lock", "requirements-weights.lock"),
}
_NEEDED = {"buildah": "buildah", "debootstrap": "debootstrap", "ip": "iproute2"}
"""Command -> Debian package that has it."""
NO_PROGRAM = re.compile(
    r"(.+-linux-gnu-)?(gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|cmake|rustc|cargo|go"
    r"|pip|pytest|py\.test|ruff|mypy|hypothesis)[\d.]*(-[\d.]+)?"
)
_NO_LIBRARY = re.compile("pip|setuptools|wheel|_?pytest|ruff|mypy|hypothesis|openai|importlinter")


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy/check_images.sh", description=__doc__)
    parser.add_argument("--fresh-base", action="store_true", help="make the base image anew")
    options = parser.parse_args()
    # As Ctrl-C: what runs is stopped and what was mounted is let go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(os.environ.get("IMAGES_DIR") or ROOT / ".images").absolute()
    try:
        check(folder, fresh_base=options.fresh_base)
    except (CheckFailed, OSError, subprocess.TimeoutExpired) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def check(folder: Path, *, fresh_base: bool) -> None:
    if os.geteuid() != 0:
        raise CheckFailed("this check makes file systems and namespaces: run it as root")
    if sys.version_info[:2] != (3, 11):
        raise CheckFailed("this check fetches wheels for the images: run it with Python 3.11")
    began = time.monotonic()
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context((folder / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        store = Store(folder)
        stack.callback(store.close)
        _install_tools(store)
        # What a run that was killed has left.
        store.close()
        if fresh_base or not store.has_base():
            step("base: debootstrap, once")
            store.make_base()
        images = {}
        for name, locks in _LOCKS.items():
            wheels = store.fetch_wheels(name, tuple(ROOT / lock for lock in locks))
            started = time.monotonic()
            images[name] = store.build(f"localhost/wayside-{name}:check", ROOT / f"Dockerfile.{name}", wheels)
            step(f"{name}: built in {time.monotonic() - started:.0f} s")
            _check_config(name, images[name])
            check_files(name, images[name])
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wayside-images-")))
        # The images' user has to pass through to what is bound inside.
        scratch.chmod(0o711)
        check_running(images["edge"], images["cloud"], scratch, stack)
        base = store.size_bytes(BASE)
        for name, image in images.items():
            print(
                f"{name} image: {_mb(image.size_bytes)} MB unpacked"
                f" = base {_mb(base)} MB + our layers {_mb(image.size_bytes - base)} MB"
            )
    print(f"images: ok in {time.monotonic() - began:.0f} s")


def _install_tools(store: Store) -> None:
    missing = [package for command, package in _NEEDED.items() if shutil.which(command) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise CheckFailed(f"install {' and '.join(missing)} first")
    step(f"installing {', '.join(missing)}")
    store.run("apt-get", "update", "-q")
    store.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing)


def _check_config(name: str, image: Image) -> None:
    must(image.user == f"{UID}:{UID}", f"{name}: its user is `{image.user}`, not {UID}:{UID}")
    must(image.entrypoint == ("python", "-m", name), f"{name}: its entrypoint is {image.entrypoint}")
    must(image.volumes == {"/data"}, f"{name}: its volumes are {sorted(image.volumes)}")
    must(image.healthcheck[:1] == ("CMD",), f"{name}: it has no health check of the exec form")
    leaked = [key for key in image.environ if key.startswith("PIP_") or key.lower().endswith("_proxy")]
    must(not leaked, f"{name}: the build machine's {leaked} is in its environment")


def check_files(name: str, image: Image) -> None:
    for folder, folders, files in os.walk(image.root):
        here = Path("/") / Path(folder).relative_to(image.root)
        if here.name in ("bin", "sbin"):
            _must_lack(name, here, NO_PROGRAM, files)
        elif here.name in ("site-packages", "dist-packages"):
            _must_lack(name, here, _NO_LIBRARY, folders)
        if here.is_relative_to("/app"):
            for file in files:
                must(belongs(name, here / file), f"{name}: {here / file} does not belong in this image")
    must(not (image.root / "etc/pip.conf").exists(), f"{name}: the build's pip.conf is inside")
    data = (image.root / "data").stat()
    must(
        (data.st_uid, stat.S_IMODE(data.st_mode)) == (UID, 0o700),
        f"{name}: /data is not private to the image's user",
    )
    step(f"{name}: no compiler, no test tool, no foreign code inside")


def belongs(name: str, path: Path) -> bool:
    """Whether a file of ours may be in that image; bytecode counts as its source."""
    code = path.parent.parent / path.name if path.parent.name == "__pycache__" else path
    packages = ("/app/cloud", "/app/models")
    is_package_itself = str(code.parent) in packages and code.name.startswith("__init__.")
    ours = ("/app/cloud",) if name == "cloud" else ("/app/edge", "/app/cloud/wire")
    folders = (*ours, "/app/models/reading", "/app/models/bundles")
    return is_package_itself or any(code.is_relative_to(folder) for folder in folders)


def _must_lack(name: str, folder: Path, unwanted: re.Pattern[str], present: list[str]) -> None:
    found = sorted(filter(unwanted.fullmatch, present))
    must(not found, f"{name}: {', '.join(found)} in {folder} has no business in this image")


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f}"


if __name__ == "__main__":
    sys.exit(main())
