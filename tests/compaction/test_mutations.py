"""A rule broken on purpose is noticed: the suite can fail where it should."""

import pytest
from mutations import MUTATIONS, caught_by, checks


@pytest.fixture(scope="module")
def hand_networks():
    return checks()


def test_unbroken_rules_pass_every_check(hand_networks):
    for check in hand_networks:
        check.run()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.breaks)
def test_a_broken_rule_is_noticed(mutation, hand_networks):
    assert caught_by(mutation, hand_networks, enough=1)


def test_broken_rules_are_whole_again_afterwards(hand_networks):
    code = [mutation.function.__code__ for mutation in MUTATIONS]
    for mutation in MUTATIONS[:3]:
        caught_by(mutation, hand_networks, enough=1)
    assert [mutation.function.__code__ for mutation in MUTATIONS] == code
