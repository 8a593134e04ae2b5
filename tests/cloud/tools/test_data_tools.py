"""`run_sql`, `describe_tables` and `draw_chart` over the tables of a request."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud.tools.describe_tables import DescribeTables
from cloud.tools.draw_chart import DrawChart
from cloud.tools.run_sql import RunSql
from cloud.tools.sandbox import open_sandbox
from cloud.tools.workspace import Workspace
from tests.support.tools import SALES, context

pytestmark = pytest.mark.anyio


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    async with open_sandbox(tmp_path, processes=1) as sandbox:
        yield Workspace(sandbox, max_rows=3)


async def test_a_query_over_the_users_table_is_a_table_marked_as_content(workspace: Workspace) -> None:
    sql = "SELECT region, sum(revenue) AS revenue FROM table1 GROUP BY region ORDER BY region"
    result = await RunSql(workspace).call({"sql": sql}, context(SALES))
    assert result.text == "| region | revenue |\n|---|---|\n| North | 72.5 |\n| South | 40 |"
    assert (result.is_error, result.is_untrusted) == (False, True)


async def test_a_failed_query_tells_which_tables_there_are(workspace: Workspace) -> None:
    result = await RunSql(workspace).call({"sql": "SELECT sum(sales) FROM t"}, context(SALES))
    assert result.is_error
    assert "Table table1: columns month, product, region, units, unit_price, revenue" in result.text


async def test_more_rows_than_may_be_shown_are_said_to_be_more(workspace: Workspace) -> None:
    result = await RunSql(workspace).call({"sql": "SELECT * FROM table1"}, context(SALES))
    assert result.text.endswith("(the first 3 rows; there are more)")


@pytest.mark.parametrize("text", [None, "no table here"])
async def test_without_a_table_the_model_is_told_to_ask_for_one(
    workspace: Workspace, text: str | None
) -> None:
    for tool, arguments in (
        (RunSql(workspace), {"sql": "SELECT 1"}),
        (DescribeTables(workspace), {}),
        (DrawChart(workspace), {"sql": "SELECT 1"}),
    ):
        result = await tool.call(arguments, context(text))
        assert result.is_error
        assert "paste one" in result.text


async def test_a_broken_table_is_told_with_its_line(workspace: Workspace) -> None:
    result = await RunSql(workspace).call({"sql": "SELECT 1"}, context("```csv\na,b\n1\n```"))
    assert "messages[0], line 3" in result.text


async def test_tables_are_described_with_types_and_samples(workspace: Workspace) -> None:
    result = await DescribeTables(workspace).call({}, context(SALES))
    assert "Table table1, 4 rows:" in result.text
    assert "- revenue DECIMAL(18, 2): 25.00, 40.00, 17.50" in result.text


async def test_a_chart_comes_as_an_artifact(workspace: Workspace) -> None:
    sql = "SELECT product, sum(revenue) AS revenue FROM table1 GROUP BY product"
    result = await DrawChart(workspace).call(
        {"sql": sql, "title": "Revenue", "format": "svg"}, context(SALES)
    )
    (artifact,) = result.artifacts
    assert (artifact.name, artifact.media_type) == ("chart.svg", "image/svg+xml")
    assert b"<svg" in artifact.content


@pytest.mark.parametrize(
    "arguments",
    [
        {"sql": "SELECT product FROM table1 LIMIT 1"},
        {"sql": "SELECT product, region FROM table1 LIMIT 1"},
        {"sql": "SELECT * FROM table1"},
        {"sql": "SELECT product, revenue FROM table1 WHERE false"},
        {"sql": "SELECT 1", "kind": "pie"},
        {"sql": ""},
    ],
)
async def test_what_cannot_be_drawn_is_said(workspace: Workspace, arguments: dict[str, str]) -> None:
    result = await DrawChart(workspace).call(arguments, context(SALES))
    assert result.is_error
    assert not result.artifacts
