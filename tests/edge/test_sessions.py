"""Follow-ups stay where their session is, and only escalate."""

from dataclasses import replace

import pytest

from cloud.wire import chat
from edge.domain import Principal, Query
from edge.routes import Routed, parse_routes
from edge.sessions import Hand, Sessions, kept_or_escalated

TIERS = ("small", "large")
SMALL, LARGE = Hand(agent="a", tier="small"), Hand(agent="b", tier="large")


@pytest.mark.parametrize(
    ("before", "now", "hand"),
    [
        (None, None, Hand()),
        (None, SMALL, SMALL),
        (SMALL, None, SMALL),
        (SMALL, LARGE, LARGE),
        (LARGE, SMALL, LARGE),
        (SMALL, Hand(agent="c", tier="small"), SMALL),
        (SMALL, Hand(agent="c"), SMALL),
        (Hand(agent="c"), SMALL, SMALL),
        (LARGE, Hand(agent="c", tier="unheard of"), LARGE),
    ],
)
def test_a_follow_up_keeps_its_hand_or_gets_a_stronger_one(
    before: Hand | None, now: Hand | None, hand: Hand
) -> None:
    assert kept_or_escalated(before, now, tiers=TIERS) == hand


def query(tenant: str, session: str | None) -> Query:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
    return Query(
        principal=Principal(tenant=tenant, key_id="k"),
        document=chat.parse(body, max_depth=8),
        deadline=0,
        passed_on={} if session is None else {"wayside-session": session},
        request_id="r",
    )


def test_sessions_of_two_tenants_and_requests_without_one_are_apart() -> None:
    sessions = Sessions(lambda: TIERS)
    rule = replace(parse_routes("", name="r").default, agent="b")
    sure = Routed(rule=rule, table="t", is_sure=True, tier="large")
    unsure = replace(sure, is_sure=False, tier=None)
    assert sessions.hand(query("acme", "s"), sure) == LARGE
    assert sessions.hand(query("acme", "s"), unsure) == LARGE
    assert sessions.hand(query("zeta", "s"), unsure) == Hand()
    assert sessions.hand(query("acme", None), unsure) == Hand()
    assert sessions.hand(query("acme", None), sure) == LARGE
