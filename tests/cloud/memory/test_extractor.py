"""The sentence extractor: what it chooses of a talk, within what it may, the same every time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloud.memory.extractor import SIGNS, Spoken, Weights, chances, extract, read_extractor, signs, spoken

EVEN = Weights(source="test", weights={})
"""Every sentence is as likely as the next."""


def talk(*texts: str) -> list[Spoken]:
    return [spoken(turn, 0, text) for turn, text in enumerate(texts)]


def sign(name: str, *texts: str) -> list[float]:
    return [float(value) for value in signs(talk(*texts))[:, SIGNS.index(name)]]


def test_the_shipped_weights_name_every_sign_and_say_where_they_come_from() -> None:
    shipped = read_extractor()
    assert set(shipped.weights) == set(SIGNS)
    assert "MIT" in shipped.source


def test_what_opens_a_talk_is_likelier_than_a_nod_at_its_end() -> None:
    opening, *_, nod = chances(
        talk(
            "I want to rent a flat near the station.", "How large should the flat be?", "Two rooms.", "Okay."
        ),
        read_extractor(),
    )
    assert opening > nod


def test_a_sentence_about_what_the_others_say_is_central() -> None:
    rent, _, odd = sign(
        "central", "The flat has two rooms.", "Two rooms in that flat?", "Penguins swim quickly."
    )
    assert rent > odd == 0.0


def test_an_answer_is_what_follows_a_question() -> None:
    assert sign("answers", "Where is it?", "In Turin.", "Fine.") == [0.0, 1.0, 0.0]


def test_a_repetition_gives_way_to_something_new() -> None:
    said = talk("The train leaves at nine.", "The train leaves at nine!", "Bring the blue folder.")
    assert extract(said, [1, 1, 1], EVEN, most=2) == [0, 2]


def test_a_sentence_too_long_is_passed_over_for_one_that_fits() -> None:
    said = talk("The train leaves at nine.", "A long story about platforms.", "Bring the blue folder.")
    assert extract(said, [3, 9, 3], EVEN, most=6) == [0, 2]


def test_one_sentence_is_chosen_however_little_room_there_is() -> None:
    assert extract(talk("The train leaves at nine."), [5], EVEN, most=1) == [0]
    assert extract([], [], EVEN, most=5) == []


@given(st.lists(st.text(max_size=80), min_size=1, max_size=15), st.integers(1, 60))
def test_any_talk_has_chances_and_a_choice_within_its_room(texts: list[str], most: int) -> None:
    said = talk(*texts)
    worth = chances(said, read_extractor())
    assert np.isfinite(worth).all()
    assert ((worth > 0) & (worth < 1)).all()
    lengths = [len(text) for text in texts]
    chosen = extract(said, lengths, read_extractor(), most=most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 1 or sum(lengths[place] for place in chosen) <= most
