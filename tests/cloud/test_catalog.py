"""The providers file: what it may say, what an error names, which model a request means."""

from pathlib import Path

import pytest

from cloud.catalog import DEFAULT, LocalConfig, OpenAiConfig, ScriptedConfig, catalog_of, read
from cloud.wire.errors import ModelNotFound
from cloud.wire.service.settings import StartUpError

SCRIPT = '[providers.script]\nkind = "scripted"\n'
MODEL = '[[models]]\nname = "echo"\nprovider = "script"\n'
OTHER = '[[models]]\nname = "other"\nprovider = "script"\nupstream_name = "theirs"\ntier = "strong"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "providers.toml"


def test_without_a_file_the_one_model_is_local_and_auto_means_it() -> None:
    assert read(None) == DEFAULT
    catalog = catalog_of(DEFAULT)
    assert [model.name for model in catalog.models] == ["local"]
    assert catalog.resolve("auto").name == "local"


def test_providers_of_every_kind_stand_side_by_side(file: Path) -> None:
    file.write_text(
        SCRIPT
        + '[providers.vllm]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "K"\n'
        + '[providers.mine]\nkind = "local"\nthreads = 1\n'
        + MODEL,
        "utf-8",
    )
    assert read(file).providers == {
        "script": ScriptedConfig(),
        "vllm": OpenAiConfig(base_url="http://127.0.0.1:9/v1", api_key_env="K"),
        "mine": LocalConfig(threads=1),
    }


def test_a_model_has_the_name_its_provider_gives_it(file: Path) -> None:
    file.write_text(SCRIPT + MODEL + OTHER, "utf-8")
    echo, other = catalog_of(read(file)).models
    assert (echo.upstream_name, echo.tier) == ("echo", "standard")
    assert (other.provider, other.upstream_name, other.tier) == ("script", "theirs", "strong")


@pytest.mark.parametrize(("auto", "means"), [("", "echo"), ('auto = "other"\n', "other")])
def test_auto_means_the_model_that_is_named_or_the_first(file: Path, auto: str, means: str) -> None:
    file.write_text(auto + SCRIPT + MODEL + OTHER, "utf-8")
    assert catalog_of(read(file)).resolve("auto").name == means


@pytest.mark.parametrize("name", ["gpt-9", "Echo", "echo ", "theirs", ""])
def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(file: Path, name: str) -> None:
    file.write_text(SCRIPT + MODEL + OTHER, "utf-8")
    with pytest.raises(ModelNotFound) as caught:
        catalog_of(read(file)).resolve(name)
    assert caught.value.message == f"there is no model `{name}`; known models: auto, echo, other"
    assert (caught.value.status, caught.value.param, caught.value.code) == (404, "model", "model_not_found")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "`models`|`providers`"),
        (SCRIPT, "`models`"),
        (SCRIPT + "models = []", "models"),
        (MODEL, "`providers`"),
        ("providers = 1\n" + MODEL, r"\$\.providers"),
        (SCRIPT + MODEL + 'autos = "echo"', "`autos`"),
        ('auto = "absent"\n' + SCRIPT + MODEL, "`auto` names the model `absent`"),
        ("[providers.p]\n" + MODEL, r"\[providers\.p\] .*`kind`"),
        ('[providers.p]\nkind = "magic"\n' + MODEL, r"\[providers\.p\] .*'magic'.*kind"),
        ('[providers.p]\nkind = "openai"\n' + MODEL, r"\[providers\.p\] .*`base_url`"),
        ('[providers.p]\nkind = "openai"\nbase_url = "nonsense"\n', r"\[providers\.p\] .*base_url"),
        (
            '[providers.p]\nkind = "openai"\nbase_url = "http://x"\napi_key = "k"',
            r"\[providers\.p\] .*`api_key`",
        ),
        ('[providers.p]\nkind = "local"\nthreads = 0\n' + MODEL, r"\[providers\.p\] .*threads"),
        ('[providers.p]\nkind = "local"\ntemperature = "hot"\n' + MODEL, r"\[providers\.p\] .*temperature"),
        (SCRIPT + "tokens_per_s = -1\n" + MODEL, r"\[providers\.script\] .*tokens_per_s"),
        (SCRIPT + "reply = 5\n" + MODEL, r"\[providers\.script\] .*reply"),
        (SCRIPT + MODEL + 'price = "cheap"', r"`price` - at `\$\.models\[0\]"),
        (SCRIPT + MODEL + 'tier = "best"', r"'best' - at `\$\.models\[0\]\.tier"),
        (SCRIPT + '[[models]]\nprovider = "script"', r"`name` - at `\$\.models\[0\]"),
        (SCRIPT + '[[models]]\nname = ""\nprovider = "script"', r"models\[0\]\.name"),
        (SCRIPT + '[[models]]\nname = "m"\nprovider = "absent"', r"models\[0\] names the provider `absent`"),
        (SCRIPT + MODEL + MODEL, r"models\[1\]: the name `echo` is taken"),
        (SCRIPT + '[[models]]\nname = "auto"\nprovider = "script"', r"models\[0\]: the name `auto` is taken"),
        ("[providers", "Expected ']'"),
    ],
)
def test_a_bad_file_is_named_with_the_key_at_fault(file: Path, text: str, complaint: str) -> None:
    file.write_text(text, "utf-8")
    with pytest.raises(StartUpError, match=complaint) as caught:
        read(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_named(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartUpError, match=r"providers\.toml"):
        read(file)
