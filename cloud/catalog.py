"""The operator's providers and models: one TOML file, read and checked at start-up."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.domain import Model, Price, Tier
from cloud.wire.chat import AUTO
from cloud.wire.errors import ModelNotFound
from cloud.wire.service.settings import StartUpError

Positive = Annotated[float, Meta(gt=0)]


class LocalConfig(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="local", forbid_unknown_fields=True
):
    """A GGUF model in this process."""

    model_path: str | None = None
    """If unset, the model that `make setup` installed."""
    context_tokens: Annotated[int, Meta(ge=256)] = 4096
    threads: Annotated[int, Meta(ge=1)] = 1
    """More only on cores that do nothing else: the runtime's threads wait for each other by spinning."""
    max_queue: Annotated[int, Meta(ge=0)] = 16
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.2
    repeat_penalty: Annotated[float, Meta(gt=0)] = 1.1
    max_output_tokens: Annotated[int, Meta(ge=1)] = 512


class OpenAiConfig(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="openai", forbid_unknown_fields=True
):
    """An OpenAI-compatible service: OpenAI, vLLM, Ollama, llama.cpp…"""

    base_url: Annotated[str, Meta(pattern=r"^https?://[^\s/]")]
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; keys themselves never stand in the file."""
    connect_timeout_s: Positive = 5.0
    first_byte_timeout_s: Positive = 120.0
    stall_timeout_s: Positive = 60.0
    max_connections: Annotated[int, Meta(ge=1)] = 256


class ScriptedStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of one tool."""

    tool: str
    arguments: dict[str, Any] = {}


class ScriptedConfig(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="scripted", forbid_unknown_fields=True
):
    """A script in place of a model, for tests and benchmarks: the same request, the same answer."""

    reply: str = "You said: {text}"
    """`{text}` becomes the last user message, `{first}` the first one. One word is one token."""
    first_token_ms: Annotated[float, Meta(ge=0)] = 0.0
    tokens_per_s: Annotated[float, Meta(ge=0)] = 0.0
    """0 is without pause."""
    steps: list[ScriptedStep] = []
    """What it says first after a user's message, in turn, where it is offered tools; then `reply`."""


ProviderConfig = LocalConfig | OpenAiConfig | ScriptedConfig


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    provider: str
    upstream_name: str | None = None
    tier: Tier = "standard"
    input_usd_per_million: Annotated[float, Meta(ge=0)] = 0.0
    output_usd_per_million: Annotated[float, Meta(ge=0)] = 0.0
    fallbacks: list[str] = []
    """Models that answer in its place when it cannot, in order."""
    prefill: bool = False
    """It goes on from a last assistant message (vLLM and those who follow it)."""
    buffered: bool = False
    """Hold its streams back until they are whole."""
    context_tokens: Annotated[int, Meta(ge=256)] | None = None
    """Prompt and answer together; of a local model, if unset, what its provider says."""
    tokenizer_file: str | None = None
    """A `tokenizer.json` to count prompts with; without it a local model is counted with its own, any
    other by its bytes, which is never too few."""


class CatalogFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    providers: dict[str, ProviderConfig]
    models: Annotated[list[ModelConfig], Meta(min_length=1)]
    auto: str | None = None
    """The model that `auto` means; if unset, the first."""


DEFAULT = CatalogFile(
    providers={"local": LocalConfig()}, models=[ModelConfig(name="local", provider="local")]
)


class Catalog:
    """Which models there are, and which one a request means."""

    def __init__(self, models: tuple[Model, ...], *, auto: str) -> None:
        self._models = {model.name: model for model in models}
        self._auto = self._models[auto]

    @property
    def models(self) -> tuple[Model, ...]:
        return tuple(self._models.values())

    def of_tier(self, tier: str) -> Model | None:
        """The first model of that strength."""
        return next((model for model in self.models if model.tier == tier), None)

    def resolve(self, name: str, *, tier: str | None = None) -> Model:
        """The model of that name; `auto` leaves the choice to us, or to a tier. Raises ModelNotFound."""
        if name == AUTO:
            return (self.of_tier(tier) if tier is not None else None) or self._auto
        model = self._models.get(name)
        if model is None:
            known = ", ".join([AUTO, *self._models])
            raise ModelNotFound(f"there is no model `{name}`; known models: {known}", param="model")
        return model


def read(path: Path | None) -> CatalogFile:
    """The file's content, checked. Raises StartUpError naming the key at fault."""
    if path is None:
        return DEFAULT
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        _check_providers(path, document.get("providers"))
        file = msgspec.convert(document, CatalogFile)
    except OSError as error:
        raise StartUpError(f"cannot read the providers file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise StartUpError(f"{path}: {error}") from error
    names = [model.name for model in file.models]
    for index, model in enumerate(file.models):
        if model.provider not in file.providers:
            raise StartUpError(
                f"{path}: models[{index}] names the provider `{model.provider}`, which is not there"
            )
        if missing := [name for name in model.fallbacks if name not in names]:
            raise StartUpError(f"{path}: models[{index}] falls back to `{missing[0]}`, which is not there")
        if model.name == AUTO or names.index(model.name) != index:
            raise StartUpError(f"{path}: models[{index}]: the name `{model.name}` is taken")
    if file.auto is not None and file.auto not in names:
        raise StartUpError(f"{path}: `auto` names the model `{file.auto}`, which is not there")
    return file


def _check_providers(path: Path, tables: object) -> None:
    """One by one, since an error in a table of tables does not say in which."""
    for name, table in tables.items() if isinstance(tables, dict) else ():
        try:
            msgspec.convert(table, ProviderConfig)
        except msgspec.ValidationError as error:
            raise StartUpError(f"{path}: [providers.{name}] {error}") from error


def catalog_of(file: CatalogFile) -> Catalog:
    models = tuple(
        Model(
            name=entry.name,
            provider=entry.provider,
            upstream_name=entry.upstream_name or entry.name,
            tier=entry.tier,
            uses_tools=not isinstance(file.providers[entry.provider], LocalConfig),
            fallbacks=tuple(entry.fallbacks),
            takes_prefill=entry.prefill,
            buffered=entry.buffered,
            price=Price(input_usd=entry.input_usd_per_million, output_usd=entry.output_usd_per_million),
            context_tokens=entry.context_tokens or _context_of(file.providers[entry.provider]),
        )
        for entry in file.models
    )
    return Catalog(models, auto=file.auto or models[0].name)


def _context_of(config: ProviderConfig) -> int | None:
    return config.context_tokens if isinstance(config, LocalConfig) else None
