"""The only file that names adapters: opens them, puts the cloud together, closes them."""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from cloud import catalog
from cloud.accounting import budget
from cloud.accounting.admission import Admission
from cloud.accounting.budget import BudgetsFile
from cloud.accounting.metered import Metered
from cloud.adapters.database import Database, open_database
from cloud.adapters.processes import Processes
from cloud.adapters.sql_idempotency import SqlIdempotency
from cloud.adapters.sql_memories import SqlMemories
from cloud.adapters.sql_run_history import RunsWithHistory
from cloud.agents import roster
from cloud.background import keep_running
from cloud.catalog import Catalog, LocalConfig, OpenAiConfig, ProviderConfig, ScriptedConfig
from cloud.idempotency import Idempotent
from cloud.loop import RunLimits
from cloud.orchestrator import Orchestrator
from cloud.plain_answering import PlainAnswering
from cloud.ports import Answering, CheckpointStore, Erasable, Ledger, Provider, Recall, Runs, SessionStore
from cloud.providers.local import LocalProvider
from cloud.providers.openai import OpenAiProvider
from cloud.providers.scripted import ScriptedProvider
from cloud.run_loop import RunLoop
from cloud.run_steps import RunSteps
from cloud.settings import CloudSettings
from cloud.wire.errors import UpstreamUnavailable
from cloud.wire.service.client import Limits, OpenAiClient, new_session
from cloud.wire.service.keyfile import KeyFile, WatchedKeyring
from cloud.wire.service.observe import Instruments, Metrics
from cloud.wire.service.settings import Secret, StartUpError
from cloud.wiring_accounting import open_ledger
from cloud.wiring_gateway import open_gateway
from cloud.wiring_memory import open_memory
from cloud.wiring_runs import open_runs, sweep_runs
from cloud.wiring_sessions import open_sessions
from cloud.wiring_tools import open_tools


@dataclass(frozen=True, kw_only=True, slots=True)
class Cloud:
    """A running cloud: what handlers work with."""

    settings: CloudSettings
    keys: WatchedKeyring
    database: Database
    catalog: Catalog
    providers: Mapping[str, Provider]
    answering: Answering
    sessions: SessionStore
    checkpoints: CheckpointStore
    memories: SqlMemories
    recall: Recall
    runs: Runs
    ledger: Ledger
    budgets: BudgetsFile
    erasables: tuple[Erasable, ...]
    metrics: Metrics
    started_at: int
    """Unix time, seconds."""


@asynccontextmanager
async def open_cloud(settings: CloudSettings, instruments: Instruments) -> AsyncIterator[Cloud]:
    file = catalog.read(settings.providers_file)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.database))
        providers = {
            name: await _open_provider(name, config, stack) for name, config in file.providers.items()
        }
        models = catalog.catalog_of(file)
        processes = Processes(settings.data_dir / "workers")
        stack.callback(processes.close)
        idempotency = SqlIdempotency(
            database,
            processes,
            ttl_s=settings.idempotency_ttl_s,
            term_s=settings.idempotency_lease_s,
        )
        memory = await open_memory(settings, database, instruments.log, stack)
        toolbox = await stack.enter_async_context(open_tools(settings, recall=memory.recall))
        ledger = await open_ledger(database, instruments.log, stack)
        budgets = budget.read(settings.budgets_file)
        gateway = Metered(
            open_gateway(settings, models, providers, instruments),
            ledger=ledger,
            budgets=budgets,
            usual_output=settings.budget_reserve_tokens,
        )
        agents = roster.read(settings.agents_file, tools=frozenset(toolbox.tools), granted=toolbox.granted)
        loop = RunLoop(
            roster=agents,
            limits=RunLimits(
                turns=settings.max_turns,
                tool_calls=settings.max_tool_calls,
                tokens=settings.max_run_tokens,
                usd=settings.max_run_usd,
                same_calls=settings.max_same_calls,
            ),
            steps=RunSteps(
                provider=gateway,
                catalog=models,
                roster=agents,
                tools=toolbox.tools,
                tracing=instruments.tracing,
                log=instruments.log,
            ),
            tracing=instruments.tracing,
        )
        runs = await open_runs(settings, loop, database, processes, instruments.log, stack)
        history = RunsWithHistory(runs, database)
        keep_running(stack, sweep_runs(history, settings.run_ttl_s, instruments.log))
        sessions = await open_sessions(
            PlainAnswering(
                inner=Orchestrator(
                    provider=gateway,
                    catalog=models,
                    roster=agents,
                    runs=runs,
                    tracing=instruments.tracing,
                    background_s=settings.background_run_s,
                ),
                plain=toolbox.plain_answers,
            ),
            settings=settings,
            database=database,
            file=file,
            catalog=models,
            provider=gateway,
            recall=memory.recall,
            log=instruments.log,
            on_append=memory.wake,
            stack=stack,
        )
        yield Cloud(
            settings=settings,
            keys=WatchedKeyring(KeyFile(settings.keys_path), honours_development_keys=settings.is_loopback),
            database=database,
            catalog=models,
            providers=providers,
            answering=Admission(
                inner=Idempotent(inner=sessions.answering, kept=idempotency), ledger=ledger, budgets=budgets
            ),
            sessions=sessions.store,
            checkpoints=sessions.checkpoints,
            memories=memory.store,
            recall=memory.recall,
            runs=history,
            ledger=ledger,
            budgets=budgets,
            erasables=(sessions.erasure, memory.subjects, idempotency, runs, history),
            metrics=instruments.metrics,
            started_at=int(time.time()),
        )


async def _open_provider(name: str, config: ProviderConfig, stack: AsyncExitStack) -> Provider:
    match config:
        case LocalConfig():
            local = LocalProvider(
                name=name,
                model_path=Path(config.model_path) if config.model_path else None,
                context_tokens=config.context_tokens,
                threads=config.threads,
                max_queue=config.max_queue,
                temperature=config.temperature,
                repeat_penalty=config.repeat_penalty,
                max_output_tokens=config.max_output_tokens,
            )
            try:
                await local.open()
            except UpstreamUnavailable as error:
                raise StartUpError(f"provider `{name}`: {error.message}") from error
            stack.push_async_callback(local.close)
            return local
        case OpenAiConfig():
            limits = Limits(
                connect_s=config.connect_timeout_s,
                first_byte_s=config.first_byte_timeout_s,
                stall_s=config.stall_timeout_s,
                max_connections=config.max_connections,
            )
            client = OpenAiClient(
                base_url=config.base_url,
                api_key=_api_key(name, config),
                limits=limits,
                session=await stack.enter_async_context(new_session(limits)),
            )
            return OpenAiProvider(client=client)
        case ScriptedConfig():
            return ScriptedProvider(
                reply=config.reply,
                first_token_ms=config.first_token_ms,
                tokens_per_s=config.tokens_per_s,
                steps=[(step.tool, step.arguments) for step in config.steps],
            )
        case _:
            assert_never(config)


def _api_key(name: str, config: OpenAiConfig) -> Secret:
    if config.api_key_env is None:
        return Secret("")
    key = os.environ.get(config.api_key_env, "")
    if not key:
        raise StartUpError(f"provider `{name}`: the environment variable {config.api_key_env} is not set")
    return Secret(key)
