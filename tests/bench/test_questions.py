"""The requests a run sends are reproducible, unique where promised, and say what must come back."""

from itertools import islice

import msgspec

from bench.questions import questions


def test_unique_questions_are_never_asked_twice() -> None:
    bodies = [ask.body for ask in islice(questions("unique", model="m", streaming="half", seed=1), 2000)]
    assert len(set(bodies)) == len(bodies)


def test_the_same_seed_asks_the_same_questions() -> None:
    first, again, other = (
        list(islice(questions("unique", model="m", streaming="half", seed=seed), 50)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_half_of_the_answers_are_streamed_when_asked_for() -> None:
    asks = list(islice(questions("unique", model="m", streaming="half", seed=1), 100))
    assert sum(ask.streams for ask in asks) == 50
    assert all((msgspec.json.decode(ask.body).get("stream") is True) == ask.streams for ask in asks)


def test_the_expected_answer_repeats_the_question() -> None:
    ask = next(questions("unique", model="m", streaming="never", seed=3))
    assert ask.expected == "You said: " + msgspec.json.decode(ask.body)["messages"][-1]["content"]


def test_rewordings_are_all_different_and_none_is_the_popular_question() -> None:
    bodies = [ask.body for ask in islice(questions("reworded", model="m", streaming="never", seed=0), 3000)]
    (popular,) = islice(questions("same", model="m", streaming="never", seed=0), 1)
    assert len({*bodies, popular.body}) == 3001


def test_a_seed_says_where_in_the_rewordings_a_load_begins() -> None:
    from_the_start = list(islice(questions("reworded", model="m", streaming="never", seed=0), 20))
    further_on = list(islice(questions("reworded", model="m", streaming="never", seed=15), 5))
    assert further_on == from_the_start[15:]
