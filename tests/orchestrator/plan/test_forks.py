"""The keys of arms that fork from other arms."""

from orchestrator.plan import segments
from tests.orchestrator.builders import node, planned, small
from tests.orchestrator.plan.builders import THREE_ARMS, forked, keys, shape


def test_a_fork_shares_the_generations_before_it_and_continues_with_its_own_method() -> None:
    plan = planned(forked(("normal", 2)))
    same = [node(plan, "llf0", generation).key == node(plan, "normal", generation).key for generation in range(5)]
    assert same == [True, True, True, False, False]
    assert node(plan, "llf0", 3).parent == node(plan, "normal", 2).key
    assert plan.counts("generation") == {"requested": 10, "unique": 7}
    assert shape(segments(plan, set(plan.nodes))) == [
        (None, ["normal/seed0/g0", "normal/seed0/g1", "normal/seed0/g2"]),
        ("normal/seed0/g2", ["normal/seed0/g3", "normal/seed0/g4"]),
        ("normal/seed0/g2", ["llf0/seed0/g3", "llf0/seed0/g4"]),
    ]


def test_a_fork_after_generation_0_is_the_arm_without_fork() -> None:
    plain = small(arms=THREE_ARMS[:2], train={"generations": 5, "epochs": 3}, evaluations=[])
    assert set(keys(forked(("normal", 0)))) == set(keys(plain))


def test_forks_of_forks() -> None:
    plan = planned(forked(("normal", 1), ("llf0", 3)))
    chain = [node(plan, "llf1", generation).key for generation in range(5)]
    assert chain == [node(plan, "llf0", generation).key for generation in range(5)]
    other = planned(forked(("normal", 1), ("normal", 3)))
    assert node(other, "llf1", 4).key not in plan.nodes
