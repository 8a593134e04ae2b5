"""A question about a table, from a client through the edge: the number is computed, not guessed."""

from pathlib import Path

import pytest

from tests.support.stack import ask, running
from tests.support.tools import SALES

pytestmark = pytest.mark.anyio


async def test_a_question_about_a_csv_has_the_right_number(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.http() as http:
        question = f"What is the total revenue in March?\n\n{SALES}"
        answer = await http.post("/v1/chat/completions", json=ask(question))
        assert answer.status_code == 200
        content = answer.json()["choices"][0]["message"]["content"]
        assert content.startswith("The total revenue where month is March is **47.5**.")
        streamed = await http.post("/v1/chat/completions", json=ask(question + "\n", stream=True))
        assert "**47.5**" in streamed.text
        assert streamed.text.rstrip().endswith("[DONE]")


async def test_a_later_turn_asks_about_the_same_table(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.http() as http:
        first = await http.post(
            "/v1/chat/completions",
            json=ask(f"What is the total revenue in March?\n\n{SALES}"),
            headers={"wayside-session": "new"},
        )
        session = {"wayside-session": first.headers["wayside-session"]}
        second = await http.post(
            "/v1/chat/completions", json=ask("And what is the average unit price?"), headers=session
        )
        third = await http.post(
            "/v1/chat/completions", json=ask("What is the average unit price by region?"), headers=session
        )
        assert second.json()["choices"][0]["message"]["content"].startswith("You said: And what")
        assert "| North | 5 |\n| South | 10 |" in third.json()["choices"][0]["message"]["content"]


async def test_what_needs_a_model_goes_to_the_model(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.http() as http:
        answer = await http.post("/v1/chat/completions", json=ask(f"Why did the revenue fall?\n\n{SALES}"))
        assert answer.json()["choices"][0]["message"]["content"].startswith("You said: Why did")
