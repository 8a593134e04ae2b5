"""The peers: gateways a user would pick instead, with the settings their documents recommend."""

from dataclasses import dataclass
from pathlib import Path

from bench.driving import ROOT
from bench.peers.environments import NodeEnvironment, PythonEnvironment
from bench.processes import free_port
from bench.systems import MODEL, Launch

_HERE = Path(__file__).resolve().parent
CACHING_PEER = "litellm-exact-cache"
"""Who answers a question asked before from its own memory."""
_ENVIRONMENTS = ROOT / ".venv-peers"


@dataclass(frozen=True, kw_only=True, slots=True)
class LiteLlm:
    """LiteLLM proxy; settings of its "Production Best Practices" page, one worker, no database."""

    environment: PythonEnvironment
    name: str = "litellm"
    """Also of the configuration, a file beside this one."""
    model: str = MODEL

    def prepare(self) -> str:
        return self.environment.prepare()

    def launch(self, *, port: int, upstream_port: int, folder: Path) -> Launch:
        key = "sk-bench"
        return Launch(
            command=(
                str(self.environment.program("litellm")),
                *("--config", str(_HERE / f"{self.name}.yaml"), "--host", "127.0.0.1", "--port", str(port)),
                *("--num_workers", "1"),
            ),
            environment={
                "BENCH_UPSTREAM": f"http://127.0.0.1:{upstream_port}/v1",
                "LITELLM_MASTER_KEY": key,
                "LITELLM_MODE": "PRODUCTION",
                "LITELLM_LOG": "ERROR",
                # Otherwise it asks the internet for prices at start-up, three times.
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            headers={"authorization": f"Bearer {key}"},
            model=self.model,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Portkey:
    """Portkey's gateway on Node, without its console."""

    environment: NodeEnvironment

    @property
    def name(self) -> str:
        return "portkey"

    def prepare(self) -> str:
        return self.environment.prepare()

    def launch(self, *, port: int, upstream_port: int, folder: Path) -> Launch:
        script = self.environment.folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
        return Launch(
            command=("node", str(script), "--headless", f"--port={port}"),
            environment={"NODE_ENV": "production"},
            headers={
                "authorization": "Bearer sk-bench",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1",
            },
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Smg:
    """Shepherd Model Gateway, one HTTP worker behind it."""

    environment: PythonEnvironment

    @property
    def name(self) -> str:
        return "smg"

    def prepare(self) -> str:
        return self.environment.prepare()

    def launch(self, *, port: int, upstream_port: int, folder: Path) -> Launch:
        return Launch(
            command=(
                *(str(self.environment.program("smg")), "launch", "--host", "127.0.0.1", "--port", str(port)),
                *("--worker-urls", f"http://127.0.0.1:{upstream_port}", "--policy", "round_robin"),
                *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())),
                *("--log-level", "warn"),
            )
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class VllmRouter:
    """vLLM's router, one worker behind it."""

    environment: PythonEnvironment

    @property
    def name(self) -> str:
        return "vllm-router"

    def prepare(self) -> str:
        return self.environment.prepare()

    def launch(self, *, port: int, upstream_port: int, folder: Path) -> Launch:
        return Launch(
            command=(
                *(str(self.environment.program("vllm-router")), "--host", "127.0.0.1", "--port", str(port)),
                *("--worker-urls", f"http://127.0.0.1:{upstream_port}", "--policy", "round_robin"),
                *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())),
                *("--log-level", "warning"),
            )
        )


Peer = LiteLlm | Portkey | Smg | VllmRouter


def peers() -> tuple[Peer, ...]:
    """Every peer there is, fastest environment to install first."""

    def python(name: str) -> PythonEnvironment:
        return PythonEnvironment(folder=_ENVIRONMENTS / name, lock=_HERE / f"{name}.lock", package=name)

    portkey = NodeEnvironment(
        folder=_ENVIRONMENTS / "portkey", manifests=_HERE / "portkey", package="@portkey-ai/gateway"
    )
    return (
        Portkey(environment=portkey),
        Smg(environment=python("smg")),
        VllmRouter(environment=python("vllm-router")),
        LiteLlm(environment=python("litellm")),
        LiteLlm(environment=python("litellm"), name=CACHING_PEER),
        LiteLlm(environment=python("litellm"), name="litellm-complexity-router", model="smart"),
    )
