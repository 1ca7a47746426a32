"""A behaviour lost on purpose is noticed: the suite can fail where it should."""

import inspect

import pytest
from checked_networks import checks
from mutations import BEHAVIOURS, caught_by


@pytest.fixture(scope="module")
def hand_networks():
    return checks()


def test_unbroken_rules_pass_every_check(hand_networks):
    for check in hand_networks:
        check.run()


@pytest.mark.parametrize("mutation", BEHAVIOURS, ids=lambda m: m.keeps)
def test_a_lost_behaviour_is_noticed(mutation, hand_networks):
    assert caught_by(mutation, hand_networks, enough=1)


def test_lost_behaviours_are_back_afterwards(hand_networks):
    def now():
        return [inspect.getattr_static(m.owner, m.name) for m in BEHAVIOURS]

    before = now()
    for mutation in BEHAVIOURS[:3]:
        caught_by(mutation, hand_networks, enough=1)
    assert now() == before
