"""Typing noise: slips of the finger, case and punctuation, repeatable by seed."""

import random
import string
from typing import Final

NEIGHBOURS: Final = {
    "a": "qsz", "b": "vghn", "c": "xdfv", "d": "serfc", "e": "wrd", "f": "drtgv", "g": "ftyhb",
    "h": "gyujn", "i": "uok", "j": "huikm", "k": "jiol", "l": "kop", "m": "njk", "n": "bhjm",
    "o": "ipl", "p": "ol", "q": "wa", "r": "etf", "s": "awedx", "t": "ryg", "u": "yij", "v": "cfgb",
    "w": "qes", "x": "zsdc", "y": "tuh", "z": "asx",
}  # fmt: skip
SLIP_EVERY: Final = 25
"""Characters to one slip."""


def noisy(text: str, rng: random.Random) -> str:
    """The text as a hurried person may type it: slips, then perhaps other case and punctuation."""
    characters = list(text)
    for _ in range(max(1, min(len(characters) // SLIP_EVERY, 12))):
        _slip(characters, rng)
    typed = "".join(characters)
    draw = rng.random()
    if draw < 0.15:
        typed = typed.upper()
    elif draw < 0.35:
        typed = typed.lower()
    elif draw < 0.45:
        typed = typed.title()
    draw = rng.random()
    if draw < 0.3:
        typed = typed.translate(_WITHOUT_PUNCTUATION)
    elif draw < 0.5:
        typed = typed.rstrip(".!? ") + rng.choice(("?", "!", "...", " ??", "!!", "."))
    return typed if typed.strip() else text


_WITHOUT_PUNCTUATION: Final = str.maketrans("", "", ",.!?;:'\"")


def _slip(characters: list[str], rng: random.Random) -> None:
    """One letter dropped, doubled, swapped with the next or hit beside its key."""
    places = [index for index, character in enumerate(characters) if character in string.ascii_letters]
    if len(places) < 3:
        return
    index = rng.choice(places)
    character = characters[index]
    match rng.randrange(4):
        case 0:
            del characters[index]
        case 1:
            characters.insert(index, character)
        case 2 if index + 1 < len(characters):
            characters[index], characters[index + 1] = characters[index + 1], character
        case _:
            characters[index] = rng.choice(NEIGHBOURS[character.lower()])
