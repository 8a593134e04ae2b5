"""The tools file: read, checked, and an error names its key."""

from pathlib import Path

import pytest

from cloud.tools.config import read
from cloud.wire.service.settings import StartUpError

GOOD = """
[databases.shop]
url_env = "SHOP_URL"
agents = ["analysis", "chat"]
tenants = ["*"]
tenant_column = "tenant"
tables.orders = ["id", "status"]

[mcp.tickets]
command = ["tickets-mcp", "--quiet"]
allowed_tools = ["find", "create"]
agents = ["chat"]
env = { TOKEN = "TICKETS_TOKEN" }
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tools.toml"
    path.write_text(text)
    return path


def test_agents_are_granted_what_names_them(tmp_path: Path) -> None:
    file = read(written(tmp_path, GOOD))
    assert file.granted("chat") == ("query_database__shop", "tickets__find", "tickets__create")
    assert file.granted("analysis") == ("query_database__shop",)
    assert file.granted("research") == ()
    assert read(None).granted("chat") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('url_env = "SHOP_URL"', "", r"\[databases.shop\] .*url_env"),
        ("tables.orders", "tabels.orders", r"\[databases.shop\] .*tabels"),
        ('["id", "status"]', "[]", r"\[databases.shop\] .*tables"),
        ('tenants = ["*"]', "", r"\[databases.shop\] .*tenants"),
        ("[databases.shop]", '[databases."My Shop"]', r"\[databases.My Shop\] the name must be"),
        ('command = ["tickets-mcp", "--quiet"]', "", r"\[mcp.tickets\] give either `command` or `url`"),
        ('command = ["tickets-mcp", "--quiet"]', 'url = "http://x/mcp"', r"\[mcp.tickets\] `env` goes with"),
        ('command = ["tickets-mcp", "--quiet"]', 'url = "ftp://x"', r"\[mcp.tickets\] .*url"),
        ('allowed_tools = ["find", "create"]', "", r"\[mcp.tickets\] .*allowed_tools"),
        ("[mcp.tickets]", "[mpc.tickets]", "mpc"),
        ("[mcp.tickets]", "[mcp.tickets", "tools.toml"),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(StartUpError, match=message):
        read(written(tmp_path, GOOD.replace(old, new)))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StartUpError, match="cannot read the tools file"):
        read(tmp_path / "none.toml")
