"""A search on the real Ray gives up worse trials, trains nothing twice, and loses nothing with a killed driver."""

import os
import signal
from typing import Any

import pytest

from api.cli.stack import Stack
from api.client import Client
from orchestrator.store import Store
from tests.e2e.experiments import MARKS, end, gone, in_epoch, job_log, spec, undisturbed_digests, until
from tests.e2e.processes import children_named

pytestmark = MARKS


def search(generations: int, **changes: Any) -> dict[str, Any]:
    """Returns a search over six trials, whose ascents go from harmless to destructive.

    A generation has two epochs of four steps, and 50 images are held out.
    """
    return (
        spec(
            name="search",
            data={"name": "digits-noisy", "train_per_class": 10, "label_noise": 0.0},
            train={"generations": generations, "epochs": 2, "batch_size": 16, "lr": 0.05},
            arms=[
                {"name": "normal", "method": {"name": "normal"}},
                {"name": "seal", "method": {"name": "seal", "ascent_epochs": 1}},
            ],
            seeds=[11],
            evaluations=[{"evaluator": {"name": "prediction-depth", "k": 5}}],
            search={
                "arm": "seal",
                "space": {"ascent_scale": {"log_uniform": [0.0001, 1.0]}},
                "trials": 6,
                "seed": 1,
                "objective": {"evaluator": "accuracy", "metric": "top1"},
                "holdout": 0.5,
                "early_stop": {"min_generations": 1, "reduction": 2},
                "keep": 2,
            },
        )
        | changes
    )


def generations(store: Store, experiment: str) -> dict[str, dict[int, str]]:
    """Returns the keys of the generations by trial and generation."""
    found: dict[str, dict[int, str]] = {}
    for use in store.uses_of(experiment):
        if use.kind == "generation" and use.arm != "normal":
            found.setdefault(use.arm, {})[use.generation] = use.key
    return found


@pytest.fixture(scope="module")
def first(client: Client) -> dict[str, Any]:
    """The last view of a search over four generations."""
    posted = client.submit(search(4))
    assert posted["plan"]["generation"] == {"requested": 28, "unique": 4 + 1 + 6 * 3, "cached": 0}
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    return view


def test_the_best_are_trained_to_the_end_and_the_others_are_given_up(
    client: Client, store: Store, first: dict[str, Any]
) -> None:
    trials = first["search"]["trials"]
    nodes, of_trial = store.nodes_of(first["id"]), generations(store, first["id"])
    assert first["search"]["rungs"] == [1, 2, 3]
    assert first["search"]["dataset"] == "digits-noisy.holdout0.5"
    assert [trial["kept"] for trial in trials] == [True, True, False, False, False, False]
    assert {trial["state"] for trial in trials[:2]} == {"COMPLETE"}
    assert trials[-1]["state"] == "STOPPED"
    assert first["search"]["best"] == {"arm": trials[0]["arm"], "settings": trials[0]["settings"]}
    for trial in trials:
        states = [nodes[of_trial[trial["arm"]][generation]].state for generation in range(4)]
        done = trial["generations"]
        assert states == ["SUCCEEDED"] * done + ["SKIPPED"] * (4 - done)
        assert list(trial["objective"]) == [str(generation) for generation in range(done)]
        assert done >= 2  # no trial is compared before the first rung
    assert trials[0]["objective"]["3"] >= trials[1]["objective"]["3"]
    # successive halving: at least half of the trials on a rung are better than one that was given up there
    for trial in trials:
        if trial["state"] == "STOPPED":
            rung = str(trial["generations"] - 1)
            there = [other["objective"][rung] for other in trials if rung in other["objective"]]
            better = sum(score >= trial["objective"][rung] for score in there) - 1
            assert better >= max(len(there) // 2, 2)


def test_objectives_are_ordinary_evaluations_and_the_others_are_done_only_for_the_best(
    client: Client, first: dict[str, Any]
) -> None:
    rows = client.results(first["id"])
    for trial in first["search"]["trials"]:
        of_trial = [row for row in rows if row["arm"] == trial["arm"]]
        accuracy = {
            row["generation"]: row for row in of_trial if (row["evaluator"], row["metric"]) == ("accuracy", "top1")
        }
        assert {str(generation): row["value"] for generation, row in accuracy.items()} == trial["objective"]
        assert {(row["dataset"], row["n"]) for row in accuracy.values()} == {("digits-noisy.holdout0.5", 50)}
        assert all("held-out" in row["details"]["notes"][-1] for row in accuracy.values())
        assert any(row["evaluator"] == "prediction-depth" for row in of_trial) == trial["kept"]
    assert {row["dataset"] for row in rows if row["arm"] == "normal"} == {"digits-noisy"}


def test_the_same_search_trains_nothing_and_ends_the_same(client: Client, store: Store, first: dict[str, Any]) -> None:
    posted = client.submit(search(4))
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    assert view["search"] == first["search"]
    mine = [use for use in store.uses_of(posted["id"]) if (use.made_by or "").startswith(posted["id"])]
    assert mine == []


def test_more_generations_train_only_what_the_promoted_trials_have_not(
    client: Client, store: Store, first: dict[str, Any]
) -> None:
    before = {key: node for key, node in store.nodes_of(first["id"]).items() if node.state == "SUCCEEDED"}
    posted = client.submit(search(6))
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    assert view["search"]["rungs"] == [1, 2, 4, 5]
    after = store.nodes_of(posted["id"])
    shared = before.keys() & after.keys()
    assert len(shared) > 6 * 2
    assert all(after[key] == before[key] for key in shared)
    of_trial = generations(store, posted["id"])
    earlier = {trial["arm"]: trial["generations"] for trial in first["search"]["trials"]}
    for trial in view["search"]["trials"]:
        makers = {
            str(after[key].made_by).split("/")[0]: generation
            for generation, key in of_trial[trial["arm"]].items()
            if after[key].state == "SUCCEEDED" and generation > 0
        }
        assert makers.get(first["id"], 0) <= earlier[trial["arm"]] - 1
        if trial["generations"] > earlier[trial["arm"]]:
            assert makers[posted["id"]] == trial["generations"] - 1
    assert sorted(trial["generations"] for trial in view["search"]["trials"])[-2:] == [6, 6]


@pytest.mark.long
def test_a_search_continues_after_its_driver_was_killed(client: Client, store: Store, stack: Stack) -> None:
    raw = search(4, seeds=[12], evaluations=[])
    posted = client.submit(raw)
    until(client, posted["id"], lambda view: sum(trial["generations"] > 1 for trial in view["search"]["trials"]) > 1)
    before = {key: node for key, node in store.nodes_of(posted["id"]).items() if node.state == "SUCCEEDED"}
    (driver,) = children_named(stack, f"orchestrator.driver {posted['id']}")
    os.kill(driver, signal.SIGKILL)
    view = end(client, posted["id"])
    assert (view["state"], view["attempt"]) == ("SUCCEEDED", 2), view["message"]
    after = store.nodes_of(posted["id"])
    assert all(after[key] == node for key, node in before.items())
    assert [trial["generations"] for trial in view["search"]["trials"][:2]] == [4, 4]
    assert any(trial["state"] == "STOPPED" for trial in view["search"]["trials"])


@pytest.mark.long
def test_a_trial_that_diverges_does_not_fail_the_search(client: Client, store: Store) -> None:
    """The early layers ascend at a thousand times the learning rate, and weight decay grows them 50-fold per step."""
    raw = search(3, seeds=[13], evaluations=[])
    raw["train"] |= {"epochs": 4, "weight_decay": 1.0}
    raw["arms"][1]["method"] |= {"ascent_epochs": 3, "ascent_scale": 1000.0}
    raw["search"] |= {"space": {"ascent_weight_decay": {"choice": ["zero", "keep"]}}, "trials": 5, "keep": 1}
    posted = client.submit(raw)
    view = end(client, posted["id"])
    assert view["state"] == "SUCCEEDED", view["message"]
    states = {trial["settings"]["ascent_weight_decay"]: trial["state"] for trial in view["search"]["trials"]}
    assert states == {"zero": "COMPLETE", "keep": "FAILED"}
    assert {trial["same_as"] is None for trial in view["search"]["trials"]} == {True, False}
    reasons = {node.reason for node in store.nodes_of(posted["id"]).values() if node.state == "FAILED"}
    assert reasons == {"DIVERGED"}


@pytest.mark.long
def test_kill_9_of_a_worker_in_a_search_costs_no_bit(client: Client, store: Store, stack: Stack) -> None:
    raw = search(2, seeds=[14], evaluations=[], resources={"checkpoint_every_s": 0})
    raw["data"] |= {"train_per_class": 2}
    raw["train"] |= {"epochs": 240, "evaluate_every": 240}
    raw["search"] |= {"trials": 1, "keep": 1}
    del raw["arms"][0]
    posted = client.submit(raw)
    until(client, posted["id"], in_epoch(1, 2))  # seconds of the generation are left when the signal arrives
    (worker,) = children_named(stack, "ray::ImplicitFunc")
    os.kill(worker, signal.SIGKILL)
    view = end(client, posted["id"])
    assert (view["state"], view["attempt"]) == ("SUCCEEDED", 1), view["message"]
    assert "seal-t0/seed14/g1 resumed after epoch" in job_log(stack, posted["id"], 1).replace("t00", "t0")
    row = store.experiment(posted["id"])
    assert row is not None
    nodes = {key: node for key, node in store.nodes_of(posted["id"]).items() if node.kind == "generation"}
    assert {key: node.weights_sha256 for key, node in nodes.items()} == undisturbed_digests(row.spec)


@pytest.mark.long
def test_a_search_that_is_cancelled_leaves_no_worker(client: Client, stack: Stack) -> None:
    raw = search(3, seeds=[15], evaluations=[])
    raw["train"] |= {"epochs": 400, "evaluate_every": 400}
    del raw["arms"][0]
    posted = client.submit(raw)
    until(client, posted["id"], lambda view: any(row["generation"] == 1 for row in view["rows"]))
    client.cancel(posted["id"])
    assert end(client, posted["id"])["state"] == "CANCELLED"
    gone(stack, "ray::ImplicitFunc")
