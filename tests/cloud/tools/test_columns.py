"""What the cells of a column are taken for."""

import pytest

from cloud.tools.columns import typed


@pytest.mark.parametrize(
    ("cells", "kind", "sql_type", "stored", "unit"),
    [
        (["1", "-2", "+3"], "integer", "BIGINT", ["1", "-2", "3"], ""),
        (["1,234", "5"], "integer", "BIGINT", ["1234", "5"], ""),
        (["0.1", "2"], "decimal", "DECIMAL(18, 1)", ["0.1", "2"], ""),
        (["$1,200.50", "$0.20"], "decimal", "DECIMAL(18, 2)", ["1200.50", "0.20"], "$"),
        (["12%", "3.5%"], "decimal", "DECIMAL(18, 1)", ["12", "3.5"], "%"),
        (["1", "N/A", ""], "integer", "BIGINT", ["1", None, None], ""),
        (["1e3", "2.5"], "double", "DOUBLE", ["1e3", "2.5"], ""),
        (["2024-01-31", "2024-02-29"], "date", "DATE", ["2024-01-31", "2024-02-29"], ""),
        (["2024-01-31 10:00"], "timestamp", "TIMESTAMP", ["2024-01-31 10:00"], ""),
        (["TRUE", "false"], "boolean", "BOOLEAN", ["true", "false"], ""),
        # names for things, not numbers
        (["007", "8"], "text", "VARCHAR", ["007", "8"], ""),
        (["$1", "€2"], "text", "VARCHAR", ["$1", "€2"], ""),
        (["1.234,50"], "text", "VARCHAR", ["1.234,50"], ""),
        (["2024-02-30"], "text", "VARCHAR", ["2024-02-30"], ""),
        (["NA", "DE"], "text", "VARCHAR", ["NA", "DE"], ""),
        (["", None], "text", "VARCHAR", [None, None], ""),
        (["1" * 50], "text", "VARCHAR", ["1" * 50], ""),
    ],
)
def test_a_column_has_the_narrowest_type_that_loses_nothing(
    cells: list[str | None], kind: str, sql_type: str, stored: list[str | None], unit: str
) -> None:
    column = typed(cells)
    assert (column.kind, column.sql_type, list(column.cells), column.unit) == (kind, sql_type, stored, unit)
