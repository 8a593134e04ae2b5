"""The tools, put together from a file."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.settings import CloudSettings
from cloud.wire.service.settings import StartUpError
from cloud.wiring_tools import open_tools
from tests.support.tools import FakeRecall, context

pytestmark = pytest.mark.anyio

BUILT_IN = {"calculate", "run_sql", "describe_tables", "draw_chart"}


def settings(tmp_path: Path, tools: str | None) -> CloudSettings:
    if tools is None:
        return CloudSettings(data_dir=tmp_path)
    (tmp_path / "tools.toml").write_text(tools)
    return CloudSettings(data_dir=tmp_path, tools_file=tmp_path / "tools.toml")


async def test_without_a_file_there_are_the_built_in_tools(tmp_path: Path) -> None:
    async with open_tools(settings(tmp_path, None), recall=None) as box:
        assert set(box.tools) == BUILT_IN
    async with open_tools(settings(tmp_path, None), recall=FakeRecall()) as box:
        assert set(box.tools) == BUILT_IN | {"search_memory", "search_documents"}
        assert all(name == tool.spec.name for name, tool in box.tools.items())


async def test_a_database_and_a_server_of_the_file_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.executescript("CREATE TABLE orders (id, status); INSERT INTO orders VALUES (1, 'open')")
    shop.close()
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{tmp_path / 'shop.db'}")
    file = f"""
        [databases.shop]
        url_env = "SHOP_URL"
        agents = ["analysis"]
        tenants = ["acme"]
        tables.orders = ["id", "status"]
        [mcp.support]
        command = ["{sys.executable}", "-m", "tests.support.mcp_process", "stdio"]
        allowed_tools = ["add"]
        agents = ["analysis"]
        connect_timeout_s = 30.0
    """
    async with open_tools(settings(tmp_path, file), recall=None) as box:
        assert box.file.granted("analysis") == ("query_database__shop", "support__add")
        assert set(box.tools) == BUILT_IN | set(box.file.granted("analysis"))
        rows = await box.tools["query_database__shop"].call({"sql": "SELECT status FROM orders"}, context())
        assert rows.text == "| status |\n|---|\n| open |"
        async with asyncio.timeout(30):
            while "a" not in box.tools["support__add"].spec.parameters.get("properties", {}):
                await asyncio.sleep(0.05)
        assert (await box.tools["support__add"].call({"a": 1, "b": 2}, context())).text == "3"


@pytest.mark.parametrize(
    ("url", "message"),
    [("", "the environment variable SHOP_URL is not set"), ("mysql://x", "SHOP_URL: a database's URL is")],
)
async def test_a_bad_url_is_said_at_start_up_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("SHOP_URL", url)
    file = '[databases.shop]\nurl_env = "SHOP_URL"\nagents = ["a"]\ntenants = ["*"]\ntables.t = ["c"]\n'
    with pytest.raises(StartUpError, match=message):
        async with open_tools(settings(tmp_path, file), recall=None):
            pass


def test_opening_imports_nothing_heavy() -> None:
    code = (
        "import sys, cloud.wiring_tools; "
        "print([name for name in ('duckdb', 'matplotlib', 'mcp', 'psycopg', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
