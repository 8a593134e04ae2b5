"""Plain questions about a table: the right number, or none at all."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.tools.plain_answers import PlainAnswers
from cloud.tools.questions import Plan, phrased, plan
from cloud.tools.sandbox import open_sandbox
from cloud.tools.sandbox_child import columns_of
from cloud.tools.sandbox_jobs import Column, Rows, TableData
from cloud.tools.tables import find_tables
from cloud.tools.workspace import DescribedTable, Workspace
from cloud.wire.chat import ChatRequest, Message, ResponseFormat
from tests.support.tools import SALES, request

STOCK = """\
product,price,sold_on,stock
Lamp,$12.50,2024-03-01,5
Desk,$120.00,2024-03-09,1
Chair,$45.10,2024-04-02,0
"""
STAFF = """\
name,team,salary
Ann,Red,100
Bob,Blue,120
Cid,Red,120
"""


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
async def answers(
    anyio_backend: object, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PlainAnswers]:
    async with open_sandbox(tmp_path_factory.mktemp("sandbox"), processes=1) as sandbox:
        yield PlainAnswers(Workspace(sandbox))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("table", "question", "expected"),
    [
        (SALES, "What is the total revenue in March?", "is **47.5**"),
        (SALES, "what was the total revenue for the North region", "is **72.5**"),
        (SALES, "Total revenue of the Widget in the North region?", "is **42.5**"),
        (SALES, "total revenue where region is North", "is **72.5**"),
        (SALES, "Average unit price by region?", "| North | 5 |\n| South | 10 |"),
        (SALES, "What is the total revenue per month?", "| January | 65 |\n| March | 47.5 |"),
        (SALES, "average revenue for each product in March", "| Widget | 17.5 |\n| Gadget | 30 |"),
        (SALES, "Which product has the highest total revenue?", "**Gadget** (70)"),
        (SALES, "which region had the most units in total?", "**North** (20)"),
        (SALES, "How many units were sold in March?", "is **10**"),
        (SALES, "How many rows are there?", "is **4**"),
        (SALES, "How many rows have a revenue of at least 30?", "is **2**"),
        (SALES, "how many rows with revenue at least 30 are there", "is **2**"),
        (SALES, "count the rows", "is **4**"),
        (SALES, "how many different regions are there?", "is **2**"),
        (SALES, "What's the median revenue?", "is **27.5**"),
        (SALES, "What was the lowest unit price in the North?", "is **2.5**"),
        (SALES, "What is the revenue of Widget in January?", "is **25**"),
        (SALES, "Sum of revenue with units over 3", "is **82.5**"),
        (SALES, "Please tell me the total number of units.", "is **24**"),
        (STOCK, "Which product is the most expensive?", "**Desk** ($120)"),
        (STOCK, "What's the cheapest product?", "**Lamp** ($12.50)"),
        (STOCK, "What is the price of the Lamp?", "is **$12.50**"),
        (STOCK, "top 2 products by price", "| Desk | 120 |\n| Chair | 45.1 |"),
        (STOCK, "Which products have a price above 40?", "| Chair |\n| Desk |"),
        (STOCK, "total price in March", "is **$132.50**"),
        (STOCK, "total stock in 2024", "is **6**"),
        (STOCK, "price on 2024-03-09", "is **$120**"),
        (STOCK, "How many products are there?", "is **3**"),
        (STAFF, "Who has the highest salary?", None),  # two columns of text: the team is no answer to who
        (STAFF, "Which name has the lowest salary?", "**Ann** (100)"),
        (STAFF, "Which name has the highest salary?", "| Bob | 120 |\n| Cid | 120 |"),
        (STAFF, "average salary by team", "| Red | 110 |\n| Blue | 120 |"),
    ],
)
async def test_the_right_answer_or_none(
    answers: PlainAnswers, table: str, question: str, expected: str | None
) -> None:
    answer = await answers.answer(request(f"{question}\n\n{table}"), remaining_s=30)
    if expected is None:
        assert answer is None
    else:
        assert answer is not None, "it should have been understood"
        assert expected in answer


def described(table: str) -> DescribedTable:
    (found,) = find_tables([Message(role="user", content=table)]).tables
    data = TableData(name=found.name, columns=found.columns, rows=found.rows)
    return DescribedTable(table=found, columns=columns_of(data))


@pytest.mark.parametrize(
    ("table", "question"),
    [
        # a word that is not accounted for
        (SALES, "What is the total profit in March?"),
        (SALES, "What was the total revenue in April?"),
        (SALES, "total revenue not in March"),
        (SALES, "total revenue without Widget"),
        (SALES, "total revenue in March and January"),
        (SALES, "total revenue in January or March"),
        (SALES, "What is the total revenue in March? Also explain why."),
        (SALES, "revenue growth from January to March"),
        (SALES, "total revenue rounded"),
        (SALES, "total revenue in the first month"),
        (SALES, "total revenue > 10%"),
        (SALES, "Was ist der Umsatz im März?"),
        # more than one reading
        (SALES, "What is the revenue in January?"),
        (SALES, "Which product has the highest revenue?"),
        (SALES, "What is the average units per month?"),
        (SALES, "How many regions are there?"),
        (SALES, "top 2 regions by revenue"),
        (SALES, "highest and lowest revenue"),
        (SALES, "total average revenue"),
        (SALES, "total revenue of Widget and Gadget"),
        (SALES, "total revenue to March"),
        (SALES, "count of units"),
        (SALES, "which products have units above 5"),
        (
            STAFF.replace("team", "start_date").replace("Red", "2020-01-01").replace("Blue", "2021-01-01"),
            "average salary in 2020",
        ),
        (STOCK, "How many products were sold in March?"),
        (STOCK, "how many products do we have"),
        # another kind of question
        (SALES, "Is the total revenue high?"),
        (SALES, "Did the North have the highest revenue?"),
        (SALES, "Where is the highest revenue?"),
        (SALES, "What does the revenue mean?"),
        (SALES, "What is a region?"),
        (SALES, "region"),
        (SALES, ""),
        (STOCK, "which products have a price above -4?"),
        # a table that cannot be added up
        ("item,amount\nA,1\nB,2\nTotal,3", "What is the total amount?"),
        ("item,amount\nA,1\nB,\nC,3", "What is the total amount?"),
        ("item,amount\nA,1\nB,n/a\nC,3", "What is the average amount?"),
        ("item,amount\nA,$1\nB,€2", "What is the total amount?"),
        ("item,share\nA,10%\nB,20%", "What is the total share?"),
        ("order_id,amount\n1,10\n2,20", "What is the total order id?"),
        ("order_id,amount\n1,10\n2,20", "How many order ids are there?"),
        ("year,amount\n2023,10\n2024,20", "What is the sum of the year?"),
        ("team,points\nred,1\nRed,2\nblue,3", "total points by team"),
        ("team,points\nred,1\nRed,2\nblue,3", "total points of red"),
        ("day,points\n2023-03-01,1\n2024-03-01,2", "total points in March"),
        ("team,rival,points\nred,blue,1\nblue,red,2", "total points of red"),
        ("total,points\n1,2\n2,3", "what is the total"),
    ],
)
def test_what_is_not_sure_is_left_to_the_model(table: str, question: str) -> None:
    assert plan(question, [described(table)]) is None


def test_of_two_tables_none_is_chosen() -> None:
    assert plan("What is the total revenue?", [described(SALES), described(SALES)]) is None
    assert plan("What is the total revenue?", []) is None


def test_a_year_is_a_filter_where_a_column_holds_it() -> None:
    planned = plan("What is the total amount in 2024?", [described("year,amount\n2023,10\n2024,20\n2024,5")])
    assert planned is not None
    assert planned.sql.endswith('WHERE "year" = 2024')


def test_a_quote_in_a_value_stays_a_value() -> None:
    table = described("name,amount\nO'Brien,1\nx' OR 1=1,2\nZoe,3")
    for question in ("total amount of O'Brien", "total amount of x' OR 1=1"):
        planned = plan(question, [table])
        assert planned is None or "''" in planned.sql


async def refused(answers: PlainAnswers, asked: ChatRequest) -> bool:
    return await answers.answer(asked, remaining_s=30) is None


@pytest.mark.anyio
async def test_whoever_wants_a_form_or_tools_or_gives_a_broken_table_gets_the_model(
    answers: PlainAnswers,
) -> None:
    messages = request(f"What is the total revenue?\n\n{SALES}").messages
    assert not await refused(answers, ChatRequest(model="auto", messages=messages))
    form = ResponseFormat(type="json_object")
    assert await refused(answers, ChatRequest(model="auto", messages=messages, response_format=form))
    assert await refused(answers, ChatRequest(model="auto", messages=messages, n=2))
    assert await refused(answers, request("What is the total revenue?"))
    assert await refused(answers, request(f"What is the total revenue?\n```csv\n{SALES}x\n```"))


def test_no_rows_are_told_as_none() -> None:
    nothing = Rows(columns=(Column(name="value", type="BIGINT"),), rows=((None,),))
    assert phrased(Plan(sql="SELECT 1", subject="total x"), nothing).startswith("There is no total x.")


amounts = st.lists(
    st.tuples(st.sampled_from(["Ash", "Elm", "Oak"]), st.integers(-999, 999)), min_size=2, max_size=12
)


@given(amounts, st.sampled_from(["Ash", "Elm", "Oak"]))
def test_a_plan_filters_on_what_was_asked_and_nothing_else(rows: list[tuple[str, int]], tree: str) -> None:
    table = described("tree,height\n" + "\n".join(f"{name},{height}" for name, height in rows))
    planned = plan(f"What is the total height of {tree}?", [table])
    if any(name == tree for name, _ in rows):
        assert planned is not None
        assert planned.sql == f'SELECT sum("height") AS value FROM "table1" WHERE "tree" = \'{tree}\''
    else:
        assert planned is None


words = st.sampled_from(
    [
        "what",
        "is",
        "the",
        "total",
        "average",
        "highest",
        "revenue",
        "units",
        "in",
        "March",
        "North",
        "by",
        "region",
        "per",
        "which",
        "product",
        "how",
        "many",
        "not",
        "above",
        "10",
        "top",
        "3",
        "of",
        "and",
        "or",
        "most",
        "expensive",
        "unit",
        "price",
        "rows",
        "2024",
        "January",
        "Widget",
        "median",
        "where",
        "who",
        "a",
    ]
)


@given(st.lists(words, max_size=12))
def test_any_words_are_planned_or_left_without_a_crash(chosen: list[str]) -> None:
    planned = plan(" ".join(chosen), [described(SALES)])
    if planned is not None:
        assert not {"not", "and", "or"} & set(chosen)
