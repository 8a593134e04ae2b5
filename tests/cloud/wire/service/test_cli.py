"""The command line both services have, run in this process."""

from pathlib import Path

import msgspec
import pytest

from cloud.wire.service import cli
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.settings import StartUpError
from edge.settings import EdgeSettings


def run(*argv: str, environ: dict[str, str] | None = None, fails: str = "") -> int:
    def serve(settings: EdgeSettings) -> int:
        if fails:
            raise StartUpError(fails)
        print(settings.port)
        return 0

    return cli.run(
        argv,
        environ or {},
        service="edge",
        description="An edge.",
        settings=EdgeSettings,
        keys_file=lambda settings: settings.keys_path,
        serve=serve,
    )


def test_without_a_command_the_service_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--port", "81", environ={"WAYSIDE_EDGE_PORT": "82"}) == 0
    assert capsys.readouterr().out == "81\n"


def test_what_stops_a_start_is_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fails="the disk is full") == 2
    assert capsys.readouterr() == ("", "wayside edge: the disk is full\n")


@pytest.mark.parametrize(
    ("argv", "environ", "line"),
    [
        (["--port", "many"], {}, "--port: expected `int`, got `str`"),
        ([], {"WAYSIDE_EDGE_PORT": "many"}, "WAYSIDE_EDGE_PORT: expected `int`, got `str`"),
        (["--config", "absent.toml"], {}, "cannot read absent.toml: No such file or directory"),
        ([], {"WAYSIDE_CONFIG": "absent.toml"}, "cannot read absent.toml: No such file or directory"),
        (["--prot", "1"], {}, "there is no flag --prot; see --help"),
        (["--por=1"], {}, "there is no flag --por; see --help"),
        (["--upstream-key", "s3cret"], {}, "there is no flag --upstream-key; see --help"),
        (["keys", "add", "--ten", "a"], {}, "there is no flag --ten; see --help"),
        (["keys", "list", "--port", "many"], {}, "--port: expected `int`, got `str`"),
        (
            ["keys", "add", "--tenant", "a b"],
            {},
            "a tenant's name is 1 to 64 letters, digits, '.', '_' or '-'",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_and_a_status(
    argv: list[str], environ: dict[str, str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv, environ=environ) == 2
    assert capsys.readouterr() == ("", f"wayside edge: {line}\n")


@pytest.mark.parametrize(
    "argv",
    [
        ["serve"],
        ["keys"],
        ["keys", "add"],
        ["keys", "add", "--tenant", "a", "--role", "root"],
        ["keys", "revoke"],
    ],
    ids=" ".join,
)
def test_a_command_line_nobody_knows_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*argv)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_a_key_is_shown_once_and_listed_without_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--data-dir", str(tmp_path)]
    assert run("keys", "add", "--tenant", "acme", "--role", "edge", *folder) == 0
    key = capsys.readouterr().out.strip()
    KeyFile(tmp_path / "edge-keys.json").add(tenant="dev", development=True)
    assert run(*folder, "keys", "list") == 0
    listed = capsys.readouterr().out
    assert [row.split()[1:3] for row in listed.splitlines()] == [["acme", "edge"], ["dev", "development"]]
    assert key.rpartition("-")[2] not in listed


def test_a_setting_means_the_same_before_and_after_the_command(tmp_path: Path) -> None:
    assert run("--keys-file", str(tmp_path / "k.json"), "keys", "add", "--tenant", "a") == 0
    assert run("keys", "add", "--tenant", "b", "--keys-file", str(tmp_path / "k.json")) == 0
    assert [record.tenant for record in KeyFile(tmp_path / "k.json").records()] == ["a", "b"]


def test_a_key_is_revoked_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = KeyFile(tmp_path / "edge-keys.json")
    file.add(tenant="acme")
    (record,) = file.records()
    assert run("keys", "revoke", record.id, "--data-dir", str(tmp_path)) == 0
    assert file.records() == ()
    capsys.readouterr()
    assert run("keys", "revoke", record.id, "--data-dir", str(tmp_path)) == 2
    assert capsys.readouterr().err == f"wayside edge: there is no key {record.id} in {file.path}\n"


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in msgspec.structs.fields(EdgeSettings):
        assert f"[WAYSIDE_EDGE_{field.name.upper()};" in text
