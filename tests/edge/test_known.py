"""The operator's answers: files read, mistakes told, collisions found, served at the edge."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge.__main__ import main
from edge.adapters.knowledge import ScannedKnowledge
from edge.collisions import Collision, Similarities, collisions
from edge.known import KnowledgeRefused, Known, dump_known, load_known, read_known
from tests.support.encoder import FakeEncoder
from tests.support.stack import ask, edge_alone
from tests.support.upstream import answers, completion, fake_upstream

PAGE = """+++
questions = ["What are your opening hours?", "When are you open?"]
source = "handbook, page 3"
expires = 2999-01-31
tenants = ["acme"]
+++

We are open from **9 to 17**.
"""
LINE = {"questions": ["Do you ship abroad?"], "answer": "Yes, worldwide."}


def test_markdown_and_jsonl_are_read(tmp_path: Path) -> None:
    (tmp_path / "hours.md").write_text(PAGE, "utf-8")
    (tmp_path / "more.jsonl").write_text(f"{json.dumps(LINE)}\n\n", "utf-8")
    (tmp_path / "notes.txt").write_text("not read", "utf-8")
    assert read_known([tmp_path], now=7) == [
        Known(
            questions=("What are your opening hours?", "When are you open?"),
            answer="We are open from **9 to 17**.",
            source="handbook, page 3",
            expires=date(2999, 1, 31),
            tenants=("acme",),
            written=7,
        ),
        Known(questions=("Do you ship abroad?",), answer="Yes, worldwide.", written=7),
    ]


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("a.md", "no fence", "a.md:1: begin the file with +++"),
        ("a.md", "+++\nquestions = [\n+++\nx", "a.md:"),
        ("a.md", "+++\nquestions = []\n+++\nx", "a.md:1: "),
        ("a.md", '+++\nquestions = ["a"]\n+++\n', "a.md:1: "),
        ("a.md", '+++\nquestions = ["a"]\nqestions = 1\n+++\nx', "a.md:1: "),
        ("a.jsonl", '{"questions":["a"],"answer":"b"}\n{', "a.jsonl:2: "),
        ("a.jsonl", "[]", "a.jsonl:1: each line is a JSON object"),
        ("a.jsonl", '{"questions":["a"],"answer":"b","expires":"soon"}', "a.jsonl:1: "),
        ("a.txt", "", "neither a folder nor"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, name: str, text: str, mistake: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(KnowledgeRefused) as refused:
        read_known([tmp_path / name], now=0)
    assert mistake in str(refused.value)


def test_what_was_imported_is_loaded_as_it_was(tmp_path: Path) -> None:
    known = [Known(questions=("a",), answer="b", expires=date(2999, 1, 1))]
    assert load_known(tmp_path / "knowledge.json") == []
    (tmp_path / "knowledge.json").write_bytes(dump_known(known))
    assert load_known(tmp_path / "knowledge.json") == known
    (tmp_path / "knowledge.json").write_bytes(b"[")
    with pytest.raises(KnowledgeRefused):
        load_known(tmp_path / "knowledge.json")


def test_questions_of_two_answers_that_are_alike_collide_unless_their_tenants_never_meet() -> None:
    one = Known(questions=("How do I reset my password?", "Password lost"), answer="a", tenants=("acme",))
    other = Known(questions=("How can I reset the password?",), answer="b", tenants=("acme", "zeta"))
    third = Known(questions=("How can I reset my password?",), answer="c", tenants=("omni",))
    known = [one, other, third]
    assert collisions(known, Similarities(known), least=0.6) == [
        Collision(similarity=1.0, first="How do I reset my password?", second="How can I reset the password?")
    ]


def test_the_command_imports_lists_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, line = tmp_path / "hours.md", tmp_path / "more.jsonl"
    page.write_text(PAGE, "utf-8")
    line.write_text(json.dumps({**LINE, "questions": ["When exactly are you open?"]}), "utf-8")
    data = ["--data-dir", str(tmp_path / "data")]
    assert main(["knowledge", "check", *data, str(page), str(line)]) == 1
    assert "When are you open?  |  When exactly are you open?" in capsys.readouterr().out
    assert main(["knowledge", "import", *data, str(page)]) == 0
    assert main(["knowledge", "check", *data]) == 0
    assert main(["knowledge", "list", *data]) == 0
    assert (
        "What are your opening hours?  +1  until 2999-01-31  acme  handbook, page 3"
        in capsys.readouterr().out
    )
    page.write_text("broken", "utf-8")
    assert main(["knowledge", "import", *data, str(page)]) == 2
    assert "hours.md:1: begin the file" in capsys.readouterr().err


@pytest.mark.anyio
async def test_an_expired_answer_is_not_given() -> None:
    known = [Known(questions=("a",), answer="b", expires=date(2020, 1, 1))]
    vector = np.array([[1.0, 0.0]], np.float32)
    knowledge = ScannedKnowledge(known, vector, min_similarity=0.5)
    assert await knowledge.nearest("acme", vector[0], limit=3) == ()


@pytest.mark.anyio
async def test_a_known_question_is_answered_at_the_edge_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "hours.md").write_text(PAGE, "utf-8")
    (tmp_path / "knowledge.json").write_bytes(dump_known(read_known([tmp_path / "hours.md"], now=1)))
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
    ):
        known = await client.post("/v1/chat/completions", json=ask("please, what are your opening hours"))
        stream = await client.post("/v1/chat/completions", json=ask("When are you open?", stream=True))
        other = await client.post("/v1/chat/completions", json=ask("When are you not open?"))
        follow_up = {"messages": [*ask("Hi")["messages"], {"role": "assistant", "content": "Hello"}]}
        follow_up["messages"] += ask("When are you open?")["messages"]
        later = await client.post("/v1/chat/completions", json=ask() | follow_up)
    assert known.headers["wayside-route"] == "local"
    assert known.headers["cache-status"].endswith("detail=knowledge")
    assert known.json()["choices"][0]["message"]["content"] == "We are open from **9 to 17**."
    assert known.json()["wayside"]["source"] == "handbook, page 3"
    assert stream.headers["wayside-route"] == "local"
    assert other.headers["cache-status"] == 'wayside; fwd=miss; detail="refused: negation"'
    assert later.headers["wayside-route"] == "cloud"
    assert len(upstream.received) == 2
