"""An operator's database, PostgreSQL and SQLite: what may be read is, and nothing else is done."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from cloud.tools.operator_database import Allowed, QueryFailed, database_of
from cloud.tools.query_database import QueryDatabase
from cloud.tools.sandbox import Sandbox, open_sandbox
from cloud.wire.service.settings import Secret
from tests.support.tools import context

pytestmark = pytest.mark.anyio

SCHEMA = """
CREATE TABLE orders (id integer, tenant text, status text, total numeric(10, 2), card text);
CREATE TABLE secrets (id integer, word text);
CREATE TABLE pets (id integer, tenant text, name text);
INSERT INTO orders VALUES (1, 'acme', 'open', 10.50, '4111'), (2, 'acme', 'paid', 20.25, '4222'),
  (3, 'other', 'open', 99, '4333');
INSERT INTO secrets VALUES (1, 'hidden');
INSERT INTO pets VALUES (1, 'acme', 'Rex');
"""
TABLES = {"orders": ["id", "status", "total"], "pets": ["id", "name"]}


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
async def sandbox(anyio_backend: object, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    async with open_sandbox(tmp_path_factory.mktemp("sandbox"), processes=1) as opened:
        yield opened


@pytest.fixture
def filled(database_url: str) -> str:
    """A database of each kind with three tables."""
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            connection.executescript(SCHEMA)
        connection.close()
    else:
        with psycopg.connect(database_url, autocommit=True) as server:
            server.execute(SCHEMA.encode())
    return database_url


def tool(
    url: str, sandbox: Sandbox, *, tenant_column: str | None = "tenant", max_rows: int = 100
) -> QueryDatabase:
    allowed = Allowed(tables=TABLES, tenant_column=tenant_column, timeout_s=2.0, max_rows=max_rows)
    return QueryDatabase(
        "shop",
        database_of(Secret(url), allowed),
        allowed=allowed,
        description="The shop.",
        agents=["analysis"],
        tenants=["acme", "other"],
        sandbox=sandbox,
    )


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("SELECT count(*) AS n, sum(total) AS total FROM orders", "| n | total |\n|---|---|\n| 2 | 30.75 |"),
        ("SELECT * FROM orders WHERE status = 'paid'", "| id | status | total |\n|---|---|---|\n| 2 | paid | 20.25 |"),
        ("SELECT upper(o.status) AS s FROM orders o ORDER BY o.id DESC LIMIT 1;", "| s |\n|---|\n| PAID |"),
        ("SELECT p.name FROM pets p JOIN orders o ON o.id = p.id", "| name |\n|---|\n| Rex |"),
        ("WITH paid AS (SELECT id FROM orders WHERE total > 15) SELECT id FROM paid", "| id |\n|---|\n| 2 |"),
        ("SELECT id FROM orders WHERE total = (SELECT max(total) FROM orders)", "| id |\n|---|\n| 2 |"),
        ("SELECT id FROM orders UNION SELECT id FROM pets ORDER BY 1", "| id |\n|---|\n| 1 |\n| 2 |"),
        ("SELECT CASE WHEN total > 15 THEN 'big' ELSE 'small' END AS size FROM orders WHERE id = 1", "| size |\n|---|\n| small |"),
        ("SELECT id, row_number() OVER (ORDER BY total DESC) AS place FROM orders ORDER BY id", "| id | place |\n|---|---|\n| 1 | 2 |\n| 2 | 1 |"),
        ("SELECT id FROM orders WHERE id > 100", "| id |\n|---|\n(no rows)"),
    ],
)  # fmt: skip
async def test_allowed_tables_are_read_and_of_them_the_tenants_rows(
    filled: str, sandbox: Sandbox, sql: str, table: str
) -> None:
    result = await tool(filled, sandbox).call({"sql": sql}, context())
    assert result.text == table
    assert result.is_untrusted


ATTACKS = [
    "INSERT INTO orders VALUES (9, 'acme', 'x', 1, '')",
    "UPDATE orders SET total = 0",
    "DELETE FROM orders",
    "DROP TABLE orders",
    "CREATE TABLE x (id integer)",
    "TRUNCATE orders",
    "SELECT 1; DELETE FROM orders",
    "SELECT 1) AS a; DELETE FROM orders; SELECT * FROM (SELECT 1",
    "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO orders VALUES (9) RETURNING *) SELECT * FROM new",
    "SELECT * INTO copy FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "COPY orders TO '/tmp/wayside-escape'",
    "COPY orders TO PROGRAM 'id'",
    "SELECT word FROM secrets",
    "SELECT word FROM public.secrets",
    "SELECT word FROM main.secrets",
    "SELECT * FROM public.orders",
    "WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets",
    "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders",
    "WITH RECURSIVE secrets AS (SELECT 1 UNION ALL SELECT word FROM secrets) SELECT * FROM secrets",
    "SELECT (SELECT word FROM secrets LIMIT 1) FROM orders",
    "SELECT id FROM orders UNION SELECT word FROM secrets",
    "SELECT card FROM orders",
    "SELECT o.card FROM orders o",
    "SELECT tenant FROM orders",
    "SELECT id FROM orders WHERE card LIKE '4%'",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "WITH pg_authid AS (SELECT * FROM pg_authid) SELECT * FROM pg_authid",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM sqlite_master",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_sleep(60)",
    "SELECT current_setting('data_directory')",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT query_to_xml('SELECT * FROM secrets', true, true, '')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT dblink('x', 'y')",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT pg_catalog.pg_sleep(60)",
    "SELECT * FROM generate_series(1, 10)",
    "SELECT 'secrets'::regclass",
    "SET default_transaction_read_only = off",
    "PRAGMA table_info(secrets)",
    "ATTACH '/tmp/wayside-escape.db' AS x",
    "EXPLAIN SELECT 1",
    "SELECT $1",
    "VALUES (1)",
    "nonsense",
]


async def test_nothing_else_is_read_or_done(filled: str, sandbox: Sandbox) -> None:
    shop = tool(filled, sandbox)
    for sql in ATTACKS:
        result = await shop.call({"sql": sql}, context())
        assert result.is_error, sql
        assert "hidden" not in result.text, sql
    untouched = await tool(filled, sandbox, tenant_column=None).call(
        {"sql": "SELECT count(*) FROM orders"}, context()
    )
    assert untouched.text.endswith("| 3 |")


async def test_the_database_itself_refuses_too(filled: str) -> None:
    """As if our own reading of the query had let it through."""
    allowed = Allowed(tables=TABLES, tenant_column="tenant", timeout_s=2.0)
    database = database_of(Secret(filled), allowed)
    passing = PASSES_ALONE | (PASSES_ON_POSTGRESQL if filled.startswith("postgresql") else set())
    for sql in set(ATTACKS[:36]) - passing:
        try:
            rows = await database.query(sql, tenant="acme", timeout_s=2.0)
        except QueryFailed:
            continue
        pytest.fail(f"{sql}: {rows}")


async def test_a_later_table_expression_is_no_way_to_a_real_table(filled: str, sandbox: Sandbox) -> None:
    sql = "WITH x AS (SELECT * FROM secrets), secrets AS (SELECT 1 AS word) SELECT word FROM x"
    result = await tool(filled, sandbox).call({"sql": sql}, context())
    assert "hidden" not in result.text


PASSES_ALONE = {
    # reads the tenant's own rows, by the name that stands for them
    "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders",
}
PASSES_ON_POSTGRESQL = {
    "SELECT * FROM orders FOR UPDATE",  # of what stands for the table: nothing is locked
    # a superuser reads all whose schema is named: the operator's role is what stops it
    "SELECT word FROM public.secrets",
    "SELECT * FROM public.orders",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "WITH pg_authid AS (SELECT * FROM pg_authid) SELECT * FROM pg_authid",
    "SELECT * FROM information_schema.tables",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT current_setting('data_directory')",
}


async def test_tenants_never_meet(filled: str, sandbox: Sandbox) -> None:
    shop = tool(filled, sandbox)
    sql = {"sql": "SELECT id FROM orders ORDER BY id"}
    assert (await shop.call(sql, context(tenant="other"))).text == "| id |\n|---|\n| 3 |"
    assert (await shop.call(sql, context(tenant="' OR '1'='1"))).is_error
    assert (await shop.call(sql, context(tenant="third"))).is_error
    assert (await shop.call(sql, context(agent="chat"))).is_error


async def test_rows_and_time_are_limited(filled: str, sandbox: Sandbox) -> None:
    few = tool(filled, sandbox, tenant_column=None, max_rows=2)
    assert (await few.call({"sql": "SELECT id FROM orders"}, context())).text.endswith(
        "(the first 2 rows; there are more)"
    )
    joins = ", ".join(f"orders o{n}" for n in range(18))
    slow = await few.call({"sql": f"SELECT count(*) FROM {joins}"}, context(seconds=0.3))
    assert slow.is_error
    assert "longer" in slow.text


async def test_a_database_that_is_not_there_is_said(sandbox: Sandbox, tmp_path: Path) -> None:
    for url in ("postgresql://nobody@127.0.0.1:1/x", f"sqlite:///{tmp_path / 'none.db'}"):
        result = await tool(url, sandbox).call({"sql": "SELECT id FROM orders"}, context())
        assert result.is_error
        assert "cannot be" in result.text
    assert not (tmp_path / "none.db").exists()
