"""Questions whose answer depends on who asks, or when: no stored answer serves them."""

import re


def _any(phrases: str) -> str:
    """One alternative a line; `_` stands for any white space, the rest is a regular expression."""
    return "|".join(line.strip().replace("_", r"\s+") for line in phrases.strip().splitlines())


_OWNED = _any("""
    balances?
    orders?
    accounts?
    statements?
    (?:package|parcel|shipment|invoice|bill|transaction|payment|deposit|transfer|withdrawal|purchase)s?
    deliver(?:y|ies)
    (?:appointment|booking|reservation|ticket|meeting|flight|trip|alarm|reminder|timer|playlist)s?
    schedule|calendar|agenda|inbox|to-?do|tasks?|lists?
    (?:mail|e-?mail|message|text|notification|contact|file|document)s?
    (?:claim|refund|prescription|result|record|grade|reward|point|mile)s?
    salary|wages?|bonus|pay(?:slip|check|roll)?s?
    location|address|name|age|birthday|weight|heart_rate|steps
    usage|quota|limit|plan|subscriptions?|membership|contract|policy|case|application|visa
    score|pin|passcode|portfolio|holdings|shares|luggage|car|route|commute|iban|cards?|numbers?
""")
_MY = re.compile(rf"\b(?:my|our)(?:\s+[\w'-]+){{0,2}}?\s+(?:{_OWNED})\b|\b(?:mine|ours)\b", re.IGNORECASE)
_DONE = _any("""
    owed?|spend|spent|pay|paid|earn|earned|weigh|live|work
    order(?:ed)?|buy|bought|book(?:ed)?|scheduled
    said|say|asked|ask|told|tell|mention(?:ed)?
    left|got|have_(?:left|on|scheduled)
""")
_ABOUT_ME = re.compile(
    r"\b(?:do|did|have|had|am|was|were|will|where|what|which|who|many|much)\s+"
    rf"(?:(?:do|did|have|had)\s+)?(?:i|we)\s+(?:{_DONE})\b"
    r"|\b(?:who|where)\s+am\s+i\b|\bremind\s+me\b|\b(?:about|remember)\s+me\b"
    rf"|\bi\s+(?:have\s+)?(?:just\s+)?(?:{_DONE})\b",
    re.IGNORECASE,
)
_PROCEDURE = re.compile(r"\s*(?:please\s+)?(?:how\s+(?:do|can|should|would|could|to)\b|steps\s+to\b)", re.I)
_IDENTIFIER = re.compile(
    r"[\w.+-]+@[\w-]+\.\w"  # an e-mail address
    r"|\b\d(?:[ -]?\d){8,}\b"  # a phone, card or account number
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,}\b"  # an IBAN
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-"  # a UUID
    r"|\b(?:order|ticket|invoice|booking|case|claim|tracking|account|reference|customer|policy|flight)"
    r"\s*(?:id|no\.?|nr\.?|number)?\s*[:#]?\s*(?=[A-Z-]*\d)[A-Z\d-]{3,}\b",
    re.IGNORECASE,
)

_PERIOD = _any("""
    second|minute|hour|morning|afternoon|evening|night|day|week|weekend|month|quarter|year|season|decade
    summer|winter|spring|autumn|fall|monday|tuesday|wednesday|thursday|friday|saturday|sunday
    game|match|race|election|episode|version|release|update
""")
_WHEN = _any(rf"""
    today|tonight|tomorrow|yesterday|now|nowadays|currently|presently|lately|recently|upcoming|ongoing
    at_the_moment|at_present|these_days|so_far|as_of|up[-_]to[-_]date|to_date|breaking
    just_(?:released|announced|happened)
    (?:this|next|last|past|coming|previous|current)_(?:{_PERIOD})s?
    \d+_(?:{_PERIOD})s?_ago
    in_\d+_(?:{_PERIOD})s?
    what_(?:time|day|date|month|year)_is_it
    what(?:'s|_is)_the_(?:time|date)
""")
_CHANGES = _any("""
    latest|newest|most_recent|current|trending|ongoing|news|headlines|traffic|outage
    weather|forecast|is_it_(?:raining|snowing|open|closed)
    (?:live_)?scores?_of|live_scores?|who_won|who(?:'s|_is)_(?:winning|leading|ahead)
    (?:stock|share|gas|petrol|gold|silver|oil|bitcoin|crypto\\w*|house|ticket|spot)_prices?
    prices?_of|price_for|stock_(?:market|quote)s?|market_cap|how_much_(?:is|are)\\b|what_(?:is|are)_.{1,40}_worth
    how_much_(?:does|do|would)_.{1,60}?_cost
    (?:exchange|interest|mortgage|conversion|inflation|unemployment)_rates?
    dow|nasdaq|s&p|dax|nikkei|ftse|btc|bitcoin|ethereum
    in_stock|available|availability|open_(?:late|until)|opening_hours|flight_status
    is_.{1,40}_(?:down|still|alive|dead)|still_(?:alive|open|running|working|in)
    (?:ceo|president|prime_minister|chancellor|king|queen|pope|mayor|governor|champion|record_holder)_of
""")
_TIME = re.compile(rf"\b(?:{_WHEN}|{_CHANGES})\b", re.IGNORECASE)


def is_personal(text: str) -> bool:
    """Whether the answer may differ from one asker to the next.

    How to do something with one's own account is the same for all, so a question for a procedure
    passes; one that carries an identifier never does.
    """
    if _IDENTIFIER.search(text):
        return True
    if _PROCEDURE.match(text):
        return False
    return bool(_MY.search(text) or _ABOUT_ME.search(text))


def is_time_dependent(text: str) -> bool:
    """Whether the answer may be another one tomorrow."""
    return bool(_TIME.search(text))
