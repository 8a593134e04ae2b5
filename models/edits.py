"""Small edits of a question: some leave its answer as it is, some change it."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

from models.noise import noisy

Edit = Callable[[str, random.Random], str | None]
"""The edited question, or None where the edit does not apply."""

OPPOSITES: Final = (
    ("increase", "decrease"), ("raise", "lower"), ("add", "remove"), ("open", "close"), ("enable", "disable"),
    ("activate", "deactivate"), ("turn on", "turn off"), ("switch on", "switch off"), ("before", "after"),
    ("include", "exclude"), ("included", "excluded"), ("buy", "sell"), ("accept", "decline"), ("lock", "unlock"),
    ("arrive", "leave"), ("arrival", "departure"), ("upgrade", "downgrade"), ("cheapest", "most expensive"),
    ("start", "stop"), ("incoming", "outgoing"), ("import", "export"), ("send", "receive"), ("lend", "borrow"),
    ("minimum", "maximum"), ("allowed", "banned"), ("legal", "illegal"), ("possible", "impossible"),
    ("safe", "dangerous"), ("gain", "lose"), ("win", "lose"), ("love", "hate"), ("best", "worst"),
    ("good", "bad"), ("advantages", "disadvantages"), ("pros", "cons"), ("benefits", "risks"),
    ("refundable", "non-refundable"), ("paid", "unpaid"), ("early", "late"), ("earliest", "latest"),
    ("fast", "slow"), ("faster", "slower"), ("more", "less"), ("most", "least"), ("high", "low"),
    ("higher", "lower"), ("long", "short"), ("longest", "shortest"), ("big", "small"), ("biggest", "smallest"),
    ("hot", "cold"), ("new", "used"), ("public", "private"), ("import", "delete"), ("install", "uninstall"),
    ("connect", "disconnect"), ("subscribe", "unsubscribe"), ("freeze", "unfreeze"), ("block", "unblock"),
    ("hide", "show"), ("encrypt", "decrypt"), ("renew", "cancel"), ("join", "leave"), ("deposit", "withdraw"),
    ("credit", "debit"), ("landlord", "tenant"), ("employer", "employee"), ("teacher", "student"),
    ("doctor", "patient"), ("lender", "borrower"), ("buyer", "seller"), ("sender", "recipient"),
    ("male", "female"), ("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"),
    ("husband", "wife"), ("son", "daughter"), ("brother", "sister"), ("mother", "father"), ("adult", "child"),
    ("adults", "children"), ("morning", "evening"), ("day", "night"), ("first", "last"), ("north", "south"),
    ("east", "west"), ("left", "right"), ("inside", "outside"), ("indoor", "outdoor"), ("domestic", "international"),
    ("full-time", "part-time"), ("weekly", "monthly"), ("monthly", "yearly"), ("online", "in person"),
    ("with", "without"), ("true", "false"), ("success", "failure"), ("healthy", "unhealthy"), ("above", "below"),
    ("positive", "negative"), ("always", "never"), ("everyone", "no one"), ("create", "delete"),
)  # fmt: skip
"""Words that turn a question round."""

KINDS: Final = (
    ("password", "username", "PIN", "email address", "phone number", "security question", "profile picture"),
    ("flight", "train", "bus", "ferry", "hotel", "hire car", "taxi"),
    ("dog", "cat", "rabbit", "parrot", "hamster", "horse"), ("puppy", "kitten"),
    ("savings", "current", "joint", "business"), ("car", "home", "travel", "pet", "health", "life"),
    ("chicken", "beef", "fish", "pork", "lamb", "tofu"), ("kitchen", "bathroom", "bedroom", "garage", "garden"),
    ("phone", "laptop", "tablet", "printer", "camera", "television"), ("iPhone", "Android", "Windows", "Mac", "Linux"),
    ("breakfast", "lunch", "dinner", "brunch"), ("gym", "pool", "spa", "sauna", "bar"),
    ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ("January", "February", "March", "April", "June", "July", "August", "September", "October", "November", "December"),
    ("spring", "summer", "autumn", "winter"), ("today", "tomorrow", "next week", "next month"),
    ("French", "German", "Spanish", "Italian", "Japanese", "Chinese", "Portuguese", "English", "Hindi", "Thai"),
    ("France", "Germany", "Spain", "Italy", "Japan", "China", "Portugal", "India", "Canada", "Australia", "Brazil"),
    ("Paris", "London", "Rome", "Berlin", "Madrid", "Mumbai", "Delhi", "Tokyo", "Bristol", "Leeds", "Dublin", "Boston"),
    ("Python", "Java", "C++", "JavaScript", "Ruby", "Go", "PHP", "Rust"),
    ("Facebook", "Instagram", "Twitter", "LinkedIn", "WhatsApp", "YouTube", "Snapchat", "Quora"),
    ("Amazon", "eBay", "Tesco", "Walmart", "IKEA", "Apple", "Google", "Microsoft", "Samsung"),
    ("physics", "chemistry", "biology", "mathematics", "history", "economics"),
    ("boiler", "radiator", "dishwasher", "washing machine", "oven", "fridge", "heat pump"),
    ("card", "cheque", "cash", "bank transfer"), ("passport", "driving licence", "visa", "birth certificate"),
    ("order", "booking", "subscription", "appointment", "invoice", "account"), ("message", "photo", "file", "contact"),
    ("email", "letter", "report", "essay", "cover letter", "CV"), ("mortgage", "loan", "overdraft", "credit card"),
    ("dentist", "doctor", "optician", "vet", "nurse"), ("coffee", "tea", "milk", "wine", "beer"),
    ("tax return", "VAT return", "expense claim"), ("council tax", "income tax", "stamp duty", "inheritance tax"),
    ("rent", "buy", "repair", "insure"), ("cancel", "change", "confirm", "book"), ("delete", "edit", "share", "export"),
    ("engineer", "lawyer", "nurse", "pilot", "chef", "accountant"), ("wedding", "funeral", "birthday", "interview"),
    ("water", "gas", "electricity", "broadband"), ("set", "kids'", "lunch", "vegan", "drinks"),
)  # fmt: skip
"""Words that name things of one kind: another one asks something else."""

SYNONYMS: Final = (
    ("get", "obtain"), ("buy", "purchase"), ("begin", "start"), ("quick", "fast"), ("quickly", "fast"),
    ("allowed", "permitted"), ("need", "require"), ("help", "assist"), ("cheap", "inexpensive"),
    ("big", "large"), ("mobile", "phone"), ("film", "movie"), ("picture", "photo"), ("job", "position"),
    ("company", "firm"), ("kids", "children"), ("error", "mistake"), ("fix", "repair"), ("choose", "pick"),
    ("change", "update"), ("delete", "erase"), ("remove", "take off"), ("reset", "set again"), ("wrong", "incorrect"),
    ("answer", "reply"), ("holiday", "vacation"), ("flat", "apartment"), ("car", "automobile"), ("rubbish", "trash"),
    ("guarantee", "warranty"), ("refund", "money back"), ("price", "cost"), ("salary", "pay"), ("doctor", "GP"),
    ("postpone", "defer"), ("application", "app"), ("television", "TV"), ("sign up", "register"),
    ("the best way", "a good way"), ("famous", "well known"), ("smart", "clever"), ("difficult", "hard"),
    ("yearly", "annual"), ("shop", "store"), ("ill", "sick"), ("mend", "repair"), ("learn", "study"),
    ("improve", "get better at"), ("become", "turn into"), ("earn", "make"), ("currently", "at the moment"),
)  # fmt: skip
"""Words for the same thing."""

OWNERS: Final = (
    "my colleague's", "my wife's", "my son's", "my mother's", "a customer's", "my employee's", "my flatmate's",
    "someone else's", "my company's", "our client's", "my late father's",
)  # fmt: skip
QUALIFIERS: Final = (
    "business", "joint", "second", "expired", "stolen", "international", "temporary", "shared", "company",
    "extended", "prepaid", "student", "premium", "wholesale", "vintage", "digital", "paper", "emergency",
)  # fmt: skip
CONDITIONS: Final = (
    "for a child", "if I am over 65", "as a business", "without a receipt", "after the deadline", "from abroad",
    "during the holidays", "for someone else", "without a contract", "on weekends only", "for the second time",
    "if I live outside the country", "as a part-time worker", "in bulk", "when I am pregnant", "under warranty",
)  # fmt: skip
ASKS: Final = (
    "how long does it take to",
    "how much does it cost to",
    "why would I",
    "who can",
    "when can I",
    "where can I",
)
ASK_FORMS: Final = (
    "how do I {}", "how can I {}", "what's the way to {}", "what do I need to do to {}", "how to {}",
    "could you tell me how to {}", "I want to {}, how do I do that", "what are the steps to {}",
    "is there a way to {}, and how", "what is the best way to {}", "I'd like to {}. What do I do",
)  # fmt: skip
CAN_FORMS: Final = (
    "can I {}", "am I able to {}", "is it possible to {}", "may I {}", "am I allowed to {}", "could I {}",
    "is it okay to {}", "would it be possible for me to {}",
)  # fmt: skip
OPENINGS: Final = (
    "hi, ", "hello, ", "hey ", "please ", "quick question: ", "so ", "um ", "good morning, ", "sorry, but ",
    "just wondering, ", "can you tell me ", "I have a question, ", "ok ", "hey there! ",
)  # fmt: skip
CLOSINGS: Final = (
    " please",
    " thanks",
    ", thank you",
    " cheers",
    "?? ",
    " thx!",
    ", any idea?",
    " Thanks in advance.",
)
CONTRACTIONS: Final = (
    ("what is", "what's"), ("i am", "i'm"), ("do not", "don't"), ("cannot", "can't"), ("is not", "isn't"),
    ("how is", "how's"), ("where is", "where's"), ("it is", "it's"), ("will not", "won't"), ("i would", "i'd"),
    ("who is", "who's"), ("are not", "aren't"), ("i have", "i've"), ("does not", "doesn't"),
)  # fmt: skip

_HOW: Final = re.compile(
    r"^(?:how (?:do|can|should|could|would) (?:i|we|you|one)|how to|what(?:'s| is) the (?:best |easiest )?way to)"
    r"\s+(.{6,}?)[?.!\s]*$",
    re.IGNORECASE,
)
_CAN: Final = re.compile(r"^(?:can|could|may) (?:i|we) (.{6,}?)[?.!\s]*$", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?<![\w.])(\d+)(?![\w]*\d)")
_WHERE: Final = re.compile(
    r"^((?:how|what|when|can|is|are|do|does|where|which|who|why)\b.{8,}?) "
    r"((?:at|in|on|for|with|from) (?:the |my |a )?[\w' -]{3,24})[?.!\s]*$",
    re.IGNORECASE,
)
_FROM_TO: Final = re.compile(
    r"\b(from) ((?:the )?[\w'-]+(?: [\w'-]+)?) (to) ((?:the )?[\w'-]+(?: [\w'-]+)?)", re.IGNORECASE
)
_AUXILIARY: Final = re.compile(
    r"\b(can|is|are|do|does|should|will|could|would|did|was|were|has|have)\b", re.IGNORECASE | re.ASCII
)
_ASKS_POLITELY: Final = re.compile(r"\b(?:can|could|would|will|do) you\b", re.IGNORECASE)
_NEGATED: Final = {
    "can": "can't", "is": "isn't", "are": "aren't", "do": "don't", "does": "doesn't", "should": "shouldn't",
    "will": "won't", "could": "couldn't", "would": "wouldn't", "did": "didn't", "was": "wasn't",
    "were": "weren't", "has": "hasn't", "have": "haven't",
}  # fmt: skip


def same(text: str, rng: random.Random) -> str | None:
    """The question in other words or other dress; None where nothing was found to change."""
    edited, changed = text, False
    for edit in rng.sample(_SAME, k=rng.choice((1, 1, 2, 2, 3))):
        if (fresh := edit(edited, rng)) is not None and fresh != edited:
            edited, changed = fresh, True
    return edited if changed else None


def other(text: str, rng: random.Random) -> str | None:
    """A question that looks like this one and has another answer."""
    for edit in rng.sample(_OTHER, k=len(_OTHER)):
        if (fresh := edit(text, rng)) is not None and fresh.lower() != text.lower():
            return fresh
    return None


def _replaced(text: str, old: str, new: str) -> str | None:
    pattern = re.compile(rf"(?<![\w'-]){re.escape(old)}(?![\w'-])", re.IGNORECASE)
    found = pattern.search(text)
    if found is None:
        return None
    written = new.capitalize() if found.group()[0].isupper() and found.start() == 0 else new
    return text[: found.start()] + written + text[found.end() :]


def _from_pairs(pairs: Sequence[tuple[str, str]]) -> Edit:
    both = [*pairs, *((second, first) for first, second in pairs)]

    def edit(text: str, rng: random.Random) -> str | None:
        low = text.lower()
        fitting = [pair for pair in both if pair[0].lower() in low]
        rng.shuffle(fitting)
        return next((fresh for one in fitting if (fresh := _replaced(text, *one)) is not None), None)

    return edit


def _of_a_kind(text: str, rng: random.Random) -> str | None:
    low = text.lower()
    fitting = [(word, kind) for kind in KINDS for word in kind if word.lower() in low]
    rng.shuffle(fitting)
    for word, kind in fitting:
        choice = rng.choice([one for one in kind if one != word])
        if (fresh := _replaced(text, word, choice)) is not None:
            return fresh
    return None


def _number(text: str, rng: random.Random) -> str | None:
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    one = rng.choice(found)
    value = int(one.group(1)[:9])
    fresh = rng.choice((value + 1, value * 2 + 1, value * 10, max(0, value - 1), value + rng.randint(2, 30)))
    return text[: one.start(1)] + str(fresh) + text[one.end(1) :] if fresh != value else None


def _negated(text: str, rng: random.Random) -> str | None:
    found = _AUXILIARY.search(text)
    if found is None or "n't" in text or _ASKS_POLITELY.search(text) or re.search(r"\bnot\b", text):
        return None
    word = found.group()
    fresh = _NEGATED[word.lower()]
    return text[: found.start()] + (fresh.capitalize() if word[0].isupper() else fresh) + text[found.end() :]


def _owned(text: str, rng: random.Random) -> str | None:
    return _replaced(text, "my", rng.choice(OWNERS))


def _qualified(text: str, rng: random.Random) -> str | None:
    found = list(re.finditer(r"\b(my|a|the|your) (?=[a-z]{3,})", text))
    if not found:
        return None
    one = rng.choice(found)
    return text[: one.end()] + rng.choice(QUALIFIERS) + " " + text[one.end() :]


def _conditioned(text: str, rng: random.Random) -> str | None:
    bare = text.rstrip("?.! ")
    return f"{bare} {rng.choice(CONDITIONS)}?" if len(bare) < 90 else None


def _asked_otherwise(text: str, rng: random.Random) -> str | None:
    found = _HOW.match(text) or _CAN.match(text)
    if found is None:
        return None
    form = rng.choice(ASKS)
    return f"{form[0].upper()}{form[1:]} {found.group(1)}?"


def _turned(text: str, rng: random.Random) -> str | None:
    found = _FROM_TO.search(text)
    if found is None:
        return None
    before, first, to, second = found.groups()
    return f"{text[: found.start()]}{before} {second} {to} {first}{text[found.end() :]}"


def _reasked(text: str, rng: random.Random) -> str | None:
    for pattern, forms in ((_HOW, ASK_FORMS), (_CAN, CAN_FORMS)):
        if (found := pattern.match(text)) is not None:
            fresh = rng.choice(forms).format(found.group(1))
            return f"{fresh[0].upper()}{fresh[1:]}?"
    return None


def _fronted(text: str, rng: random.Random) -> str | None:
    found = _WHERE.match(text)
    if found is None:
        return None
    head, tail = found.groups()
    return f"{tail[0].upper()}{tail[1:]}, {head[0].lower()}{head[1:]}?"


def _greeted(text: str, rng: random.Random) -> str | None:
    opening = rng.choice(OPENINGS) if rng.random() < 0.7 else ""
    closing = rng.choice(CLOSINGS) if not opening or rng.random() < 0.4 else ""
    first = text[:1].lower() if opening and text[1:2].islower() else text[:1]
    return f"{opening}{first}{text[1:].rstrip('?. ') if closing else text[1:]}{closing}"


def _shouted(text: str, rng: random.Random) -> str | None:
    return rng.choice((text.upper(), text.lower(), text.rstrip("?.! "), text.lower().rstrip("?.! ")))


def _typed(text: str, rng: random.Random) -> str | None:
    # Typing noise must not touch what a number says.
    return None if any(char.isdigit() for char in text) else noisy(text, rng)


_SAME: Final[tuple[Edit, ...]] = (
    _reasked, _reasked, _fronted, _greeted, _greeted, _shouted, _typed, _from_pairs(SYNONYMS),
    _from_pairs(SYNONYMS), _from_pairs(CONTRACTIONS),
)  # fmt: skip
_OTHER: Final[tuple[Edit, ...]] = (
    _from_pairs(OPPOSITES), _of_a_kind, _number, _negated, _owned, _qualified, _conditioned, _asked_otherwise, _turned,
)  # fmt: skip
