"""The nodes of a plan, counted by hand, and the segments that they form."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan import segments
from tests.orchestrator.builders import node, planned, small
from tests.orchestrator.plan.builders import THREE_ARMS, shape, three_by_three


def test_three_arms_share_generation_0_of_each_seed() -> None:
    plan = planned(three_by_three())
    assert plan.counts("generation") == {"requested": 90, "unique": 84}
    assert plan.counts("evaluation") == {"requested": 0, "unique": 0}
    for seed in (0, 1, 2):
        assert len({node(plan, arm, 0, seed=seed).key for arm in ("normal", "llf", "seal")}) == 1
        assert len({node(plan, arm, 1, seed=seed).key for arm in ("normal", "llf", "seal")}) == 3


def test_one_arm_shares_nothing() -> None:
    plan = planned(three_by_three() | {"arms": THREE_ARMS[:1]})
    assert plan.counts("generation") == {"requested": 30, "unique": 30}


def test_evaluations_are_counted_per_generation_and_target() -> None:
    """Generations 0 and 2 have one accuracy and two targets of few-shot each; both arms share generation 0."""
    evaluations = [
        {"evaluator": {"name": "accuracy"}, "on": ["first", "last", 0]},
        {"evaluator": {"name": "few-shot", "targets": ["digits", "digits-0-4"]}, "on": ["first", "last"]},
    ]
    plan = planned(small(train={"generations": 3, "epochs": 3}, evaluations=evaluations))
    assert plan.counts("evaluation") == {"requested": 12, "unique": 9}
    assert plan.counts("generation") == {"requested": 6, "unique": 5}


def test_evaluations_that_overlap_count_once() -> None:
    accuracy = {"evaluator": {"name": "accuracy"}}
    plan = planned(small(evaluations=[accuracy | {"on": ["every"]}, accuracy | {"on": ["last"]}]))
    assert plan.counts("evaluation") == {"requested": 4, "unique": 3}


def test_the_small_plan_by_hand() -> None:
    plan = planned(small())
    g0, n1, s1 = node(plan, "normal", 0), node(plan, "normal", 1), node(plan, "seal", 1)
    evaluation = node(plan, "seal", 1, "evaluation")
    assert [each.title for each in plan.nodes.values()] == [
        "normal/seed0/g0",
        "normal/seed0/g1",
        "normal/seed0/g1/accuracy/digits-noisy",
        "seal/seed0/g1",
        "seal/seed0/g1/accuracy/digits-noisy",
    ]
    assert (g0.parent, n1.parent, s1.parent, evaluation.parent) == (None, g0.key, g0.key, s1.key)
    assert (evaluation.evaluator, evaluation.target) == (
        {"name": "accuracy"},
        {"name": "digits-noisy", "train_per_class": 4},
    )
    assert [(use.arm, use.generation, use.kind) for use in plan.uses] == [
        ("normal", 0, "generation"),
        ("normal", 1, "generation"),
        ("normal", 1, "evaluation"),
        ("seal", 0, "generation"),
        ("seal", 1, "generation"),
        ("seal", 1, "evaluation"),
    ]


def test_the_evaluator_of_a_node_has_only_its_target() -> None:
    evaluations = [{"evaluator": {"name": "few-shot", "targets": ["digits", "digits-0-4"], "shots": [1]}}]
    nodes = [each for each in planned(small(evaluations=evaluations)).nodes.values() if each.kind == "evaluation"]
    assert [(each.evaluator, each.target) for each in nodes[:2]] == [
        ({"name": "few-shot", "shots": [1], "targets": ["digits"]}, {"name": "digits"}),
        ({"name": "few-shot", "shots": [1], "targets": ["digits-0-4"]}, {"name": "digits-0-4"}),
    ]


def test_a_chain_ends_where_arms_diverge() -> None:
    plan = planned(three_by_three(generations=3) | {"seeds": [0]})
    assert shape(segments(plan, set(plan.nodes))) == [
        (None, ["normal/seed0/g0"]),
        ("normal/seed0/g0", ["normal/seed0/g1", "normal/seed0/g2"]),
        ("normal/seed0/g0", ["llf/seed0/g1", "llf/seed0/g2"]),
        ("normal/seed0/g0", ["seal/seed0/g1", "seal/seed0/g2"]),
    ]


def test_one_arm_is_one_chain_per_seed() -> None:
    plan = planned(three_by_three(generations=3) | {"seeds": [0, 1], "arms": THREE_ARMS[2:]})
    assert shape(segments(plan, set(plan.nodes))) == [
        (None, ["seal/seed0/g0", "seal/seed0/g1", "seal/seed0/g2"]),
        (None, ["seal/seed1/g0", "seal/seed1/g1", "seal/seed1/g2"]),
    ]


def test_segments_continue_finished_generations() -> None:
    plan = planned(three_by_three(generations=4) | {"seeds": [0]})
    done = {node(plan, "normal", 0).key, node(plan, "normal", 1).key, node(plan, "llf", 1).key}
    assert shape(segments(plan, set(plan.nodes) - done)) == [
        ("done", ["normal/seed0/g2", "normal/seed0/g3"]),
        ("done", ["llf/seed0/g2", "llf/seed0/g3"]),
        ("done", ["seal/seed0/g1", "seal/seed0/g2", "seal/seed0/g3"]),
    ]


def test_a_chain_ends_where_the_arm_changes() -> None:
    """If generation 0 is trained again and only SEAL is pending, its chain follows Normal's node, which both share."""
    plan = planned(three_by_three(generations=3) | {"seeds": [0], "arms": THREE_ARMS[::2]})
    pending = {node(plan, "normal", 0).key, node(plan, "seal", 1).key, node(plan, "seal", 2).key}
    assert shape(segments(plan, pending)) == [
        (None, ["normal/seed0/g0"]),
        ("normal/seed0/g0", ["seal/seed0/g1", "seal/seed0/g2"]),
    ]


def test_nothing_pending_is_no_segment() -> None:
    plan = planned(small())
    assert segments(plan, set()) == []
    assert segments(plan, [key for key, each in plan.nodes.items() if each.kind == "evaluation"]) == []


SWEEP = planned(
    small(
        arms=[
            *THREE_ARMS,
            {"name": "seal2", "method": {"name": "seal", "ascent_scale": 1}},
            {"name": "twin", "method": {"name": "llf"}},
        ],
        train={"generations": 4, "epochs": 3},
        seeds=[0, 1],
    )
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sets(st.sampled_from(sorted(SWEEP.nodes))))
def test_every_pending_generation_is_in_exactly_one_maximal_chain(pending: set[str]) -> None:
    found = segments(SWEEP, pending)
    wanted = {key for key in pending if SWEEP.nodes[key].kind == "generation"}
    assert Counter(each.key for segment in found for each in segment.nodes) == Counter(wanted)
    children = Counter(SWEEP.nodes[key].parent for key in wanted)
    for segment in found:
        for before, after in zip(segment.nodes, segment.nodes[1:], strict=False):
            assert after.parent == before.key
            assert children[before.key] == 1
            assert after.arm == before.arm
        head = segment.nodes[0]
        assert head.parent not in wanted or children[head.parent] > 1 or SWEEP.nodes[head.parent].arm != head.arm
        following = [SWEEP.nodes[key] for key in wanted if SWEEP.nodes[key].parent == segment.key]
        assert len(following) != 1 or following[0].arm != segment.nodes[-1].arm
    at = {each.key: index for index, segment in enumerate(found) for each in segment.nodes}
    assert all(at[segment.parent] < index for index, segment in enumerate(found) if segment.parent in at)
