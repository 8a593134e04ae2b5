"""What kind of thing a passage says: whether it asks, names a time, a number, somebody. Pure."""

import re
from typing import Final

Traits = tuple[float, float, float, float]
"""Ends in a question, holds a time, a number, names (in thirds of three)."""

_TIME: Final = re.compile(
    r"\b(?:yesterday|today|tomorrow|tonight|last|next|ago|weeks?|weekend|months?|years?|monday|tuesday|wednesday"
    r"|thursday|friday|saturday|sunday|since|recently|january|february|march|april|may|june|july|august|september"
    r"|october|november|december|\d{4}|\d+(?:st|nd|rd|th))\b",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(
    r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|twice|couple|dozen)\b", re.IGNORECASE
)
_NAME: Final = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")


def traits_of(text: str) -> Traits:
    return (
        float(text.rstrip().endswith("?")),
        float(_TIME.search(text) is not None),
        float(_NUMBER.search(text) is not None),
        min(3, len(_NAME.findall(text))) / 3,
    )
