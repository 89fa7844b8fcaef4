"""Garbage collections remove checkpoints and folders; committed checkpoints are in a real MLflow store."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.checkpoints import retention
from orchestrator.checkpoints.gc import Removal, Report, Scope, collect_garbage, survey
from orchestrator.problems import InvalidSpec
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from orchestrator.store.records import Holdings
from orchestrator.tracking.mlflow import Tracker
from tests.orchestrator.builders import Clock, claimed, node, planned, small, submitted
from tests.orchestrator.checkpoints.test_retention import DAY, NOW

LONG = small(train={"generations": 4, "epochs": 3, "batch_size": 16})
PLAN = planned(LONG)


def key(arm: str, generation: int) -> str:
    return node(PLAN, arm, generation).key


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    """MLflow on a database file, with artifacts beside it."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)  # where artifacts go by default
        yield Tracker(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=clock)
    yield store
    store.close()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def run(store: Store, tracker: Tracker, tmp_path: Path, raw: dict[str, Any]) -> str:
    """The id of an experiment that finished all its open nodes, with 10 bytes per checkpoint, and ended."""
    experiment = submitted(store, raw)
    mlflow_experiment = tracker.experiment(experiment, {})
    run_id = tracker.start_run(mlflow_experiment, "run", {}, {})
    store.add_run(experiment, raw["arms"][0]["name"], 0, run_id)
    (tmp_path / "checkpoint").mkdir(exist_ok=True)
    (tmp_path / "checkpoint" / "state.pt").write_bytes(b"0123456789")
    store.start_attempt(experiment, ExperimentState.RUNNING)
    for name, done in store.nodes_of(experiment).items():
        if done.state == "SUCCEEDED":
            continue
        claim = claimed(store, name, experiment)
        if done.kind == "evaluation":
            store.finish_evaluation(claim, experiment, "accuracy", "digits", {}, {})
        else:
            tracker._client.log_artifacts(run_id, str(tmp_path / "checkpoint"), f"checkpoints/{name[:8]}")
            (uri,) = [uri for uri in tracker.checkpoints(run_id) if uri.endswith(name[:8])]
            store.finish_generation(claim, experiment, uri, "0" * 64)
    assert store.move(experiment, ExperimentState.SUCCEEDED)
    return experiment


def states(store: Store, experiment: str, raw: dict[str, Any]) -> dict[str, str]:
    """Maps the title of every generation to its state."""
    stored = store.nodes_of(experiment)
    return {each.title: stored[each.key].state for each in planned(raw).nodes.values() if each.kind == "generation"}


def collected(report: Report) -> tuple[set[str | None], int]:
    return {each.key for each in report.checkpoints}, report.bytes


def test_intermediate_generations_are_removed_after_the_grace_period(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path, clock: Clock
) -> None:
    experiment = run(store, tracker, tmp_path, LONG)
    early = survey(store, storage, tracker, Scope(clock.at + 6.9 * DAY))
    assert (early.checkpoints, early.bytes, early.kept) == ([], 0, {retention.YOUNG: 5, retention.EVALUATED: 2})
    clock.at += 7 * DAY
    between = {key("normal", 0), key("normal", 1), key("normal", 2), key("seal", 1), key("seal", 2)}
    found = survey(store, storage, tracker, Scope(clock.at))
    assert collected(found) == (between, 50)
    assert (found.deleted, found.leftovers, found.kept) == (False, [], {retention.EVALUATED: 2})
    assert len(tracker.checkpoints(store.runs_of(experiment)[0].run_id)) == 7  # nothing is removed yet

    assert collected(collect_garbage(store, storage, tracker, Scope(clock.at))) == (between, 50)
    left = {uri.rsplit("/", 1)[1] for uri in tracker.checkpoints(store.runs_of(experiment)[0].run_id)}
    assert left == {key("normal", 3)[:8], key("seal", 3)[:8]}
    assert {name: store.has_checkpoint(name) for name in PLAN.nodes if PLAN.nodes[name].kind == "generation"} == {
        name: name not in between for name in PLAN.nodes if PLAN.nodes[name].kind == "generation"
    }
    assert set(states(store, experiment, LONG).values()) == {"SUCCEEDED"}

    again = collect_garbage(store, storage, tracker, Scope(clock.at))
    assert (again.checkpoints, again.leftovers, again.folders, again.bytes) == ([], [], [], 0)


def with_generations(count: int, **more: Any) -> dict[str, Any]:
    return LONG | {"train": LONG["train"] | {"generations": count}} | more


def test_after_a_gc_the_same_and_a_longer_experiment_train_nothing_twice(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    run(store, tracker, tmp_path, LONG)
    collect_garbage(store, storage, tracker, Scope(NOW, 0.0))
    same = submitted(store, LONG)
    assert set(states(store, same, LONG).values()) == {"SUCCEEDED"}
    assert all(use.cached for use in store.uses_of(same))
    longer = with_generations(6)
    found = states(store, submitted(store, longer), longer)
    assert {title for title, state in found.items() if state == "QUEUED"} == {
        "normal/seed0/g4",
        "normal/seed0/g5",
        "seal/seed0/g4",
        "seal/seed0/g5",
    }


def test_only_the_chain_to_a_removed_checkpoint_that_is_needed_is_trained_again(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    """Generation 1 of Normal was evaluated and is kept. Its generation 2 and SEAL's 0 (shared) to 2 are removed."""
    evaluated = {"evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["last"]}]}
    run(store, tracker, tmp_path, with_generations(2, arms=LONG["arms"][:1], **evaluated))
    run(store, tracker, tmp_path, LONG)
    collect_garbage(store, storage, tracker, Scope(NOW, 0.0))
    assert store.has_checkpoint(key("normal", 1))
    more = {"evaluator": {"name": "accuracy"}, "on": [2]}
    normal = LONG | {"arms": LONG["arms"][:1], "evaluations": [more]}
    experiment = submitted(store, normal)
    assert states(store, experiment, normal) == {
        "normal/seed0/g0": "SUCCEEDED",
        "normal/seed0/g1": "SUCCEEDED",
        "normal/seed0/g2": "QUEUED",
        "normal/seed0/g3": "SUCCEEDED",
    }
    row = store.experiment(experiment)
    assert row is not None
    assert row.plan["generation"] == {"requested": 4, "unique": 4, "cached": 3}
    assert [use.generation for use in store.uses_of(experiment) if not use.cached] == [2, 2]

    seal = LONG | {"arms": LONG["arms"][1:], "evaluations": [more]}
    found = states(store, submitted(store, seal), seal)
    assert [found[f"seal/seed0/g{g}"] for g in range(4)] == ["QUEUED", "QUEUED", "QUEUED", "SUCCEEDED"]

    collect_garbage(store, storage, tracker, Scope(NOW, 0.0))  # neither has ended, so all their checkpoints are kept
    assert store.has_checkpoint(key("normal", 1))
    rerun = run(store, tracker, tmp_path, seal)
    assert set(states(store, rerun, seal).values()) == {"SUCCEEDED"}
    assert store.has_checkpoint(key("normal", 0))


def test_a_fork_from_a_removed_generation_is_refused(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    """The new spec names the generation, but does not contain how to train it."""
    first = run(store, tracker, tmp_path, LONG)
    fork = {"experiment": first, "arm": "seal", "generation": 1, "keys": {"0": key("seal", 1)}}
    raw = LONG | {"arms": [LONG["arms"][0] | {"fork": fork}]}
    collect_garbage(store, storage, tracker, Scope(NOW, 0.0))
    with pytest.raises(
        InvalidSpec, match=r"the checkpoint of exp_.*/seal/seed0/g1 was removed: post its arm in this experiment"
    ):
        submitted(store, raw)
    assert len(store.experiments()) == 1


def test_a_generation_that_a_fork_refers_to_reasons_to_keep(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    first = run(store, tracker, tmp_path, LONG)
    fork = {"experiment": first, "arm": "seal", "generation": 1, "keys": {"0": key("seal", 1)}}
    run(store, tracker, tmp_path, LONG | {"arms": [LONG["arms"][0] | {"fork": fork}]})
    collect_garbage(store, storage, tracker, Scope(NOW, 0.0))
    assert store.has_checkpoint(key("seal", 1))
    assert not store.has_checkpoint(key("seal", 2))


def test_a_submission_waits_for_a_gc_and_then_sees_what_it_removed(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    run(store, tracker, tmp_path, LONG)
    raw = LONG | {"evaluations": [{"evaluator": {"name": "accuracy"}, "on": [0]}]}
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(submitted(store, raw)))

    def choose(_: Holdings) -> list[str]:
        thread.start()
        thread.join(0.3)
        assert found == []
        return [key("normal", 0)]

    store.forget_checkpoints(choose)
    thread.join()
    assert states(store, found[0], raw)["normal/seed0/g0"] == "QUEUED"


def test_a_gc_that_fails_before_the_files_are_deleted_is_finished_by_the_next(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    class FailingTracker(Tracker):
        def delete(self, uri: str) -> None:
            raise ConnectionError("the tracking server does not answer")

    experiment = run(store, tracker, tmp_path, LONG)
    with pytest.raises(ConnectionError):
        collect_garbage(store, storage, FailingTracker(tracker.uri), Scope(NOW, 0.0))
    run_id = store.runs_of(experiment)[0].run_id
    assert not store.has_checkpoint(key("normal", 0))
    assert len(tracker.checkpoints(run_id)) == 7
    report = collect_garbage(store, storage, tracker, Scope(NOW, 0.0))
    assert (len(report.leftovers), report.checkpoints, report.bytes) == (5, [], 50)
    assert len(tracker.checkpoints(run_id)) == 2


def test_an_upload_of_a_live_experiment_is_no_leftover(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    """An upload is in the tracking server shortly before the database refers to it."""
    experiment = submitted(store, LONG)
    run_id = tracker.start_run(tracker.experiment(experiment, {}), "run", {}, {})
    store.add_run(experiment, "normal", 0, run_id)
    (tmp_path / "state.pt").write_bytes(b"0")
    tracker._client.log_artifact(run_id, str(tmp_path / "state.pt"), "checkpoints/g0000")
    assert survey(store, storage, tracker, Scope(NOW, 0.0)).leftovers == []
    store.cancel(experiment)
    (uri,) = tracker.checkpoints(run_id)
    assert survey(store, storage, tracker, Scope(NOW, 0.0)).leftovers == [
        Removal(uri, "no node refers to it", 1, uri=uri)
    ]
    assert survey(store, storage, tracker, Scope(NOW, 1.0)).leftovers == []


def test_a_run_that_was_removed_from_the_tracking_server_is_skipped(
    store: Store, storage: Path, tracker: Tracker
) -> None:
    experiment = submitted(store)
    store.cancel(experiment)
    store.add_run(experiment, "normal", 0, "0" * 32)
    assert survey(store, storage, tracker, Scope(NOW, 0.0)).bytes == 0


def test_folders_that_ended_experiments_left_on_disk_are_removed(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path, clock: Clock
) -> None:
    cancelled, waiting = submitted(store), submitted(store, small(seeds=[1]))
    store.cancel(cancelled)
    half, theirs = (node(planned(raw), "normal", 0, seed=s).key for s, raw in ((0, small()), (1, small(seeds=[1]))))
    paths = [
        f"ray/small-{cancelled}-a1-lane0",
        f"ray/small-{waiting}-a1-lane0",
        f"progress/{half}",
        f"progress/{theirs}",
    ]
    for path in paths:
        (storage / path / "part").mkdir(parents=True)
        (storage / path / "part" / "file").write_bytes(b"123")
        os.utime(storage / path, (NOW, NOW))
    (storage / "features").mkdir()
    now = collect_garbage(store, storage, tracker, Scope(NOW + 6 * DAY))
    assert [(each.what, each.bytes) for each in now.folders] == [(paths[0], 3)]
    other = collect_garbage(store, storage, tracker, Scope(NOW + 8 * DAY, experiment=waiting))
    assert other.folders == []
    later = collect_garbage(store, storage, tracker, Scope(NOW + 8 * DAY, experiment=cancelled))
    assert [each.what for each in later.folders] == [paths[2]]
    assert [(storage / path).exists() for path in paths] == [False, True, False, True]
    assert (storage / "features").exists()
    assert list((storage / "removed").iterdir()) == []


def test_a_gc_may_be_limited_to_one_experiment(store: Store, storage: Path, tracker: Tracker, tmp_path: Path) -> None:
    first = run(store, tracker, tmp_path, LONG)
    run(store, tracker, tmp_path, with_generations(3, seeds=[1]))
    report = collect_garbage(store, storage, tracker, Scope(NOW, 0.0, first))
    assert len(report.checkpoints) == 5
    assert report.kept == {retention.EVALUATED: 2}
    assert len(collect_garbage(store, storage, tracker, Scope(NOW, 0.0)).checkpoints) == 3


def test_a_negative_grace_period_is_refused() -> None:
    with pytest.raises(ValueError, match="the grace period must be >= 0 s, got -1"):
        Scope(NOW, -1.0)
