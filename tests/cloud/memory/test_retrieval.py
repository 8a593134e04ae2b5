"""Finding remembered passages: what ranks first, what is told with it, what replaces what."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.memory.lexical import Postings, terms
from cloud.memory.passages import Passage, Passages
from cloud.memory.ranker import SIGNS, rank, read_weights, signs
from cloud.memory.retrieve import episodes, newest_first

TALK = (
    ("Ada", "Hi Ben, how was your weekend?"),
    ("Ben", "Great! I took the ferry to Gothenburg with my sister."),
    ("Ada", "Lovely. Did you see the botanical garden?"),
    ("Ben", "No, but we ate the best cinnamon buns of the whole trip."),
    ("Ada", "I spent mine repairing the kitchen tap."),
)


def talk(*, group: str = "s1", vectors: bool = False) -> Passages:
    passages = Passages()
    for index, (speaker, text) in enumerate(TALK):
        vector = np.eye(8, dtype=np.float32)[index] if vectors else None
        passages.add(
            Passage(id=f"{group}:{index}", group=group, text=text, speaker=speaker, at=index), vector
        )
    return passages


def ranked(passages: Passages, question: str) -> list[int]:
    rows, _ = rank(passages, question, None, read_weights())
    return [int(row) for row in rows]


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("Where did Ben go by ferry?", 1),
        ("What did Ada repair?", 4),
        ("What did they eat on the trip?", 3),
    ],
)
def test_the_passage_that_answers_is_found_first(question: str, row: int) -> None:
    assert ranked(talk(), question)[0] == row


def test_a_question_that_shares_no_word_still_ranks_everything_once() -> None:
    assert sorted(ranked(talk(), "zzz qqq")) == [0, 1, 2, 3, 4]


def test_meaning_counts_where_there_are_embeddings() -> None:
    passages = talk(vectors=True)
    found = signs(passages, "Anything?", np.eye(8, dtype=np.float32)[3])
    assert found.table.shape == (5, len(SIGNS))
    rows, _ = rank(passages, "Anything?", np.eye(8, dtype=np.float32)[3], read_weights())
    assert int(rows[0]) == 3


def test_an_episode_is_a_passage_with_its_neighbours_of_the_same_group() -> None:
    passages = talk()
    passages.add(Passage(id="other", group="s2", text="Something else", speaker="Cy", at=9))
    found = episodes(passages, [4, 1], [2.0, 1.0], limit=2)
    assert [episode.rows for episode in found] == [(2, 3, 4), (0, 1)]


@given(st.integers(0, 200), st.permutations(range(5)))
def test_episodes_never_exceed_their_budget_nor_tell_a_passage_twice(budget: int, order: list[int]) -> None:
    found = episodes(talk(), order, [1.0] * 5, limit=5, budget=budget, tokens=lambda text: len(text.split()))
    assert sum(len(episode.text.split()) for episode in found) <= budget
    told = [row for episode in found for row in episode.rows]
    assert len(told) == len(set(told))


def test_the_newer_of_two_statements_of_a_fact_goes_first() -> None:
    passages = Passages()
    for index, city in enumerate(("Leeds", "Porto")):
        passages.add(Passage(id=city, group=city, text=f"I live in {city} now.", speaker="Ada", at=index))
    assert newest_first(passages, [0, 1]) == [1, 0]
    assert newest_first(passages, [1, 0]) == [1, 0]


def test_a_newer_passage_about_something_else_stays_where_it_is() -> None:
    passages = Passages()
    passages.add(Passage(id="a", group="a", text="I live in Leeds now.", speaker="Ada", at=0))
    passages.add(Passage(id="b", group="b", text="My sister drives a red van.", speaker="Ada", at=1))
    assert newest_first(passages, [0, 1]) == [0, 1]


def test_postings_count_terms_by_passage() -> None:
    postings = Postings()
    postings.add(terms("Running runs and a runner"))
    postings.add(terms("nothing here"))
    rows, counts = postings.of("run")
    assert (rows.tolist(), counts.tolist()) == ([0], [2.0])
    assert postings.of("absent")[0].tolist() == []
