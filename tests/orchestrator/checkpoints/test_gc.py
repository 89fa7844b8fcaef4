"""Which checkpoints go, against plain loops over random experiments; and their removal, with MLflow's own store behind it."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.checkpoints import retention
from orchestrator.checkpoints.gc import Removal, Report, Scope, clean, survey
from orchestrator.checkpoints.retention import Folder, folder_goes, stays
from orchestrator.plan.graph import Kind
from orchestrator.plan.missing import trained_again
from orchestrator.problems import InvalidSpec
from orchestrator.states import ExperimentState, NodeState
from orchestrator.store import Store
from orchestrator.store.records import Holdings, Posted, Shown
from orchestrator.tracking.mlflow import Tracker
from tests.orchestrator.builders import Clock, claimed, node, planned, small, submitted

DAY = 86_400.0
NOW = 1000 * DAY
LONG = small(train={"generations": 4, "epochs": 3, "batch_size": 16})
PLAN = planned(LONG)


def key(arm: str, generation: int) -> str:
    return node(PLAN, arm, generation).key


# --- what may go ---

PATHS = st.text("ab", min_size=1, max_size=5)
"""A row of generations: generation g has the key of the first g + 1 letters, so rows that begin alike share nodes."""
ARM = st.fixed_dictionaries(
    {"path": PATHS, "judged": st.sets(st.integers(0, 4)), "fork": st.none() | st.integers(0, 3)}
)
EXPERIMENT = st.fixed_dictionaries({"ended": st.booleans(), "arms": st.lists(ARM, min_size=1, max_size=3)})
WORLD = st.lists(EXPERIMENT, min_size=1, max_size=4)
STATES = st.dictionaries(PATHS, st.sampled_from(sorted(set(NodeState) - {NodeState.SUCCEEDED})), max_size=6)
AGES = st.dictionaries(PATHS, st.integers(0, 20), max_size=10)


def rows(world: list[dict[str, Any]]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for number, experiment in enumerate(world):
        for index, arm in enumerate(experiment["arms"]):
            yield number, index, arm


def forked(world: list[dict[str, Any]], number: int, index: int) -> str | None:
    """The key that the arm forks from: a generation that it shares with the experiment's first arm."""
    arm, first = world[number]["arms"][index], world[number]["arms"][0]
    at = arm["fork"]
    if index == 0 or at is None or len(arm["path"]) <= at or arm["path"][: at + 1] != first["path"][: at + 1]:
        return None
    return str(arm["path"][: at + 1])


def holdings_of(world: list[dict[str, Any]], states: dict[str, NodeState], ages: dict[str, int]) -> Holdings:
    shown, posted = [], {}
    for number, experiment in enumerate(world):
        arms = []
        for index in range(len(experiment["arms"])):
            fork = forked(world, number, index)
            arms.append({"name": f"arm{index}", "fork": fork and {"arm": "arm0", "generation": len(fork) - 1}})
        posted[f"exp{number}"] = Posted({"arms": arms}, 0.0 if experiment["ended"] else None)
    for number, index, arm in rows(world):
        place = f"exp{number}", f"arm{index}", 0
        for generation in range(len(arm["path"])):
            name = arm["path"][: generation + 1]
            state = states.get(name, NodeState.SUCCEEDED)
            done = state == "SUCCEEDED"
            at = NOW - ages.get(name, 10) * DAY if done else None
            shown.append(
                Shown(*place, generation, name, "generation", state, f"uri:{name}" if done else None, at, "by")
            )
            if generation in arm["judged"]:
                shown.append(
                    Shown(*place, generation, f"top1:{name}", "evaluation", NodeState.QUEUED, None, None, None)
                )
    return Holdings(shown, posted, {})


def needed(world: list[dict[str, Any]], states: dict[str, NodeState], ages: dict[str, int]) -> set[str]:
    """Every key of a checkpoint that must stay, straight from the rules, row by row."""
    found = set()
    for number, index, arm in rows(world):
        path = arm["path"]
        found.add(path)
        for generation in range(len(path)):
            name = path[: generation + 1]
            if generation in arm["judged"] or not world[number]["ended"] or ages.get(name, 10) < 7:
                found.add(name)
            if states.get(name, NodeState.SUCCEEDED) != "SUCCEEDED":
                found.add(name[:-1])
        if fork := forked(world, number, index):
            found.add(fork)
    return found


@settings(max_examples=300, deadline=None)
@given(world=WORLD, states=STATES, ages=AGES)
def test_exactly_what_no_rule_keeps_may_go(
    world: list[dict[str, Any]], states: dict[str, NodeState], ages: dict[str, int]
) -> None:
    holdings = holdings_of(world, states, ages)
    found = stays(holdings, NOW, 7 * DAY)
    committed = {each.key for each in holdings.shown if each.uri}
    assert set(found) == committed
    assert {name for name, why in found.items() if why is None} == committed - needed(world, states, ages)


@settings(max_examples=300, deadline=None)
@given(world=WORLD, states=STATES, more=st.integers(0, 2))
def test_after_it_no_experiment_that_is_posted_again_or_longer_trains_anything_twice(
    world: list[dict[str, Any]], states: dict[str, NodeState], more: int
) -> None:
    holdings = holdings_of(world, states, {})
    kept = {name for name, why in stays(holdings, NOW, 7 * DAY).items() if why is not None}
    done = {each.key for each in holdings.shown if each.state == "SUCCEEDED"}
    for _, _, arm in rows(world):
        path = arm["path"] + "c" * more
        parents = {path[: g + 1]: path[:g] or None for g in range(len(path))}
        parents |= {f"top1:{path[: g + 1]}": path[: g + 1] for g in arm["judged"] if g < len(arm["path"])}
        assert trained_again(parents, done, kept) == set()


@settings(max_examples=300, deadline=None)
@given(paths=st.sets(PATHS, min_size=1), done=st.sets(PATHS), lost=st.sets(PATHS))
def test_what_is_trained_again_is_the_chain_up_to_the_nearest_kept_checkpoint(
    paths: set[str], done: set[str], lost: set[str]
) -> None:
    nodes = sorted({path[: g + 1] for path in paths for g in range(len(path))}, key=len)
    done &= set(nodes)
    chains = set()
    for name in (name for name in nodes if name not in done):
        above = name[:-1]
        while above in done and above in lost:
            chains.add(above)
            above = above[:-1]
    assert trained_again({name: name[:-1] or None for name in nodes}, done, done - lost) == chains


def place(name: str, kind: Kind = "generation", arm: str = "a", experiment: str = "exp", **more: Any) -> Shown:
    """A node that was done ten days ago; its name ends with its generation."""
    values: dict[str, Any] = {
        "state": NodeState.SUCCEEDED,
        "uri": None if kind == "evaluation" else f"uri:{name}",
        "finished_at": NOW - 10 * DAY,
    }
    values |= {"made_by": "by", **more}
    return Shown(experiment, arm, 0, int(name[-1]), name, kind, **values)


def posted(*arms: dict[str, Any], ended_at: float | None = 0.0) -> Posted:
    return Posted({"arms": list(arms)}, ended_at)


def test_the_reason_why_a_checkpoint_stays_is_said() -> None:
    shown = [place("g0"), place("g1"), place("top1", "evaluation"), place("g2"), place("g3"), place("g4"), place("g5")]
    shown += [
        place("g6", finished_at=NOW - DAY),
        place("g7"),
        place("g8", state=NodeState.FAILED, uri=None),
        place("g9", uri=None),
    ]
    experiments = {
        "exp": posted({"name": "a"}, {"name": "b", "fork": {"arm": "a", "generation": 3, "experiment": None}})
    }
    experiments["live"] = posted({"name": "a"}, ended_at=None)
    experiments["later"] = posted({"name": "c", "checkpoint": {"experiment": "exp", "keys": {"0": "g4"}}})
    shown.append(place("g5", experiment="live"))
    assert stays(Holdings(shown, experiments, {}), NOW, 7 * DAY) == {
        "g0": None,
        "g1": retention.EVALUATED,
        "g2": None,
        "g3": retention.REFERRED,
        "g4": retention.REFERRED,
        "g5": retention.USED,
        "g6": retention.YOUNG,
        "g7": retention.CONTINUED,
    }
    experiments["live"] = posted({"name": "a"})
    assert stays(Holdings(shown, experiments, {}), NOW, 7 * DAY)["g5"] == retention.LAST


A, B, ENDED, GOING = "a" * 64, "b" * 64, "exp_20261124-120000-0000000a", "exp_20261124-120000-0000000b"


@pytest.mark.parametrize(
    ("path", "days", "why"),
    [
        (f"ray/small-{ENDED}-a1-lane0", 0, "scratch of an experiment that has ended"),
        (f"ray/small-{GOING}-a1-lane0", 99, None),
        ("ray/small-exp_20261124-120000-0000000c-a1", 99, None),
        ("ray/other", 99, None),
        (f"checkpoints/{A}", 0, "a working copy of what is done"),
        (f"fetched/{A}", 0, "a working copy of what is done"),
        (f"progress/{B}", 6, None),
        (f"progress/{B}", 8, "left unfinished longer ago than the grace period"),
        (f"checkpoints/.{B}.77.partial", 8, "left unfinished longer ago than the grace period"),
        (f"checkpoints/{'c' * 64}", 99, None),
        (f"checkpoints/{'d' * 64}", 99, None),
        ("checkpoints/mine", 99, None),
        ("removed/0011", 0, "an earlier clean-up did not get to remove it"),
    ],
)
def test_folders_of_ended_experiments_go_and_foreign_ones_stay(path: str, days: float, why: str | None) -> None:
    """`c` is used by an experiment that goes on, `d` is in no database."""
    shown = [Shown(ENDED, "a", 0, 0, A, "generation", NodeState.SUCCEEDED, "uri", 0.0, "by")]
    shown += [Shown(ENDED, "a", 0, 1, B, "generation", NodeState.QUEUED, None, None, None)]
    shown += [Shown(GOING, "a", 0, 0, "c" * 64, "generation", NodeState.SUCCEEDED, "uri", 0.0, "by")]
    holdings = Holdings(shown, {ENDED: posted(), GOING: posted(ended_at=None)}, {})
    assert folder_goes(Folder(path, NOW - days * DAY), holdings, NOW, 7 * DAY) == why


def test_a_negative_grace_period_is_refused() -> None:
    with pytest.raises(ValueError, match="the grace period must be >= 0 s, got -1"):
        Scope(NOW, -1.0)


# --- its removal ---


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
    """The id of an experiment that did all that was left of it, with 10 bytes per checkpoint, and ended."""
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
    """By title: the state of every generation."""
    stored = store.nodes_of(experiment)
    return {each.title: stored[each.key].state for each in planned(raw).nodes.values() if each.kind == "generation"}


def cleaned(report: Report) -> tuple[set[str | None], int]:
    return {each.key for each in report.checkpoints}, report.bytes


def test_generations_in_between_go_after_the_grace_period(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path, clock: Clock
) -> None:
    experiment = run(store, tracker, tmp_path, LONG)
    early = survey(store, storage, tracker, Scope(clock.at + 6.9 * DAY))
    assert (early.checkpoints, early.bytes, early.kept) == ([], 0, {retention.YOUNG: 5, retention.EVALUATED: 2})
    clock.at += 7 * DAY
    between = {key("normal", 0), key("normal", 1), key("normal", 2), key("seal", 1), key("seal", 2)}
    found = survey(store, storage, tracker, Scope(clock.at))
    assert cleaned(found) == (between, 50)
    assert (found.deleted, found.leftovers, found.kept) == (False, [], {retention.EVALUATED: 2})
    assert len(tracker.checkpoints(store.runs_of(experiment)[0].run_id)) == 7  # nothing went yet

    assert cleaned(clean(store, storage, tracker, Scope(clock.at))) == (between, 50)
    left = {uri.rsplit("/", 1)[1] for uri in tracker.checkpoints(store.runs_of(experiment)[0].run_id)}
    assert left == {key("normal", 3)[:8], key("seal", 3)[:8]}
    assert {name: store.has_checkpoint(name) for name in PLAN.nodes if PLAN.nodes[name].kind == "generation"} == {
        name: name not in between for name in PLAN.nodes if PLAN.nodes[name].kind == "generation"
    }
    assert set(states(store, experiment, LONG).values()) == {"SUCCEEDED"}

    again = clean(store, storage, tracker, Scope(clock.at))
    assert (again.checkpoints, again.leftovers, again.folders, again.bytes) == ([], [], [], 0)


def with_generations(count: int, **more: Any) -> dict[str, Any]:
    return LONG | {"train": LONG["train"] | {"generations": count}} | more


def test_afterwards_the_same_and_a_longer_experiment_train_nothing_twice(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    run(store, tracker, tmp_path, LONG)
    clean(store, storage, tracker, Scope(NOW, 0.0))
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


def test_what_needs_a_removed_checkpoint_trains_the_chain_to_it_again_and_no_more(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    """Generation 1 of Normal was judged, so it is there; its generation 2 and SEAL's 0 (Normal's) to 2 are not."""
    judged = {"evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["last"]}]}
    run(store, tracker, tmp_path, with_generations(2, arms=LONG["arms"][:1], **judged))
    run(store, tracker, tmp_path, LONG)
    clean(store, storage, tracker, Scope(NOW, 0.0))
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

    clean(store, storage, tracker, Scope(NOW, 0.0))  # both have not ended, so all that they show stays
    assert store.has_checkpoint(key("normal", 1))
    rerun = run(store, tracker, tmp_path, seal)
    assert set(states(store, rerun, seal).values()) == {"SUCCEEDED"}
    assert store.has_checkpoint(key("normal", 0))


def test_a_fork_from_a_generation_that_was_removed_meanwhile_is_refused(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    """Its spec says which generation, not how to train it."""
    first = run(store, tracker, tmp_path, LONG)
    fork = {"experiment": first, "arm": "seal", "generation": 1, "keys": {"0": key("seal", 1)}}
    raw = LONG | {"arms": [LONG["arms"][0] | {"fork": fork}]}
    clean(store, storage, tracker, Scope(NOW, 0.0))
    with pytest.raises(
        InvalidSpec, match=r"the checkpoint of exp_.*/seal/seed0/g1 was removed: post its arm in this experiment"
    ):
        submitted(store, raw)
    assert len(store.experiments()) == 1


def test_a_generation_that_a_fork_refers_to_stays(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    first = run(store, tracker, tmp_path, LONG)
    fork = {"experiment": first, "arm": "seal", "generation": 1, "keys": {"0": key("seal", 1)}}
    run(store, tracker, tmp_path, LONG | {"arms": [LONG["arms"][0] | {"fork": fork}]})
    clean(store, storage, tracker, Scope(NOW, 0.0))
    assert store.has_checkpoint(key("seal", 1))
    assert not store.has_checkpoint(key("seal", 2))


def test_a_submission_waits_for_a_clean_up_and_then_finds_what_it_removed(
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


def test_a_clean_up_that_dies_before_the_bytes_are_gone_is_finished_by_the_next(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    class Dying(Tracker):
        def delete(self, uri: str) -> None:
            raise ConnectionError("the tracking server went away")

    experiment = run(store, tracker, tmp_path, LONG)
    with pytest.raises(ConnectionError):
        clean(store, storage, Dying(tracker.uri), Scope(NOW, 0.0))
    run_id = store.runs_of(experiment)[0].run_id
    assert not store.has_checkpoint(key("normal", 0))
    assert len(tracker.checkpoints(run_id)) == 7
    report = clean(store, storage, tracker, Scope(NOW, 0.0))
    assert (len(report.leftovers), report.checkpoints, report.bytes) == (5, [], 50)
    assert len(tracker.checkpoints(run_id)) == 2


def test_what_an_experiment_uploads_that_goes_on_is_no_leftover(
    store: Store, storage: Path, tracker: Tracker, tmp_path: Path
) -> None:
    """It is in the tracking server a moment before the database says so."""
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


def test_a_run_that_somebody_removed_from_the_tracking_server_is_passed_over(
    store: Store, storage: Path, tracker: Tracker
) -> None:
    experiment = submitted(store)
    store.cancel(experiment)
    store.add_run(experiment, "normal", 0, "0" * 32)
    assert survey(store, storage, tracker, Scope(NOW, 0.0)).bytes == 0


def test_what_ended_experiments_left_on_disk_goes(
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
    now = clean(store, storage, tracker, Scope(NOW + 6 * DAY))
    assert [(each.what, each.bytes) for each in now.folders] == [(paths[0], 3)]
    other = clean(store, storage, tracker, Scope(NOW + 8 * DAY, experiment=waiting))
    assert other.folders == []
    later = clean(store, storage, tracker, Scope(NOW + 8 * DAY, experiment=cancelled))
    assert [each.what for each in later.folders] == [paths[2]]
    assert [(storage / path).exists() for path in paths] == [False, True, False, True]
    assert (storage / "features").exists()
    assert list((storage / "removed").iterdir()) == []


def test_one_experiment_may_be_cleaned_alone(store: Store, storage: Path, tracker: Tracker, tmp_path: Path) -> None:
    first = run(store, tracker, tmp_path, LONG)
    run(store, tracker, tmp_path, with_generations(3, seeds=[1]))
    report = clean(store, storage, tracker, Scope(NOW, 0.0, first))
    assert len(report.checkpoints) == 5
    assert report.kept == {retention.EVALUATED: 2}
    assert len(clean(store, storage, tracker, Scope(NOW, 0.0)).checkpoints) == 3
