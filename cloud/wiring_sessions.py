"""Opens what keeps conversations: store, leases, token counters, the background that folds turns."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cloud.adapters.database import Database
from cloud.adapters.sql_checkpoints import SqlCheckpoints
from cloud.adapters.sql_session_erasure import SqlSessionErasure
from cloud.adapters.sql_sessions import SqlSessions
from cloud.adapters.tokens import ByteTokens, tokens_of_file, tokens_of_vocabulary
from cloud.background import keep_running
from cloud.catalog import Catalog, CatalogFile, LocalConfig
from cloud.conversations import Conversations, PromptLimits
from cloud.memory.compact import Compactor
from cloud.memory.fold import FoldPolicy
from cloud.memory.summarize import ExtractiveSummarizer
from cloud.memory.summarize_by_model import ModelSummarizer
from cloud.ports import Answering, Erasable, Provider, Recall, Summarizer, Tokens
from cloud.providers.gguf_vocabulary import read_vocabulary
from cloud.providers.weights import find_weights
from cloud.session_leases import Leases
from cloud.settings import CloudSettings
from cloud.wire.errors import ModelNotFound, UpstreamUnavailable
from cloud.wire.service.observe import Log
from cloud.wire.service.settings import StartUpError


@dataclass(frozen=True, kw_only=True, slots=True)
class Sessions:
    """Conversations, opened."""

    answering: Answering
    store: SqlSessions
    checkpoints: SqlCheckpoints
    compactor: Compactor
    erasure: Erasable


async def open_sessions(
    inner: Answering,
    *,
    settings: CloudSettings,
    database: Database,
    file: CatalogFile,
    catalog: Catalog,
    provider: Provider,
    recall: Recall | None,
    log: Log,
    on_append: Callable[[str, str], None],
    stack: AsyncExitStack,
) -> Sessions:
    """Conversations around `inner`; what runs in the background ends with `stack`.

    `provider` answers the summarizing model, if there is one: the gateway, as for every other call.
    """
    store = SqlSessions(database, lease_s=settings.session_lease_s, compaction_at=settings.compaction_at)
    checkpoints = SqlCheckpoints(database, compaction_at=settings.compaction_at)
    await checkpoints.mark_due()
    tokens_of = token_counters(file)
    compactor = Compactor(
        store=checkpoints,
        summarizer=_summarizer(settings, catalog, provider, tokens_of),
        fallback=ExtractiveSummarizer(),
        tokens_of=tokens_of,
        policy=FoldPolicy(at=settings.compaction_at, folds=settings.compaction_folds),
        log=log,
        poll_s=settings.compaction_poll_s,
    )

    def wake(tenant: str, session: str) -> None:
        compactor.wake()
        on_append(tenant, session)

    leases = Leases(
        store,
        conflict=settings.session_conflict,
        wait_s=settings.session_wait_ms / 1000,
        term_s=settings.session_lease_s,
    )
    stack.push_async_callback(leases.close)
    if settings.process_role != "api":
        keep_running(stack, compactor.run())
    return Sessions(
        answering=Conversations(
            inner=inner,
            store=checkpoints,
            leases=leases,
            recall=recall,
            tokens_of=tokens_of,
            limits=PromptLimits(
                prompt_tokens=settings.session_prompt_tokens,
                context_tokens=settings.default_context_tokens,
                reserve_tokens=settings.prompt_reserve_tokens,
                memory_tokens=settings.session_memory_tokens,
                episodes=settings.session_episodes,
            ),
            on_append=wake,
        ),
        store=store,
        checkpoints=checkpoints,
        compactor=compactor,
        erasure=SqlSessionErasure(database, compaction_at=settings.compaction_at),
    )


def _summarizer(
    settings: CloudSettings,
    catalog: Catalog,
    provider: Provider,
    tokens_of: Callable[[str | None], Tokens],
) -> Summarizer:
    if settings.summarizer == "extractive":
        return ExtractiveSummarizer()
    try:
        model = catalog.resolve(settings.summarizer_model)
    except ModelNotFound as error:
        raise StartUpError(f"summarizer_model: {error.message}") from error
    return ModelSummarizer(
        provider=provider,
        model=model,
        tokens=tokens_of(model.name),
        context_tokens=model.context_tokens or settings.default_context_tokens,
    )


def token_counters(file: CatalogFile) -> Callable[[str | None], Tokens]:
    """How each model of the catalog counts; an unknown name is counted by its bytes."""
    counters: dict[str, Tokens] = {}
    for model in file.models:
        provider = file.providers[model.provider]
        if model.tokenizer_file is not None:
            counters[model.name] = tokens_of_file(Path(model.tokenizer_file))
        elif isinstance(provider, LocalConfig):
            counters[model.name] = _of_local(provider)
    by_bytes = ByteTokens()
    return lambda name: counters.get(name or "", by_bytes)


def _of_local(config: LocalConfig) -> Tokens:
    try:
        path = find_weights(Path(config.model_path) if config.model_path else None)
    except UpstreamUnavailable:  # its provider says so when it is opened
        return ByteTokens()
    return tokens_of_vocabulary(read_vocabulary(path))
