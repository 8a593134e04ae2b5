"""The extractive summarizer: facts by rule, sentences by a fitted line; deterministic, no LLM."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from cloud.domain_sessions import EXTRACTIVE, Line, State, Summary, Turn
from cloud.memory.assemble import groups_of, state_cost
from cloud.memory.extractor import Spoken, Weights, chances, read_extractor, spoken
from cloud.memory.notable import Note, closes_a_task, names_in, note_of
from cloud.memory.render import is_ours
from cloud.memory.sentences import in_third_person, sentences_of, shortened, words_of
from cloud.ports import Tokens

_FACTS_SHARE, _TASKS_SHARE, _ENTITIES_SHARE = 0.65, 0.10, 0.05
"""Of the room there is; the summary has the rest, and what these leave."""

_MOST_SENTENCES = 64
"""Of one turn."""
_MOST_FACTS = 500
"""That compete for their place, the heaviest: each is compared with each that is found after it."""
_MOST_ENTITIES = 12
_MOST_SEQS = 8
_STATED = 2.0
"""Weight from which a user's sentence is a fact, a decision or a task, and no part of the small talk."""
_SAME = 0.7
"""Share of words two lines have in common when they say the same."""
_LINE_CHARACTERS, _OLD_LINE_CHARACTERS = 180, 90


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sentence:
    seq: int
    by_user: bool
    text: str
    """In the third person."""
    note: Note
    spoken: Spoken
    chance: float = 0.0
    """That it belongs into a summary, see `cloud.memory.extractor.chances`."""

    @property
    def words(self) -> frozenset[str]:
        return self.spoken.words


class ExtractiveSummarizer:
    """Facts, decisions and identifiers first; then, an exchange a line, what was talked about."""

    def __init__(self, weights: Weights | None = None) -> None:
        """`weights` of the extractor; None reads those beside the code."""
        self._weights = weights or read_extractor()

    async def summarize(
        self, turns: Sequence[Turn], previous: State, *, tenant: str, max_tokens: int, tokens: Tokens
    ) -> Summary:
        """The port's `summarize`; see `cloud.ports.Summarizer`. Works in a thread: it may take a while."""
        return await asyncio.to_thread(
            _summary, turns, previous, weights=self._weights, max_tokens=max_tokens, tokens=tokens
        )


def _summary(
    turns: Sequence[Turn], previous: State, *, weights: Weights, max_tokens: int, tokens: Tokens
) -> Summary:
    groups = [_weighed(group, weights) for group in _said(turns)]
    sentences = [sentence for group in groups for sentence in group]

    def cost(line: Line) -> int:
        return tokens.of_text(f"- {line.text}\n")

    room = max_tokens - state_cost(State(facts=(Line(text=".", seqs=()),)), tokens)
    facts = _within(_facts(sentences, previous), int(room * _FACTS_SHARE), cost)
    tasks = _within(_tasks(sentences, previous), int(room * _TASKS_SHARE), cost)
    entities = _within(_entities(sentences, previous), int(room * _ENTITIES_SHARE), cost)
    left = room - sum(map(cost, (*facts, *tasks, *entities)))
    summary = _within(_exchanges(groups, previous, facts), left, cost)
    return trimmed(
        Summary(facts=facts, open_tasks=tasks, summary=summary, entities=entities, written_by=EXTRACTIVE),
        covered_through=turns[-1].seq,
        max_tokens=max_tokens,
        tokens=tokens,
    )


def _said(turns: Sequence[Turn]) -> list[list[Turn]]:
    groups = groups_of([turn for turn in turns if not is_ours(turn.message)])
    return [[turn for turn in group if isinstance(turn, Turn) and turn.role != "system"] for group in groups]


def _weighed(group: Sequence[Turn], weights: Weights) -> list[_Sentence]:
    """An exchange's sentences with their chances: each exchange is a talk of its own."""
    read = [sentence for place, turn in enumerate(group) for sentence in _read(turn, place)]
    worth = chances([sentence.spoken for sentence in read], weights)
    return [replace(sentence, chance=float(chance)) for sentence, chance in zip(read, worth, strict=True)]


def _read(turn: Turn, place: int) -> Iterable[_Sentence]:
    by_user = turn.role == "user"
    speaker, listener = ("the user", "the assistant") if by_user else ("the assistant", "the user")
    for position, sentence in enumerate(sentences_of(turn.text)):
        if position == _MOST_SENTENCES:
            break
        yield _Sentence(
            seq=turn.seq,
            by_user=by_user,
            text=in_third_person(sentence, speaker=speaker, listener=listener),
            note=note_of(sentence, by_user=by_user),
            spoken=spoken(place, position, sentence),
        )


def _facts(sentences: Sequence[_Sentence], previous: State) -> list[Line]:
    """What was stated, of each subject the newest alone."""
    found = [(line, frozenset(words_of(line.text))) for line in previous.facts]
    for sentence in sentences:
        note = sentence.note
        if note.weight <= 0 or note.kind == "task" or not sentence.words:
            continue
        found = [
            (line, words)
            for line, words in found
            if not _are_same(words, sentence.words) and not (note.subject and _is_about(line, note.subject))
        ]
        found.append((_line(sentence, weight=note.weight), sentence.words))
        if len(found) > _MOST_FACTS:
            found.remove(min(found, key=lambda entry: entry[0].weight))
    return [line for line, _ in found]


def _line(sentence: _Sentence, *, weight: float) -> Line:
    return Line(
        text=shortened(sentence.text, _LINE_CHARACTERS), seqs=(sentence.seq,), weight=round(weight, 2)
    )


def _is_about(line: Line, subject: str) -> bool:
    return f"the user's {subject} " in line.text.lower() or f"the user {subject}s in " in line.text.lower()


def _tasks(sentences: Sequence[_Sentence], previous: State) -> list[Line]:
    open_tasks = list(previous.open_tasks)
    for sentence in sentences:
        if closes_a_task(sentence.text):
            open_tasks = [
                line for line in open_tasks if not _overlaps(frozenset(words_of(line.text)), sentence.words)
            ]
        elif sentence.note.kind == "task":
            open_tasks.append(_line(sentence, weight=sentence.note.weight))
    return open_tasks


def _entities(sentences: Sequence[_Sentence], previous: State) -> list[Line]:
    seqs: dict[str, list[int]] = {line.text: list(line.seqs) for line in previous.entities}
    counts: Counter[str] = Counter({line.text: len(line.seqs) for line in previous.entities})
    for sentence in sentences:
        for name in names_in(sentence.text):
            counts[name] += 1
            seqs.setdefault(name, []).append(sentence.seq)
    return [
        Line(text=name, seqs=_first_and_last(seqs[name]), weight=count)
        for name, count in counts.most_common(_MOST_ENTITIES)
    ]


def _exchanges(groups: Sequence[Sequence[_Sentence]], previous: State, facts: Sequence[Line]) -> list[Line]:
    """One line an exchange: what was asked, and the answer's most telling sentence."""
    # Earlier lines are told more briefly each time, until they make room: the past fades, facts do not.
    lines = [
        Line(
            text=shortened(line.text, _OLD_LINE_CHARACTERS),
            seqs=line.seqs,
            weight=round(0.5 + position / len(previous.summary), 2),
        )
        for position, line in enumerate(previous.summary)
    ]
    told = {line.text for line in facts}
    for group in groups:
        # What the user stated is told among the facts, or has been superseded there.
        asked = _best([s for s in group if s.by_user and s.note.weight < _STATED])
        answered = _best([s for s in group if not s.by_user and s.text not in told])
        parts = [sentence for sentence in (asked, answered) if sentence is not None]
        if not parts:
            continue
        text = " ".join(_told(sentence, len(parts)) for sentence in parts)
        seqs = tuple(sorted({sentence.seq for sentence in parts}))
        # A new line outlasts every older one, whose weights end at 1.5.
        weight = 1.5 + fmean(sentence.chance for sentence in parts)
        lines.append(Line(text=text, seqs=seqs, weight=round(weight, 2)))
    return lines


def _told(sentence: _Sentence, parts: int) -> str:
    text = shortened(sentence.text, _LINE_CHARACTERS // parts)
    if not sentence.by_user:
        return f"Answer: {text}" if parts > 1 else f"The assistant: {text}"
    return f"The user: {text}" if not text.lower().startswith("the user") else text


def _best(candidates: Sequence[_Sentence]) -> _Sentence | None:
    """The most telling; of equal ones the first."""
    return max(candidates, key=_worth, default=None)


def _worth(sentence: _Sentence) -> float:
    """The log odds of its chance, and what an identifier, a number or a decision in it adds to them."""
    if not sentence.words:
        return -math.inf
    return math.log(sentence.chance / (1 - sentence.chance)) + sentence.note.weight / 2


def _within(lines: Sequence[Line], most: int, cost: Callable[[Line], int]) -> tuple[Line, ...]:
    """The heaviest lines that fit, in the order they came; of equal ones the later."""
    by_weight = sorted(
        range(len(lines)), key=lambda position: (lines[position].weight, position), reverse=True
    )
    chosen = []
    for position in by_weight:
        price = cost(lines[position])
        if price <= most:
            most -= price
            chosen.append(position)
    return tuple(lines[position] for position in sorted(chosen))


def trimmed(summary: Summary, *, covered_through: int, max_tokens: int, tokens: Tokens) -> Summary:
    """Within `max_tokens` to the token, without the entities and the oldest lines where it must be."""
    facts, tasks, lines, entities = (
        list(part) for part in (summary.facts, summary.open_tasks, summary.summary, summary.entities)
    )
    while True:
        state = State(
            covered_through=covered_through,
            facts=tuple(facts),
            open_tasks=tuple(tasks),
            summary=tuple(lines),
            entities=tuple(entities),
        )
        if state.is_empty or state_cost(state, tokens) <= max_tokens:
            return Summary(
                facts=state.facts,
                open_tasks=state.open_tasks,
                summary=state.summary,
                entities=state.entities,
                written_by=summary.written_by,
            )
        next(part for part in (entities, lines, tasks, facts) if part).pop(0)


def _are_same(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= _SAME * len(one | other)


def _overlaps(task: frozenset[str], done: frozenset[str]) -> bool:
    return bool(task) and len(task & done) * 2 >= len(task - {"need", "remind", "forget", "must", "still"})


def _first_and_last(seqs: Sequence[int]) -> tuple[int, ...]:
    unique = sorted(set(seqs))
    return tuple(unique if len(unique) <= _MOST_SEQS else (*unique[:1], *unique[1 - _MOST_SEQS :]))
