"""The whole answer of a plan: counts by hand, what is done and in flight, what is shared and why, and the warnings."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator import intake
from orchestrator.estimate.forecast import forecast
from orchestrator.estimate.timing_runs import TimingRequest
from orchestrator.problems import Problem
from orchestrator.spec import Resources
from orchestrator.states import ExperimentState
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, node, planned, small, submitted

ARMS = [{"name": name, "method": {"name": name}} for name in ("normal", "llf", "seal")]


@dataclass
class Cluster:
    """Nodes as a test says, and steps that take `step_s` on them."""

    store: Store
    resources: Sequence[dict[str, float]] | None = ({"CPU": 2.0},)
    step_s: tuple[float, ...] = (0.1,) * 9
    why: str | None = None
    asked: list[TimingRequest] = field(default_factory=list)

    def nodes(self) -> list[dict[str, float]] | None:
        return None if self.resources is None else list(self.resources)

    def time(self, asked: list[TimingRequest], resources: Resources) -> str | None:
        self.asked += asked
        for request in asked:
            if self.why is None:
                content = {"step_s": self.step_s, "judged_image_s": 0.001, "machine": "AVX512"}
                self.store.add_timing(request.key, content)
        return self.why


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "nothing"))
    found = Store(f"sqlite:///{tmp_path / 'relearn.db'}", itertools.count(1_000_000.0).__next__)
    yield found
    found.close()


def answer(store: Store, raw: dict[str, Any], cluster: Cluster | None = None, **options: Any) -> dict[str, Any]:
    missing: list[Problem] = []
    spec = intake.read_spec(raw, store, missing=missing)
    return forecast(spec, missing, store, cluster or Cluster(store), **options)


def finish(store: Store, raw: dict[str, Any], *, without: Sequence[str] = ()) -> str:
    """An experiment that has done all its nodes but those titled in `without`, and goes on."""
    identity = submitted(store, raw)
    store.start_attempt(identity, ExperimentState.RUNNING)
    for key, each in planned(raw).nodes.items():
        if each.title in without:
            continue
        claim = claimed(store, key, identity)
        if each.kind == "generation":
            store.finish_generation(claim, f"{identity}/{each.title}", f"mlflow:/{key}", "0" * 64)
        else:
            store.finish_evaluation(claim, f"{identity}/{each.title}", "accuracy", "digits-noisy", {}, {}, None)
    return identity


def codes(found: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in found["warnings"]]


# --- counts ---


def test_the_counts_of_the_small_spec_by_hand(store: Store) -> None:
    """Generation 0 once and generation 1 twice, of three epochs of three steps; trained separately, two of each arm."""
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


def test_three_arms_of_three_seeds_and_ten_generations_save_six(store: Store) -> None:
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


def test_steps_of_data_that_is_not_prepared_come_from_what_is_known_of_it(store: Store) -> None:
    """100,000 images in batches of 32 are 3,125 steps; nobody knows the size of somebody's own tree."""
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
        "nobody knows how many images there are: resnet18 on folder, batch 32, fp32, 1 CPU thread"
    ]


# --- what is there already ---


def test_what_is_done_is_cached_and_what_is_left_is_to_do(store: Store) -> None:
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


def test_what_another_experiment_is_at_or_waits_for_is_in_flight(store: Store) -> None:
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


# --- why it is shared ---


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (
            {"arms": [ARMS[0], ARMS[1] | {"fork": {"arm": "normal", "generation": 1}}]},
            ["llf goes on from normal, with which generations 0-1 are common: 2 generations saved"],
        ),
        (
            {"arms": [{"name": name, "method": {"name": "seal"}} for name in ("a", "b")]},
            ["generations 0-2 are common to a, b: 3 generations saved (their settings are the same)"],
        ),
        (
            {"arms": [{"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [1, 2, 3, 4, 5, 6, 7]}}]},
            [
                "generation 0 is common to seal-ascent_scale-1, seal-ascent_scale-2, seal-ascent_scale-3, seal-ascent_scale-4 "
                "and 3 more: 6 generations saved"
            ],
        ),
        ({"arms": ARMS[:1]}, []),
        (
            {"arms": ARMS[:2], "evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["first"]}]},
            [
                "generation 0 is common to normal, llf: 1 generation saved",
                "1 evaluation less, because normal, llf share what is judged",
            ],
        ),
    ],
)
def test_why_something_is_shared(store: Store, changes: dict[str, Any], wanted: list[str]) -> None:
    raw = small(train={"generations": 3, "epochs": 3, "batch_size": 16}, evaluations=[]) | changes
    assert [each["why"] for each in answer(store, raw)["sharing"]] == wanted


def test_what_the_whole_paper_saves_is_told_to_the_last_epoch(store: Store) -> None:
    found = answer(store, {"preset": "paper/all"})
    assert sum(each["epochs"] for each in found["sharing"]) == 43368 - 26328 == 17040
    assert found["sharing"][0] == {
        "why": "networks of normal, llf, seal, seal-freeze and 16 more after fewer generations are the beginning of their own "
        "longer run: 106 generations saved",
        "epochs": 15556,
        "generations": 106,
        "evaluations": 0,
    }


def test_what_an_arm_is_asked_for_on_its_way_is_the_beginning_of_its_run(store: Store) -> None:
    """After 1 and 3 generations of three epochs with two seeds: 2 x (1 + 3) trained separately, 2 x 3 in one run each."""
    judged = [{"evaluator": {"name": "accuracy"}, "on": [0, 2]}]
    found = answer(store, small(arms=ARMS[:1], seeds=[0, 1], train={"generations": 3, "epochs": 3}, evaluations=judged))
    assert found["epochs"]["separate"] - found["epochs"]["shared"] == 6
    assert found["sharing"] == [
        {
            "why": "networks of normal after fewer generations are the beginning of its own longer run: 2 generations saved "
            "with 2 seeds",
            "epochs": 6,
            "generations": 2,
            "evaluations": 0,
        }
    ]


def test_the_most_valuable_comes_first(store: Store) -> None:
    own = {"epochs": 9}
    arms = [*ARMS, *(each | {"name": f"{each['name']}-long", "train": own} for each in ARMS[:2])]
    found = answer(store, small(arms=arms, evaluations=[]))
    assert [each["epochs"] for each in found["sharing"]] == [9, 6]


# --- the quote ---


def test_a_timing_run_is_made_once_and_used_again(store: Store) -> None:
    """0.1 s per step and 896 test images of 1 ms after every epoch of 3 steps."""
    cluster = Cluster(store)
    assert answer(store, small(evaluations=[]), cluster)["quote"]["partial"]
    timed = answer(store, small(evaluations=[]), cluster, measure=True)["quote"]
    assert len(cluster.asked) == 1
    per_step = 0.1 + 0.001 * 896 / 3
    assert timed["training_hours"]["p50"] == pytest.approx(27 * per_step / 3600, rel=1e-3)
    assert timed["parts"][0]["basis"] == "timing run of 9 blocks on AVX512"
    again = answer(store, small(evaluations=[], seeds=[4]), cluster, measure=False)["quote"]
    assert again["training_hours"] == timed["training_hours"]


def test_a_timing_run_that_came_to_nothing_is_told(store: Store) -> None:
    found = answer(store, small(), Cluster(store, why="the cluster had no room for it"), measure=True)
    assert found["quote"]["hours"]["p50"] is None
    assert [each["message"] for each in found["warnings"] if each["code"] == "NOT_TIMED"] == [
        "the timing run is not complete: the cluster had no room for it"
    ]


def test_a_run_times_the_kinds_of_which_most_is_to_do(store: Store) -> None:
    sizes = list(range(1, 41))
    arms = [{"name": "normal", "method": {"name": "normal"}, "grid": {"train.batch_size": sizes}}]
    raw = small(arms=arms, train={"generations": 1, "epochs": 1}, evaluations=[])
    cluster = Cluster(store)
    found = answer(store, raw, cluster, measure=True)
    assert sorted(request.spec.train.batch_size for request in cluster.asked)[:13] == list(range(1, 14))
    assert len(cluster.asked) == 32
    assert [each["message"] for each in found["warnings"] if each["code"] == "NOT_TIMED"] == [
        "8 kinds of steps are left out: a timing run takes the 32 of which most is to do; ask again"
    ]
    answer(store, raw, cluster, measure=True)
    assert len({request.key for request in cluster.asked}) == 40


def test_nothing_is_timed_where_nothing_is_to_do(store: Store) -> None:
    store.move(finish(store, small()), ExperimentState.SUCCEEDED)
    cluster = Cluster(store)
    assert answer(store, small(), cluster, measure=True)["quote"]["hours"]["p50"] == 0
    assert cluster.asked == []


# --- warnings ---


@pytest.mark.parametrize(
    ("changes", "nodes", "wanted"),
    [
        ({"seeds": [0, 1]}, [{"CPU": 2.0}], []),
        ({}, [{"CPU": 2.0}], ["SINGLE_SEED"]),
        ({"seeds": [0, 1]}, None, ["CLUSTER_AWAY"]),
        ({"seeds": [0, 1]}, [{"CPU": 2.0, "GPU": 1.0}], ["UNUSED_GPU"]),
        ({"seeds": [0, 1], "resources": {"gpus": 1}}, [{"CPU": 2.0}], ["NO_GPU"]),
        ({"seeds": [0, 1], "resources": {"gpus": 2}}, [{"CPU": 2.0, "GPU": 1.0}], ["NO_CAPACITY"]),
        ({"seeds": [0, 1], "resources": {"cpus": 3}}, [{"CPU": 2.0}], ["NO_CAPACITY"]),
        ({"seeds": [0, 1], "train": {"precision": "bf16"}}, [{"CPU": 2.0}], ["PRECISION"]),
        ({"seeds": [0, 1], "train": {"precision": "tf32"}}, [{"CPU": 2.0}], ["PRECISION", "PRECISION"]),
        (
            {"seeds": [0, 1], "evaluations": [{"evaluator": {"name": "linear-probe", "targets": ["digits-edges"]}}]},
            [{"CPU": 2.0}],
            ["TEST_SELECTED"],
        ),
    ],
)
def test_warnings(
    store: Store, changes: dict[str, Any], nodes: list[dict[str, float]] | None, wanted: list[str]
) -> None:
    assert codes(answer(store, small(**changes), Cluster(store, nodes))) == wanted


def test_a_long_run_and_a_small_disk_are_told(store: Store) -> None:
    slow = Cluster(store, step_s=(50_000.0,) * 9)
    found = answer(store, small(seeds=[0, 1], evaluations=[]), slow, measure=True)
    assert codes(found) == ["LONG_RUN"]
    assert found["warnings"][0]["message"] == "even with workers without end it takes 10.4 days"
    peak = found["storage"]["peak_bytes"]
    assert codes(answer(store, small(seeds=[0, 1]), free_bytes=peak)) == ["LONG_RUN"]
    assert codes(answer(store, small(seeds=[0, 1]), free_bytes=peak - 1)) == ["LONG_RUN", "STORAGE"]
