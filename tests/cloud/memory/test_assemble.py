"""Prompts: never a token too many, in the right order, the same to the byte for as long as they can be."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.adapters.tokens import ByteTokens
from cloud.domain import Episode
from cloud.domain_sessions import Assembled, Line, State, Turn, Utterance
from cloud.memory.assemble import Material, assemble
from cloud.memory.render import MEMORY_MARK, STATE_MARK, is_ours
from cloud.wire.chat import Message
from cloud.wire.errors import InvalidRequest
from tests.support.turns import dialogue, tool_call, turn, utterance

TOKENS = ByteTokens()
HELLO = (utterance("user", "Hello?"),)


def episode(text: str, *, name: str = "e") -> Episode:
    return Episode(id=name, text=text, source="session:old#3", score=1.0, valid_from=1.7e9)


def state(*facts: str, through: int = 2) -> State:
    return State(
        version=1,
        covered_through=through,
        facts=tuple(Line(text=fact, seqs=(1,)) for fact in facts),
        summary=(Line(text="They greeted.", seqs=(1, 2)),),
    )


def messages_of(prompt: Assembled) -> list[Message]:
    return [msgspec.json.decode(document, type=Message) for document in prompt.messages]


def build(budget: int = 4000, memory_tokens: int = 400, **material: object) -> Assembled:
    whole = Material(**{"query": HELLO, **material})  # type: ignore[arg-type]
    return assemble(whole, budget=budget, memory_tokens=memory_tokens, tokens=TOKENS)


def test_the_order_is_instructions_state_context_turns_memories_query() -> None:
    prompt = build(
        instructions=(utterance("system", "Be brief."),),
        state=state("The user is Ada."),
        context=(utterance("user", "older"), utterance("assistant", "older answer")),
        turns=dialogue("recent", "recent answer", first=3),
        memories=(episode("The cat is called Pixel."),),
    )
    told = [message.text.split("\n")[0] for message in messages_of(prompt)]
    assert [text.split(",")[0].split(";")[0] for text in told] == [
        "Be brief.",
        STATE_MARK,
        "older",
        "older answer",
        "recent",
        "recent answer",
        MEMORY_MARK,
        "Hello?",
    ]
    assert (prompt.stable_messages, prompt.memories, prompt.turns, prompt.left_out) == (6, 1, 2, ())


def test_what_we_add_is_marked_and_recognised() -> None:
    prompt = build(state=state("x"), memories=(episode("unheard of"),))
    assert [is_ours(message) for message in messages_of(prompt)] == [True, True, False]


def test_the_oldest_exchanges_fall_out_of_the_window_first_and_whole() -> None:
    prompt = build(budget=250, turns=dialogue("a" * 60, "b" * 60, "c" * 40, "d" * 40))
    assert [message.text[:1] for message in messages_of(prompt)] == ["c", "d", "H"]
    assert [(left.what, left.reference, left.reason) for left in prompt.left_out] == [
        ("turn", "1", "outside the window"),
        ("turn", "2", "outside the window"),
    ]


def test_a_memory_that_the_prompt_says_anyway_is_pruned() -> None:
    prompt = build(
        state=state("The user's cat is called Pixel."),
        turns=dialogue("I moved to Turin in March.", "Nice.", first=3),
        memories=(
            episode("The user's cat is called Pixel", name="in the state"),
            episode("I moved to Turin in March", name="in a turn"),
            episode("The dog is called Byte", name="news"),
            episode("The dog is called Byte", name="twice"),
        ),
    )
    assert prompt.memories == 1
    assert [(left.reference, left.reason) for left in prompt.left_out] == [
        ("in the state", "already said"),
        ("in a turn", "already said"),
        ("twice", "already said"),
    ]


def of_session(name: str, text: str, *seqs: int) -> Episode:
    return replace(episode(text, name=f"{name} {seqs}"), session=name, seqs=seqs)


def test_an_episode_is_left_out_while_all_its_turns_stand_in_the_window_and_only_then() -> None:
    turns = dialogue("Pixel is a cat.", "A fine cat.", "She is four.", "Noted.", first=3)
    prompt = build(
        session="s",
        turns=turns,
        memories=(
            of_session("s", "Pixel is a cat.\nA fine cat.\nShe is four.", 3, 4, 5),
            of_session("s", "We moved house in spring.\nPixel is a cat.", 2, 3),
            of_session("other", "Pixel sat on a parrot.\nWho owned the parrot?", 3, 4),
            of_session("s", "Made before the session was deleted", 4),
        ),
    )
    assert [(left.what, left.reference, left.reason) for left in prompt.left_out] == [
        ("memory", "s (3, 4, 5)", "in the window")
    ]
    assert prompt.memories == 3


def test_an_episode_of_turns_that_found_no_room_in_the_window_is_told() -> None:
    turns = dialogue("Pixel is a cat.", "b" * 900, "c", "d")
    prompt = build(budget=700, session="s", turns=turns, memories=(of_session("s", "Pixel is a cat.", 1),))
    assert (prompt.turns, prompt.memories) == (2, 1)


def test_memories_beyond_their_own_budget_are_left_out() -> None:
    prompt = build(memory_tokens=150, memories=(episode("x" * 30, name="a"), episode("y" * 90, name="b")))
    assert [(left.what, left.reference, left.reason) for left in prompt.left_out] == [
        ("memory", "b", "over budget")
    ]


def test_a_tool_result_keeps_its_call_beside_it() -> None:
    turns = (
        *dialogue("old" * 30, "old answer"),
        turn(3, "user", "What is the weather?"),
        turn(4, "assistant", None, tool_calls=tool_call("c1")),
    )
    result = (utterance("tool", "sunny", tool_call_id="c1"),)
    prompt = build(budget=420, turns=turns, query=result, memories=(episode("anything"),))
    assert [message.role for message in messages_of(prompt)][-3:] == ["user", "assistant", "tool"]
    assert messages_of(prompt)[-2].tool_calls is not None
    assert prompt.memories == 0


def test_new_messages_longer_than_the_budget_are_refused_and_never_cut() -> None:
    with pytest.raises(InvalidRequest) as caught:
        build(budget=100, query=(utterance("user", "x" * 101),))
    assert caught.value.code == "context_length_exceeded"


LINES = st.lists(
    st.builds(Line, text=st.text(max_size=60), seqs=st.just((1,)), weight=st.just(1.0)), max_size=6
).map(tuple)
STATES = st.builds(
    State,
    version=st.integers(0, 3),
    covered_through=st.integers(0, 9),
    facts=LINES,
    open_tasks=LINES,
    summary=LINES,
    entities=LINES,
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for _ in range(draw(st.integers(0, 5))):
        turns.append(turn(len(turns) + 1, "user", draw(st.text(max_size=80))))
        if draw(st.booleans()):
            turns.append(turn(len(turns) + 1, "assistant", None, tool_calls=tool_call(f"c{len(turns)}")))
            turns.append(
                turn(len(turns) + 1, "tool", draw(st.text(max_size=60)), tool_call_id=f"c{len(turns) - 1}")
            )
        turns.append(turn(len(turns) + 1, "assistant", draw(st.text(max_size=80))))
    return tuple(turns)


UTTERANCES = st.lists(
    st.builds(utterance, st.just("user"), st.text(max_size=60)), min_size=1, max_size=2
).map(tuple)


@given(
    state=STATES,
    turns=conversations(),
    context=st.one_of(st.just(()), UTTERANCES),
    query=UTTERANCES,
    memories=st.lists(st.builds(episode, st.text(max_size=80)), max_size=4).map(tuple),
    budget=st.integers(60, 900),
    memory_tokens=st.integers(0, 300),
)
def test_the_budget_is_never_exceeded_by_one_token(
    state: State,
    turns: tuple[Turn, ...],
    context: tuple[Utterance, ...],
    query: tuple[Utterance, ...],
    memories: tuple[Episode, ...],
    budget: int,
    memory_tokens: int,
) -> None:
    material = Material(state=state, context=context, turns=turns, memories=memories, query=query)
    try:
        prompt = assemble(material, budget=budget, memory_tokens=memory_tokens, tokens=TOKENS)
    except InvalidRequest:
        assert TOKENS.of_messages([one.message for one in query]) > budget
        return
    messages = messages_of(prompt)
    assert TOKENS.of_messages(messages) == prompt.tokens <= budget
    assert prompt.messages[-1] == query[-1].document
    called: set[str] = set()
    for message in messages:
        called.update(call.id for call in message.tool_calls or ())
        assert message.tool_call_id is None or message.tool_call_id in called
    outside = [left for left in prompt.left_out if left.what == "turn"]
    assert prompt.turns + len(outside) == len(turns), "what is left out is told"


@given(state=STATES, turns=conversations(), more=conversations(), memories=st.booleans())
def test_until_the_next_checkpoint_a_prompt_goes_on_from_the_one_before(
    state: State, turns: tuple[Turn, ...], more: tuple[Turn, ...], memories: bool
) -> None:
    recalled = (episode("Something that nobody said so far"),) if memories else ()
    first = build(budget=100_000, state=state, turns=turns, memories=recalled)
    second = build(budget=100_000, state=state, turns=(*turns, *more))
    assert second.messages[: first.stable_messages] == first.messages[: first.stable_messages]
