"""Settings: which source wins, what an error names, what never prints."""

import argparse
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.settings import CloudSettings
from cloud.wire.service.settings import (
    Secret,
    ServiceSettings,
    StartUpError,
    add_arguments,
    find_config,
    read,
    writable_folder,
)
from edge.settings import EdgeSettings


def settings(
    *, flags: dict[str, str] | None = None, environ: dict[str, str] | None = None, toml: Path | None = None
) -> EdgeSettings:
    return read(
        EdgeSettings,
        section="edge",
        prefix="WAYSIDE_EDGE_",
        flags=flags or {},
        environ=environ or {},
        config_file=toml,
    )


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "wayside.toml"
    path.write_text("[edge]\nport = 1\n[cloud]\nport = 2\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("flag", "variable", "in_file", "port"),
    [
        ("3", "2", True, 3),
        ("3", None, False, 3),
        (None, "2", True, 2),
        (None, None, True, 1),
        (None, None, False, 8080),
    ],
)
def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(
    toml: Path, flag: str | None, variable: str | None, in_file: bool, port: int
) -> None:
    read_settings = settings(
        flags={} if flag is None else {"port": flag},
        environ={} if variable is None else {"WAYSIDE_EDGE_PORT": variable},
        toml=toml if in_file else None,
    )
    assert read_settings.port == port


def test_sources_mix_setting_by_setting(toml: Path) -> None:
    mixed = settings(flags={"host": "::1"}, environ={"WAYSIDE_EDGE_MAX_HEADERS": "9"}, toml=toml)
    assert (mixed.host, mixed.max_headers, mixed.port) == ("::1", 9, 1)


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        (
            {"WAYSIDE_EDGE_ALLOWED_HOSTS": "a.example, b.example,"},
            "allowed_hosts",
            ("a.example", "b.example"),
        ),
        ({"WAYSIDE_EDGE_ALLOWED_HOSTS": ""}, "allowed_hosts", ()),
        ({"WAYSIDE_EDGE_METRICS_OPEN": "true"}, "metrics_open", True),
        ({"WAYSIDE_EDGE_METRICS_OPEN": ""}, "metrics_open", None),
        ({"WAYSIDE_EDGE_KEYS_FILE": "k.json"}, "keys_file", Path("k.json")),
        ({"WAYSIDE_EDGE_KEYS_FILE": ""}, "keys_file", None),
        ({"WAYSIDE_EDGE_LOG_REQUESTS": "false"}, "log_requests", False),
        ({"WAYSIDE_EDGE_BODY_TIMEOUT_S": "1.5"}, "body_timeout_s", 1.5),
        ({"WAYSIDE_CLOUD_PORT": "1"}, "port", 8080),
    ],
)
def test_text_becomes_the_value_it_says(environ: dict[str, str], name: str, value: Any) -> None:
    assert getattr(settings(environ=environ), name) == value


@pytest.mark.parametrize("value", ["many", "", "8.5", "-1", "65536", "0x50", "9" * 50])
def test_a_wrong_flag_is_named(value: str) -> None:
    with pytest.raises(StartUpError, match=r"^--port: expected `int`"):
        settings(flags={"port": value})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "many"),
        ("LOG_REQUESTS", "perhaps"),
        ("METRICS_OPEN", "perhaps"),
        ("BODY_TIMEOUT_S", "0"),
        ("BODY_TIMEOUT_S", "nan"),
        ("MAX_JSON_DEPTH", "501"),
        ("UPSTREAM_URL", "nonsense"),
        ("UPSTREAM_URL", "file:///etc/passwd"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(StartUpError, match=rf"^WAYSIDE_EDGE_{variable}: expected "):
        settings(environ={f"WAYSIDE_EDGE_{variable}": value})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[edge]\nport = 'x'", "[edge] port: expected `int`"),
        ("[edge]\nport = true", "[edge] port: expected `int`"),
        ("[edge]\nallowed_hosts = ['a', 3]", "[edge] allowed_hosts: expected `str`"),
        ("[edge]\ndata_dir = 5", "[edge] data_dir: expected `str`"),
        ("[edge]\nupstream_key = ['s3cret']", "[edge] upstream_key: expected `str`"),
        ("[edge]\nprot = 1", "[edge] has no setting `prot`"),
        ("edge = 1", "[edge] must be a table"),
        ("[edge", "Expected ']'"),
        ("[edge]\nport = 1\nport = 2", "Cannot overwrite a value"),
    ],
)
def test_a_wrong_key_of_the_file_is_named_with_its_file(toml: Path, text: str, complaint: str) -> None:
    toml.write_text(text, "utf-8")
    with pytest.raises(StartUpError) as caught:
        settings(toml=toml)
    assert str(toml) in str(caught.value)
    assert complaint in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_origin_that_won_is_the_one_named(toml: Path) -> None:
    toml.write_text("[edge]\nport = 'from the file'", "utf-8")
    with pytest.raises(StartUpError, match=r"^WAYSIDE_EDGE_PORT: "):
        settings(environ={"WAYSIDE_EDGE_PORT": "x"}, toml=toml)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartUpError, match=r"other\.toml"):
        settings(toml=path)


def test_the_config_file_is_the_flags_then_the_variables_then_the_one_that_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config({}, {}) is None
    (tmp_path / "wayside.toml").touch()
    assert find_config({}, {}) == Path("wayside.toml")
    assert find_config({}, {"WAYSIDE_CONFIG": "b.toml"}) == Path("b.toml")
    assert find_config({"config": "a.toml"}, {"WAYSIDE_CONFIG": "b.toml"}) == Path("a.toml")


def test_a_secret_does_not_print() -> None:
    read_settings = settings(environ={"WAYSIDE_EDGE_UPSTREAM_KEY": "s3cret"})
    assert read_settings.upstream_key.reveal() == "s3cret"
    assert "s3cret" not in f"{read_settings!r} {read_settings} {read_settings.upstream_key}"
    assert repr(Secret("")) == "Secret(unset)"


def help_of(cls: type[ServiceSettings], prefix: str) -> str:
    parser = argparse.ArgumentParser()
    add_arguments(parser, cls, prefix=prefix)
    return " ".join(parser.format_help().split())


@pytest.mark.parametrize(
    ("cls", "prefix"), [(EdgeSettings, "WAYSIDE_EDGE_"), (CloudSettings, "WAYSIDE_CLOUD_")]
)
def test_every_setting_is_in_the_help_with_its_variable_default_and_meaning(
    cls: type[ServiceSettings], prefix: str
) -> None:
    text = help_of(cls, prefix)
    for field in msgspec.structs.fields(cls):
        assert f"[{prefix}{field.name.upper()}; default: " in text, field.name


def test_a_secret_is_in_the_help_but_is_no_flag() -> None:
    text = help_of(EdgeSettings, "WAYSIDE_EDGE_")
    assert "WAYSIDE_EDGE_UPSTREAM_KEY;" in text
    assert "--upstream-key " not in text


@pytest.mark.parametrize(
    ("host", "metrics_open", "openly"),
    [
        ("127.0.0.1", None, True),
        ("127.9.9.9", None, True),
        ("::1", None, True),
        ("localhost", None, True),
        ("0.0.0.0", None, False),
        ("::", None, False),
        ("", None, False),
        ("10.0.0.1", None, False),
        ("10.0.0.1", True, True),
        ("127.0.0.1", False, False),
    ],
)
def test_metrics_are_open_on_loopback_unless_told_otherwise(
    host: str, metrics_open: bool | None, openly: bool
) -> None:
    assert EdgeSettings(host=host, metrics_open=metrics_open).serves_metrics_openly is openly


def test_the_credential_comes_from_its_variable_before_its_file(tmp_path: Path) -> None:
    file = tmp_path / "credential"
    file.write_text("from-file\n", "utf-8")
    both = EdgeSettings(upstream_key=Secret("from-variable"), upstream_key_file=file)
    assert both.upstream_credential() == Secret("from-variable")
    assert EdgeSettings(upstream_key_file=file).upstream_credential() == Secret("from-file")
    assert not EdgeSettings().upstream_credential()


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\n", b"\xff", b"two\nlines", "kéy".encode(), b"a\0b"],
    ids=["missing", "empty", "a blank line", "not UTF-8", "two lines", "not ASCII", "NUL"],
)
def test_a_credential_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "credential"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartUpError, match=r"upstream_key_file .*credential"):
        EdgeSettings(upstream_key_file=file).upstream_credential()


def test_a_credential_that_no_header_can_carry_is_refused_without_telling_it() -> None:
    with pytest.raises(StartUpError, match=r"^upstream_key holds") as caught:
        EdgeSettings(upstream_key=Secret("s3cret\n")).upstream_credential()
    assert "s3cret" not in str(caught.value)


def test_a_writable_folder_is_made_private(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "data")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartUpError, match=r"cannot write to the data folder .*file"):
        writable_folder(tmp_path / "file" / "data")
