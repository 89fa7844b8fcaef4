"""The view of a search, for nodes and scores that the tests write to the database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.plan.search import Trials
from orchestrator.results import result_rows, view
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from orchestrator.store.records import Experiment
from tests.orchestrator.builders import claimed
from tests.orchestrator.intake.test_search import OBJECTIVE, searched

HASH = "0" * 64
SCORES: dict[str, list[float | None]] = {
    "seal-t00": [0.1, 0.5],
    "seal-t01": [0.1, 0.8, 0.7],
    "seal-t02": [0.1, 0.6, 0.9],
    "seal-t03": [0.1, None],
}
"""The objective of each trial after its generations, of which it has two or three."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}")
    yield store
    store.close()


def experiment(store: Store, identity: str) -> Experiment:
    row = store.experiment(identity)
    assert row is not None
    return row


def submitted(store: Store, **search: Any) -> str:
    spec = intake.read_spec(searched({"keep": 1, "early_stop": {"reduction": 2}} | search, evaluations=[]), store)
    return store.submit(spec.name, spec.model_dump(mode="json"), planning.plan(spec))[0]


def trained(store: Store, identity: str) -> None:
    """Finishes the generations and objectives of every trial for which it has a score."""
    spec = intake.read_spec(experiment(store, identity).spec, store)
    trials = Trials(spec)
    for trial, scores in SCORES.items():
        for generation, score in enumerate(scores):
            made = trials.generations[trial, 0][generation].key
            if (claim := store.claim(made, identity)) is not None:
                store.finish_generation(claim, f"{identity}/{trial}/seed0/g{generation}", "uri", HASH)
            objective = trials.objectives[trial, 0][generation]
            if (claim := store.claim(objective.key, identity)) is not None:
                found = {"top1": {"value": float("nan") if score is None else score, "n": 8}}
                store.finish_evaluation(
                    claim, "by", "accuracy", objective.target_label, found, {}, {"notes": ["first"]}
                )


def test_before_anything_is_trained_every_trial_waits(store: Store) -> None:
    shown = view(store, experiment(store, submitted(store)))["search"]
    assert [(trial["arm"], trial["state"], trial["generations"]) for trial in shown["trials"]] == [
        (trial, "WAITING", 0) for trial in SCORES
    ]
    assert (shown["rungs"], shown["best"], shown["dataset"]) == ([1, 2], None, "digits-noisy.holdout0.2")
    assert shown["unit"] == "share"
    assert "held-out" in shown["note"]


def test_trials_are_ordered_by_rungs_and_scores(store: Store) -> None:
    identity = submitted(store)
    trained(store, identity)
    shown = view(store, experiment(store, identity))["search"]
    assert [(trial["arm"], trial["state"], trial["generations"], trial["objective"]) for trial in shown["trials"]] == [
        ("seal-t02", "COMPLETE", 3, {"0": 0.1, "1": 0.6, "2": 0.9}),
        ("seal-t01", "COMPLETE", 3, {"0": 0.1, "1": 0.8, "2": 0.7}),
        ("seal-t00", "WAITING", 2, {"0": 0.1, "1": 0.5}),
        ("seal-t03", "WAITING", 2, {"0": 0.1, "1": None}),
    ]
    assert {trial["kept"] for trial in shown["trials"]} == {False}  # another trial may still complete
    store.move(identity, ExperimentState.SUCCEEDED)
    shown = view(store, experiment(store, identity))["search"]
    assert [trial["state"] for trial in shown["trials"]] == ["COMPLETE", "COMPLETE", "STOPPED", "STOPPED"]
    assert [trial["kept"] for trial in shown["trials"]] == [True, False, False, False]
    scale = shown["trials"][0]["settings"]["ascent_scale"]
    assert shown["best"] == {"arm": "seal-t02", "settings": {"ascent_scale": scale}}
    assert 0.001 <= scale <= 0.1


def test_a_claimed_trial_runs_and_a_diverged_trial_has_failed(store: Store) -> None:
    identity = submitted(store)
    trials = Trials(intake.read_spec(experiment(store, identity).spec, store))
    claimed(store, trials.generations["seal-t00", 0][1].key, identity)
    store.fail_node(claimed(store, trials.generations["seal-t01", 0][1].key, identity), Reason.DIVERGED, "NaN")
    states = {trial["arm"]: trial["state"] for trial in view(store, experiment(store, identity))["search"]["trials"]}
    assert states == {"seal-t00": "RUNNING", "seal-t01": "FAILED", "seal-t02": "WAITING", "seal-t03": "WAITING"}


def test_scores_of_trials_note_the_data_of_the_selection(store: Store) -> None:
    identity = submitted(store)
    trained(store, identity)
    rows = list(result_rows(store, experiment(store, identity)))
    assert len(rows) == sum(len(scores) for scores in SCORES.values())
    assert {tuple(row["details"]["notes"]) for row in rows} == {
        (
            "first",
            "a search selected the settings on held-out images: train the best again "
            "and evaluate it on the test images",
        )
    }


def test_a_search_on_the_test_images_warns_in_every_place(store: Store) -> None:
    identity = submitted(store, objective=OBJECTIVE | {"on": "test"})
    trained(store, identity)
    shown = view(store, experiment(store, identity))
    (warning,) = shown["warnings"]
    assert (warning["arm"], warning["message"]) == ("seal", shown["search"]["note"])
    assert "selected the settings on the test images" in warning["message"]
    assert shown["search"]["dataset"] == "digits-noisy"
    notes = [row["details"]["notes"][-1] for row in result_rows(store, experiment(store, identity))]
    assert set(notes) == {warning["message"]}


def test_an_experiment_without_a_search_has_none(store: Store) -> None:
    spec = intake.read_spec({name: value for name, value in searched().items() if name != "search"}, store)
    identity, _ = store.submit(spec.name, spec.model_dump(mode="json"), planning.plan(spec))
    assert view(store, experiment(store, identity))["search"] is None
