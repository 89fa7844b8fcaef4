"""The counts of a plan against counts by hand, and what was done before or is in flight."""

from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.orchestrator.builders import node, planned, small
from tests.orchestrator.estimate.builders import ARMS, answer, codes, finish


def test_the_counts_of_the_small_spec_by_hand(store: Store) -> None:
    """Generation 0 is shared and generation 1 is trained per arm, each with three epochs of three steps."""
    found = answer(store, small())
    assert found["nodes"] == {
        "generation": {"requested": 4, "unique": 3, "cached": 0, "in_flight": 0, "to_do": 3},
        "checkpoint": {"requested": 0, "unique": 0, "cached": 0, "in_flight": 0, "to_do": 0},
        "evaluation": {"requested": 2, "unique": 2, "cached": 0, "in_flight": 0, "to_do": 2},
    }
    assert found["epochs"] == {"separate": 12, "shared": 9, "cached": 0, "in_flight": 0, "to_do": 9}
    steps = {"separate": 36, "shared": 27, "cached": 0, "in_flight": 0, "to_do": 27, "partial": False}
    assert found["steps"] == steps
    assert found["evaluations"] == {"accuracy": {"requested": 2, "unique": 2, "cached": 0, "in_flight": 0, "to_do": 2}}
    assert store.experiments() == []


def test_three_arms_with_three_seeds_share_six_generations(store: Store) -> None:
    raw = small(arms=ARMS, seeds=[0, 1, 2], train={"generations": 10, "epochs": 3}, evaluations=[])
    found = answer(store, raw)
    assert found["nodes"]["generation"] == {"requested": 90, "unique": 84, "cached": 0, "in_flight": 0, "to_do": 84}
    assert found["sharing"] == [
        {
            "why": "generation 0 is common to normal, llf, seal: 6 generations saved with 3 seeds",
            "epochs": 18,
            "generations": 6,
            "evaluations": 0,
        }
    ]


def test_the_whole_paper_costs_what_its_tables_say(store: Store) -> None:
    found = answer(store, {"preset": "paper/all"})
    assert (found["epochs"]["separate"], found["epochs"]["shared"], found["epochs"]["to_do"]) == (43368, 26328, 26328)
    assert found["preset"] == "paper/all@1"
    assert not found["steps"]["partial"]
    assert set(codes(found)) == {"NOT_PREPARED", "SINGLE_SEED", "TEST_SELECTED"}
    tiny = [each for each in found["warnings"] if "tiny-imagenet" in each["message"] and each["code"] == "NOT_PREPARED"]
    assert len(tiny) == 1
    assert "relearn data prepare tiny-imagenet" in tiny[0]["message"]


def test_steps_of_data_that_is_not_prepared_are_those_of_the_complete_data(store: Store) -> None:
    """100,000 images in batches of 32 are 3,125 steps. The size of a user's own image tree is unknown."""
    raw = small(
        data={"name": "tiny-imagenet"},
        model={"name": "resnet18"},
        train={"generations": 1, "epochs": 2},
        evaluations=[],
    )
    assert answer(store, raw)["steps"]["shared"] == 2 * 3125
    held = answer(store, raw | {"data": {"name": "tiny-imagenet", "holdout": 0.1}})
    assert held["steps"]["shared"] == 2 * -(-90_000 // 32)
    own = answer(store, raw | {"data": {"name": "folder", "tree": "mine"}})
    assert (own["steps"]["shared"], own["steps"]["partial"]) == (0, True)
    assert own["storage"]["partial"]
    assert own["quote"]["unknown"] == [
        "the number of images is unknown: resnet18 on folder, batch 32, fp32, 1 CPU thread"
    ]


def test_finished_nodes_are_cached_and_the_others_are_to_do(store: Store) -> None:
    identity = finish(store, small())
    store.move(identity, ExperimentState.SUCCEEDED)
    again = answer(store, small())
    assert again["nodes"]["generation"] == {"requested": 4, "unique": 3, "cached": 3, "in_flight": 0, "to_do": 0}
    assert again["epochs"]["cached"] == 9
    assert again["storage"]["kept_bytes"] == 0
    longer = answer(store, small(train={"generations": 3, "epochs": 3, "batch_size": 16}))
    assert longer["nodes"]["generation"] == {"requested": 6, "unique": 5, "cached": 3, "in_flight": 0, "to_do": 2}
    why = [each["why"] for each in longer["sharing"]]
    assert f"generations 0-1 of normal (2 nodes) were trained in {identity}" in why
    assert f"generation 1 of seal (1 node) was trained in {identity}" in why


def test_work_that_another_experiment_does_or_waits_for_is_in_flight(store: Store) -> None:
    identity = finish(store, small(), without=["seal/seed0/g1", "seal/seed0/g1/accuracy/digits-noisy"])
    found = answer(store, small())
    assert found["nodes"]["generation"] == {"requested": 4, "unique": 3, "cached": 2, "in_flight": 1, "to_do": 0}
    assert found["nodes"]["evaluation"] == {"requested": 2, "unique": 2, "cached": 1, "in_flight": 1, "to_do": 0}
    assert f"generation 1 of seal (1 node) is being trained or waited for by {identity}" in [
        each["why"] for each in found["sharing"]
    ]
    store.move(identity, ExperimentState.FAILED)
    assert answer(store, small())["nodes"]["generation"]["to_do"] == 1


def test_a_checkpoint_that_was_removed_and_is_needed_is_trained_again(store: Store) -> None:
    store.move(finish(store, small()), ExperimentState.SUCCEEDED)
    last = node(planned(small()), "seal", 1).key
    store.forget_checkpoints(lambda _: [last])
    assert answer(store, small())["nodes"]["generation"]["cached"] == 3
    longer = answer(store, small(train={"generations": 3, "epochs": 3, "batch_size": 16}))
    assert longer["nodes"]["generation"] == {"requested": 6, "unique": 5, "cached": 2, "in_flight": 0, "to_do": 3}
