"""What the cloud can be told, and its defaults."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from cloud.wire.service.cli import default_keys_file
from cloud.wire.service.settings import Secret, ServiceSettings
from models.reading.bundle import SHIPPED


class CloudSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on")] = 8090
    providers_file: Annotated[
        Path | None, Meta(description="TOML file of providers and models; if unset, the local model alone")
    ] = None

    database_url: Annotated[
        Secret,
        Meta(
            description="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; if unset, a file in data_dir"
        ),
    ] = Secret("")

    process_role: Annotated[
        Literal["all", "api", "worker"],
        Meta(description="`api` answers and leaves background work to processes that are `worker` or `all`"),
    ] = "all"

    # Agents
    agents_file: Annotated[
        Path | None, Meta(description="TOML file that adds agents or changes the shipped ones")
    ] = None
    max_turns: Annotated[int, Meta(ge=1, description="steps of a model in one run")] = 10
    max_tool_calls: Annotated[int, Meta(ge=0, description="tool calls in one run")] = 16
    max_run_tokens: Annotated[int, Meta(ge=1, description="tokens of one run, read and written")] = 60_000
    max_run_usd: Annotated[
        float, Meta(ge=0, description="cost of one run by the price table, US dollars; 0 for no limit")
    ] = 1.0

    max_same_calls: Annotated[
        int, Meta(ge=1, description="how often a run may call the same tool with the same arguments")
    ] = 2

    # Budgets
    budgets_file: Annotated[
        Path | None, Meta(description="TOML file of what tenants may spend; if unset, nothing is limited")
    ] = None
    budget_reserve_tokens: Annotated[
        int, Meta(ge=1, description="reserved for an answer whose caller sets no limit, tokens")
    ] = 1024

    # Runs
    durable_runs: Annotated[
        bool, Meta(description="runs of agents survive the process; if false they are tasks of it")
    ] = True
    max_runs_at_once: Annotated[int, Meta(ge=1, description="runs that one process takes up at once")] = 64
    background_run_s: Annotated[
        float, Meta(gt=0, description="how long a run may take that nobody waits for, seconds")
    ] = 600.0
    run_ttl_s: Annotated[
        float, Meta(gt=0, description="how long an ended run is kept to be looked at, seconds")
    ] = 7 * 86_400.0
    run_worker_lease_s: Annotated[
        float,
        Meta(ge=2, description="silence after which a worker of another machine counts as dead, seconds"),
    ] = 10.0

    # Idempotency
    idempotency_ttl_s: Annotated[
        float, Meta(gt=0, description="how long an answer is told again under its Idempotency-Key, seconds")
    ] = 86_400.0
    idempotency_lease_s: Annotated[
        float,
        Meta(
            ge=1,
            description="silence after which a process of another machine no longer holds a key, seconds",
        ),
    ] = 10.0

    # Providers
    provider_retries: Annotated[
        int, Meta(ge=0, le=5, description="further attempts at one model before the next one's turn")
    ] = 1
    provider_retry_wait_ms: Annotated[
        int, Meta(ge=0, description="wait before the first of them, doubling, jittered, milliseconds")
    ] = 250
    provider_longest_retry_wait_s: Annotated[
        float,
        Meta(ge=0, description="longest such wait; a longer Retry-After goes to the next model, seconds"),
    ] = 2.0
    provider_first_token_s: Annotated[
        float,
        Meta(gt=0, description="patience with a model's first content while another could answer, seconds"),
    ] = 10.0
    provider_hedge_ms: Annotated[
        int,
        Meta(
            ge=0,
            description="silence after which the next model is asked as well, milliseconds; 0 for never",
        ),
    ] = 0
    provider_hedge_share: Annotated[
        float, Meta(ge=0, le=1, description="of all calls, those that may be asked twice for it")
    ] = 0.1
    breaker_failures: Annotated[
        int, Meta(ge=1, description="consecutive failures of a model that open its breaker")
    ] = 3
    breaker_cool_down_s: Annotated[
        float, Meta(gt=0, description="time from opening to the first probe; doubles to the longest, seconds")
    ] = 5.0
    breaker_longest_cool_down_s: Annotated[
        float, Meta(gt=0, description="longest time between probes of a failing model, seconds")
    ] = 20.0

    # Sessions
    session_prompt_tokens: Annotated[
        int,
        Meta(
            ge=64,
            description="what a session's prompt is kept to, unless its newest exchange is longer, tokens",
        ),
    ] = 1280
    session_conflict: Annotated[
        Literal["wait", "refuse"],
        Meta(description="a second turn of a session at once: `wait` for the first, or `refuse` with 409"),
    ] = "wait"
    session_wait_ms: Annotated[
        int, Meta(ge=0, description="longest wait for another turn of the session, milliseconds")
    ] = 30_000
    session_lease_s: Annotated[
        float,
        Meta(ge=1, description="time after which a process that died no longer holds a session, seconds"),
    ] = 15.0
    session_episodes: Annotated[
        int, Meta(ge=0, le=20, description="memories recalled for a session's prompt, at most")
    ] = 3
    session_memory_tokens: Annotated[
        int, Meta(ge=0, description="of a session's prompt for recalled memories, tokens at most")
    ] = 400
    prompt_reserve_tokens: Annotated[
        int, Meta(ge=0, description="of a model's context for agents' instructions and tools, tokens")
    ] = 512
    default_context_tokens: Annotated[
        int, Meta(ge=1024, description="context of models whose entry does not say, tokens")
    ] = 8192
    compaction_at: Annotated[
        float, Meta(gt=0, lt=1, description="share of the prompt's limit from which old turns are folded")
    ] = 0.70
    compaction_folds: Annotated[
        float, Meta(gt=0, lt=1, description="share of the turns folded at a time, at least")
    ] = 0.20
    compaction_poll_s: Annotated[
        float, Meta(gt=0, description="pause between two looks for sessions to fold, seconds")
    ] = 2.0
    summarizer: Annotated[
        Literal["extractive", "provider"],
        Meta(description="who folds turns: rules, or the model `summarizer_model`"),
    ] = "extractive"
    summarizer_model: Annotated[
        str, Meta(description="model of the catalog that summarizes; `auto` for its default")
    ] = "auto"

    # Long-term memory
    memory_search: Annotated[
        Literal["hybrid", "words"],
        Meta(description="how memories are found: by words and meaning, or by `words` alone"),
    ] = "hybrid"
    memory_bundle: Annotated[
        Path | None, Meta(description="bundle that embeds memories; if unset, the one that is shipped")
    ] = None

    # Tools
    tools_file: Annotated[
        Path | None, Meta(description="TOML file of databases and MCP servers that agents may use")
    ] = None
    sandbox_processes: Annotated[
        int, Meta(ge=1, le=64, description="processes that compute SQL and charts, started when first needed")
    ] = 2
    sandbox_memory_mb: Annotated[
        int, Meta(ge=64, description="memory that a query in one of them may have, in MB")
    ] = 512

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url.reveal() or f"sqlite:///{(self.data_dir / 'cloud.db').absolute()}"

    @property
    def memory_bundle_path(self) -> Path:
        return self.memory_bundle or SHIPPED

    @property
    def keys_path(self) -> Path:
        return default_keys_file(self, "cloud-keys.json")
