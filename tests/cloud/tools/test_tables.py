"""Tables in messages: found in each notation, never half, and prose is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.tools import table_blocks, tables
from cloud.tools.tables import Found, Table, find_tables
from cloud.wire.chat import Message


def find(*texts: str) -> Found:
    return find_tables([Message(role="user", content=text) for text in texts])


def only(found: Found) -> Table:
    (table,) = found.tables
    assert not found.problems
    return table


ROWS = (("North", "1"), ("South", "2.50"))


@pytest.mark.parametrize(
    "text",
    [
        "region,sales\nNorth,1\nSouth,2.50",
        "region\tsales\nNorth\t1\nSouth\t2.50",
        "region;sales\nNorth;1\nSouth;2.50",
        "```csv\nregion,sales\nNorth,1\nSouth,2.50\n```",
        "```\nregion,sales\nNorth,1\nSouth,2.50\n```",
        "~~~tsv\nregion\tsales\nNorth\t1\nSouth\t2.50\n~~~",
        "| Region | Sales |\n|:---|---:|\n| North | 1 |\n| South | 2.50 |",
        "Region | Sales\n--- | ---\nNorth | 1\nSouth | 2.50",
        '[{"region": "North", "sales": 1}, {"region": "South", "sales": 2.50}]',
        '```json\n[{"region": "North", "sales": 1},\n {"region": "South", "sales": 2.50}]\n```',
        '```jsonl\n{"region": "North", "sales": 1}\n{"region": "South", "sales": 2.50}\n```',
    ],
)
def test_each_notation_is_the_same_table_wherever_it_stands(text: str) -> None:
    found = find(f"What are the total sales?\n\n{text}\n\nThank you!")
    assert only(found) == Table(name="table1", columns=("region", "sales"), rows=ROWS)
    assert found.question == "What are the total sales?\n\n\nThank you!"


def test_a_sentence_with_commas_right_above_or_below_is_no_row() -> None:
    found = find(
        "In this data, what is the total?\nregion,sales\nNorth,1\nSouth,2.50\nGiven that, what is the total?"
    )
    assert only(found).rows == ROWS
    assert found.question == "In this data, what is the total?\nGiven that, what is the total?"


def test_a_greeting_right_above_is_no_header() -> None:
    found = find("Hello there, friend\nregion,sales\nNorth,1\nSouth,2.50")
    assert only(found).columns == ("region", "sales")


@pytest.mark.parametrize(
    "text",
    [
        "Hello, how are you\nI am, you know, fine\nOk, bye",
        "What is 3, 4 and 5?\n\nThanks, Bob",
        "Dear Ann, I wrote to you\nabout the cat, the dog\nand so on, you see",
        "```python\na, b = 1, 2\nc, d = 3, 4\n```",
        "[1, 2, 3]",
        "[see below]",
        '{"a": 1}',
    ],
)
def test_prose_code_and_other_json_are_no_tables(text: str) -> None:
    found = find(text)
    assert not found.tables
    assert found.question == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Hi\n```csv\na,b\n1,2\n3\n```", "messages[0], line 5: 1 cells where the table has 2 columns"),
        ("a,b,c\n1,2,3\n1,2\n4,5,6", "messages[0], line 3: 2 cells where the table has 3 columns"),
        (
            "| a | b |\n|---|---|\n| 1 |\n| 1 | 2 |",
            "messages[0], line 3: 1 cells where the table has 2 columns",
        ),
        ('```json\n[{"a": 1,}\n]\n```', "messages[0], line 2: this JSON cannot be read"),
        ('```csv\na,b\n"1,2\n3,4\n```', "messages[0], line 3: this row cannot be read"),
        ("```csv\na,b\n```", "messages[0], line 2: a table needs a header and a row"),
    ],
)
def test_a_broken_table_is_named_with_its_line_and_never_used_half(text: str, problem: str) -> None:
    found = find(text)
    assert not found.tables
    assert found.problems[0].startswith(problem)


def test_quoted_cells_may_hold_delimiters_quotes_and_line_breaks() -> None:
    found = find('```csv\nname,note\n"Lamp, red","says ""hi""\nand bye"\n```')
    assert only(found).rows == (("Lamp, red", 'says "hi"\nand bye'),)


def test_names_become_identifiers_that_differ() -> None:
    found = find("```csv\nUnit Price ($),unit price,2024,,%\n1,2,3,4,5\n```")
    assert only(found).columns == ("unit_price", "unit_price_2", "c_2024", "column4", "percent")


def test_a_file_name_above_names_the_table() -> None:
    found = find("sales.csv:\n```csv\na,b\n1,2\n```\nTable staff:\na,b\n1,2\n3,4")
    assert [table.name for table in found.tables] == ["sales", "staff"]
    assert found.question == ""


def test_tables_of_earlier_messages_are_there_for_a_later_question() -> None:
    found = find("a,b\n1,2\n3,4", "What is the sum of a?")
    assert only(found).columns == ("a", "b")
    assert found.question == "What is the sum of a?"


def test_what_an_assistant_wrote_is_no_data() -> None:
    messages = [Message(role="user", content="hi"), Message(role="assistant", content="a,b\n1,2\n3,4")]
    assert not find_tables(messages).tables


def test_a_json_number_keeps_its_digits_and_a_missing_key_is_no_value() -> None:
    found = find('[{"a": 0.10, "b": true}, {"a": 12345678901234567890.5, "c": [1]}]')
    assert only(found).rows == (("0.10", "true", None), ("12345678901234567890.5", None, "[1]"))


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n" + "1,2\n" * (table_blocks.MAX_ROWS + 1),
        ",".join(f"c{n}" for n in range(table_blocks.MAX_COLUMNS + 1)) + "\n" + ",".join("1" * 65),
        "a,b\n1," + "x" * (table_blocks.MAX_CELL_CHARACTERS + 1),
        "x" * (tables.MAX_CHARACTERS + 1),
        "```csv\n" + "a,b,c,d,e,f,g,h,i,j,k\n" + "1,2,3,4,5,6,7,8,9,0,1\n" * 19_000 + "```",
    ],
)
def test_beyond_the_limits_a_table_is_left_out_whole(text: str) -> None:
    found = find(text)
    assert not found.tables
    assert "more than" in found.problems[0]


cells = st.text(
    alphabet=st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="\x85"),
    max_size=12,
)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_what_is_written_as_json_is_read_back(rows: list[tuple[str, str]]) -> None:
    text = "```json\n" + json.dumps([{"a": a, "b": b} for a, b in rows]) + "\n```"
    assert only(find(text)).rows == tuple(rows)


@given(st.text(alphabet='a1,;|-\t\n"`~[]{}: .?', max_size=200))
def test_any_text_is_read_without_a_crash_and_tables_are_rectangles(text: str) -> None:
    for table in find(text).tables:
        assert len(set(table.columns)) == len(table.columns)
        assert all(len(row) == len(table.columns) for row in table.rows)
