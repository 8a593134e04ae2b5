"""The words of plain questions about a table, and what each stands for. Lists, a group a line."""

from typing import Literal

Sign = Literal[
    "glue", "soft", "rows", "sum", "avg", "median", "max", "min", "top", "dearest", "cheapest",
    "count", "tally", "group", "per", "act", "distinct", "which", "who", ">", ">=", "<", "<=",
]  # fmt: skip

_PHRASES: dict[Sign, str] = {
    "glue": (
        "what|what's|is|are|was|were|be|been|the|a|an|of|in|for|from|on|at|with|has|have|had|having|there|that"
        "|do|does|did|we|our|my|i|you|me|us|it|its|their|this|these|here|please|can|could|would|tell|show|give"
        "|find|calculate|compute|get|list|all|as|how much|according to|based on|value of"
        "|hello|hi|thanks|following|where|whose|cost of|worth of"
        "|table above|data above|the above|table below|data below|above table|above data"
    ),
    "soft": "data|table|csv|dataset|data set|spreadsheet|sheet|file|value|values|figures|column",
    "rows": "row|rows|record|records|entry|entries|lines",
    "sum": "total|totals|sum|in total|sum up|add up|altogether|overall|combined",
    "avg": "average|mean|avg|on average",
    "median": "median",
    "max": "highest|largest|maximum|max|biggest|greatest|most",
    "min": "lowest|smallest|minimum|min|least|fewest",
    "top": "top",
    "dearest": "most expensive",
    "cheapest": "cheapest|least expensive",
    "count": "how many|number of",
    "tally": "count of|count",
    "group": "by|for each|for every|in each|grouped by|broken down by|group by",
    "per": "per|of each|each|every",
    "act": "made|make|sold|sell|do we have|did we have|we have|in stock",
    "distinct": "distinct|unique|different",
    "which": "which",
    "who": "who",
    ">": "more than|greater than|over|above|higher than|larger than|bigger than",
    ">=": "at least",
    "<": "less than|under|below|lower than|smaller than|fewer than",
    "<=": "at most|up to",
}

SIGNS: dict[tuple[str, ...], Sign] = {
    tuple(phrase.replace("'", " ").split()): sign
    for sign, phrases in _PHRASES.items()
    for phrase in phrases.split("|")
}

MONTHS: dict[str, int] = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun",
            "july jul", "august aug", "september sep sept", "october oct", "november nov", "december dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip

NAMES_NOT_QUANTITIES = frozenset(
    (
        "id", "code", "number", "no", "nr", "num", "year", "month", "day", "zip", "zipcode", "postcode",
        "phone", "rank", "index", "key",
    )
)  # fmt: skip
"""A column that ends in one of these holds numbers that cannot be added up."""

EVENT_DATES = frozenset(
    (
        "date", "day", "time", "timestamp", "datetime", "sold on", "sold at", "sale date", "sales date",
        "order date", "ordered on", "ordered at", "transaction date", "purchase date", "invoice date",
        "payment date", "paid on", "created", "created at", "created on", "recorded at", "visit date",
    )
)  # fmt: skip
"""Columns that say when a row's numbers came about: `in 2020` means these, not when somebody was born."""

SUMMARY_CELLS = frozenset(
    ("total", "totals", "sum", "grand total", "subtotal", "overall", "all", "average", "mean")
)
"""A row that is called so is no row like the others."""

PRICES = frozenset(("price", "unit price", "cost"))
