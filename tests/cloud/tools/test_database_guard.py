"""What an operator's database is never asked."""

import pytest

from cloud.tools.database_guard import NotAllowed, check_text, confined


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 -- and more",
        "SELECT /* x */ 1",
        "SELECT $1",
        "SELECT $$text$$",
        "SELECT E'\\''",
        "SELECT ?",
        "SELECT `secret` FROM orders",
        "SELECT U&'d' FROM orders",
        "SELECT 1 \x00",
    ],
)
def test_text_that_two_parsers_may_read_in_two_ways_is_refused(sql: str) -> None:
    with pytest.raises(NotAllowed):
        check_text(sql)


def test_a_last_semicolon_is_taken_off() -> None:
    assert check_text(" SELECT 1 ;\n") == "SELECT 1"


def test_a_query_stands_behind_the_tables_it_may_read() -> None:
    sql = confined(
        "SELECT * FROM orders",
        {"orders": ["id", 'odd"name']},
        source=lambda table: f"public.{table}",
        condition="tenant = 'acme'",
        max_rows=10,
    )
    assert sql == (
        'WITH "orders" AS (SELECT "id", "odd""name" FROM public.orders WHERE tenant = \'acme\')'
        " SELECT * FROM (\nSELECT * FROM orders\n) AS wayside_result LIMIT 11"
    )
