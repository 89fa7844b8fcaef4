"""Earlier work, files of weights, grids and presets in a posted spec."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator import intake
from orchestrator import plan as planning
from orchestrator.problems import InvalidSpec
from orchestrator.store import Store
from tests.orchestrator.builders import claimed, node, planned, small, submitted
from trainer.core import models

HASH = "0" * 64
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}")
    yield store
    store.close()


@pytest.fixture
def done(store: Store) -> str:
    """The small experiment with seeds 0 and 1, of which seed 0 has its generations committed."""
    raw = small(seeds=[0, 1])
    experiment = submitted(store, raw)
    for key, each in planned(raw).nodes.items():
        if each.kind == "generation" and each.seed == 0:
            store.finish_generation(claimed(store, key, experiment), "by", f"mlflow://{key}", HASH)
    return experiment


def problems(raw: dict[str, Any], store: Store) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSpec) as error:
        intake.read_spec(raw, store)
    return [(each.pointer, each.code) for each in error.value.problems]


def judged(**checkpoint: Any) -> dict[str, Any]:
    return small(arms=[{"name": "there", "checkpoint": checkpoint}])


# --- what an earlier experiment committed ---


def test_a_committed_generation_is_judged_as_the_node_it_is(store: Store, done: str) -> None:
    """The key of its accuracy is that of the experiment that trained it, so it is found, not measured again."""
    raw = judged(experiment=done, arm="seal") | {"model": {"name": "resnet18"}}
    spec = intake.read_spec(raw, store)
    plan, there = planning.plan(spec), planned(small())
    assert spec.model_of(spec.arms[0]).name == "resnet-digits"
    assert set(plan.nodes) == {node(there, "seal", 1).key, node(there, "seal", 1, "evaluation").key}
    assert node(plan, "there", 1).elsewhere


def test_a_generation_before_the_last_can_be_named(store: Store, done: str) -> None:
    plan = planning.plan(intake.read_spec(judged(experiment=done, arm="seal", generation=0), store))
    assert node(plan, "there", 0).key == node(planned(small()), "normal", 0).key


def test_a_resolved_spec_is_read_again_as_it_is(store: Store, done: str) -> None:
    spec = intake.read_spec(judged(experiment=done, arm="seal"), store)
    assert intake.read_spec(json.loads(spec.model_dump_json()), store) == spec


def test_what_is_not_there_is_told_with_what_is(store: Store, done: str) -> None:
    assert problems(judged(experiment="exp_none", arm="seal"), store) == [
        ("/arms/0/checkpoint/experiment", "UNKNOWN_VALUE")
    ]
    assert problems(judged(experiment=done, arm="sael"), store) == [("/arms/0/checkpoint/arm", "UNKNOWN_VALUE")]
    assert problems(judged(experiment=done, arm="seal", generation=2), store) == [
        ("/arms/0/checkpoint", "UNKNOWN_VALUE")
    ]
    assert problems(judged(experiment=done, arm="seal") | {"seeds": [7]}, store) == [
        ("/arms/0/checkpoint", "UNKNOWN_VALUE")
    ]
    assert problems(judged(experiment=done, arm="seal") | {"seeds": [0, 1]}, store) == [
        ("/arms/0/checkpoint", "CONTRADICTION")
    ]


def test_a_fork_goes_on_from_an_earlier_experiment(store: Store, done: str) -> None:
    """Five generations of LLF behind SEAL's two: three are new, and their keys are those of the same fork inside one spec."""
    fork = {"experiment": done, "arm": "seal", "generation": 1}
    train = small()["train"] | {"generations": 5}
    llf = {"name": "llf", "method": {"name": "llf"}}
    outside = planning.plan(intake.read_spec(small(train=train, arms=[llf | {"fork": fork}], evaluations=[]), store))
    inside = planned(
        small(train=train, arms=[*small()["arms"], llf | {"fork": {"arm": "seal", "generation": 1}}], evaluations=[])
    )
    assert [each.generation for each in outside.nodes.values()] == [1, 2, 3, 4]
    assert [key for key, each in outside.nodes.items() if each.elsewhere] == [node(inside, "seal", 1).key]
    for generation in (1, 2, 3, 4):
        assert node(outside, "llf", generation).key == node(inside, "llf", generation).key


def test_a_fork_of_another_network_is_refused(store: Store, done: str) -> None:
    fork = {"experiment": done, "arm": "seal", "generation": 0}
    arm = {"name": "llf", "method": {"name": "llf"}, "fork": fork, "model": {"name": "resnet18"}}
    assert problems(small(arms=[arm]), store) == [("/arms/0/fork", "CONTRADICTION")]


# --- weights from elsewhere ---


def weights(path: Path, **changes: Any) -> Path:
    network = models.build(models.DigitsResNet(width=4), classes=10, seed=3)
    torch.save(network.state_dict() | changes, path)
    return path


def test_a_file_of_weights_is_known_by_its_content(store: Store, tmp_path: Path) -> None:
    """Elsewhere it is the same checkpoint; other weights, or another network for them, are not."""
    paths = [weights(tmp_path / "a.pt"), tmp_path / "b.pt"]
    shutil.copy(*paths)
    other = weights(tmp_path / "c.pt", **{"fc.bias": torch.ones(10)})

    def keys(path: Path, **changes: Any) -> set[str]:
        return set(planning.plan(intake.read_spec(judged(uri=str(path)) | changes, store)).nodes)

    assert keys(paths[0]) == keys(paths[1])
    assert len(keys(paths[0])) == 2
    assert keys(paths[0]).isdisjoint(keys(other))
    assert keys(paths[0]).isdisjoint(keys(paths[0], model={"name": "resnet-digits", "width": 8}))


def test_a_file_that_is_not_there_or_not_the_one_meant_is_refused(store: Store, tmp_path: Path) -> None:
    path = weights(tmp_path / "a.pt")
    assert problems(judged(uri=str(tmp_path / "none.pt")), store) == [("/arms/0/checkpoint/uri", "UNKNOWN_VALUE")]
    assert problems(judged(uri=str(path), sha256=HASH), store) == [("/arms/0/checkpoint/sha256", "CONTRADICTION")]


def test_weights_have_one_row_whatever_the_seeds(store: Store, tmp_path: Path) -> None:
    arms = [{"name": "there", "checkpoint": {"uri": str(weights(tmp_path / "a.pt"))}}, small()["arms"][0]]
    plan = planning.plan(intake.read_spec(small(arms=arms, seeds=[4, 5]), store))
    assert {(use.arm, use.seed) for use in plan.uses} == {("there", 4), ("normal", 4), ("normal", 5)}


# --- contradictions of arms ---


def test_an_arm_has_a_method_or_a_checkpoint(store: Store, tmp_path: Path) -> None:
    normal, path = {"method": {"name": "normal"}}, str(weights(tmp_path / "a.pt"))
    assert problems(small(arms=[{"name": "a"}]), store) == [("/arms/0/method", "MISSING_FIELD")]
    both = {"name": "a", **normal, "checkpoint": {"uri": path}}
    assert problems(small(arms=[both]), store) == [("/arms/0/checkpoint", "CONTRADICTION")]
    neither_kind = {"name": "a", "checkpoint": {"url": path}}
    assert ("/arms/0/checkpoint/url", "UNKNOWN_FIELD") in problems(small(arms=[neither_kind]), store)


def test_an_arms_own_settings_are_checked_where_they_stand(store: Store) -> None:
    def arm(**own: Any) -> dict[str, Any]:
        return small(arms=[small()["arms"][0] | own])

    assert problems(arm(train={"epochs": 0}), store) == [("/arms/0/train/epochs", "OUT_OF_RANGE")]
    assert problems(arm(train={"epoch": 3}), store) == [("/arms/0/train/epoch", "UNKNOWN_FIELD")]
    assert problems(arm(train={"schedule": {"warmup_epochs": 9}}), store) == [
        ("/arms/0/train/schedule/warmup_epochs", "CONTRADICTION")
    ]
    assert problems(arm(data={"name": "digitz"}), store) == [("/arms/0/data/name", "UNKNOWN_VALUE")]
    assert problems(arm(model={"name": "resnet18", "width": 3}), store) == [("/arms/0/model/width", "UNKNOWN_FIELD")]
    assert problems(arm() | {"evaluations": [{"evaluator": {"name": "accuracy"}, "arms": ["nomal"]}]}, store) == [
        ("/evaluations/0/arms/0", "UNKNOWN_VALUE")
    ]


def test_an_arms_recipe_stands_on_the_experiments(store: Store) -> None:
    arms = [small()["arms"][0] | {"train": {"epochs": 25, "recipe": "official-code"}}, small()["arms"][1]]
    spec = intake.read_spec(small(arms=arms, train={"generations": 2, "epochs": 30, "batch_size": 7}), store)
    own = spec.train_of(spec.arms[0])
    assert (own.epochs, own.generations, own.batch_size, own.lr) == (25, 2, 7, 0.1)  # the released code's learning rate
    assert spec.train_of(spec.arms[1]).epochs == 30


def test_a_problem_in_a_grid_is_told_once_at_the_arm_as_written(store: Store) -> None:
    arms = [small()["arms"][0], {"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [-1, -2]}}]
    found = problems(small(arms=arms), store)
    assert found == [("/arms/1/method/ascent_scale", "OUT_OF_RANGE")] * 2  # each with the value that it got


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: str(path.stem))
def test_every_example_is_a_spec_that_can_be_posted(store: Store, path: Path) -> None:
    assert planning.plan(intake.read_spec(json.loads(path.read_text()), store)).nodes


# --- tables ---


def table(**changes: Any) -> dict[str, Any]:
    return {
        "name": "table-2",
        "caption": "Accuracy",
        "rows": [{"label": "Normal", "arm": "normal"}],
        "columns": [{"label": "G=1", "generation": 0, "evaluator": "accuracy", "metric": "top1"}],
    } | changes


def test_a_table_names_what_the_experiment_has(store: Store) -> None:
    column = table()["columns"][0]
    assert intake.read_spec(small(tables=[table(published=[[54.37]])]), store).tables[0].printed(0, 0) == 54.37
    for wrong, where in (
        (table(rows=[{"label": "x", "arm": "nomal"}]), ("/tables/0/rows/0/arm", "UNKNOWN_VALUE")),
        (table(rows=[{"label": "x"}]), ("/tables/0/rows/0/arm", "MISSING_FIELD")),
        (table(columns=[column | {"evaluator": "few-shot"}]), ("/tables/0/columns/0/evaluator", "UNKNOWN_VALUE")),
        (table(columns=[column | {"generation": 2}]), ("/tables/0/columns/0/generation", "CONTRADICTION")),
        (table(columns=[column | {"arm": "seal"}]), ("/tables/0/rows/0/arm", "CONTRADICTION")),
        (table(published=[[1.0, 2.0]]), ("/tables/0/published", "CONTRADICTION")),
    ):
        assert problems(small(tables=[wrong]), store) == [where]
    assert problems(small(tables=[table(), table()]), store) == [("/tables/1/name", "DUPLICATE")]


# --- specs that are wrong in unusual places ---


def test_a_fork_of_an_arm_that_begins_later_is_refused_and_words_skip_what_it_has_not(store: Store, done: str) -> None:
    """The first arm has rows from generation 1 on, because generation 0 is the earlier experiment's."""
    outside = {"name": "b", "method": {"name": "llf"}, "fork": {"experiment": done, "arm": "seal", "generation": 1}}
    inside = {"name": "c", "method": {"name": "llf"}, "fork": {"arm": "b", "generation": 0}}
    train = small()["train"] | {"generations": 4}
    assert problems(small(train=train, arms=[outside, inside]), store) == [("/arms/1/fork/generation", "CONTRADICTION")]
    every = [{"evaluator": {"name": "accuracy"}, "on": ["first", "every"]}]
    plan = planning.plan(intake.read_spec(small(train=train, arms=[outside], evaluations=every), store))
    assert [use.generation for use in plan.uses if use.kind == "evaluation"] == [1, 2, 3]
    zero = [{"evaluator": {"name": "accuracy"}, "on": [0]}]
    assert problems(small(train=train, arms=[outside], evaluations=zero), store) == [
        ("/evaluations/0/on/0", "CONTRADICTION")
    ]


def test_forks_hundreds_deep_are_planned_in_any_order(store: Store) -> None:
    arms = [{"name": "a0", "method": {"name": "normal"}}]
    arms += [
        {"name": f"a{i}", "method": {"name": "llf"}, "fork": {"arm": f"a{i - 1}", "generation": 0}}
        for i in range(1, 400)
    ]
    spec = intake.read_spec(small(arms=arms[::-1], evaluations=[]), store)
    assert planning.plan(spec).counts("generation") == {"requested": 800, "unique": 3}


def test_a_fork_from_weights_in_a_file_is_refused_also_where_an_earlier_experiment_judged_them(
    store: Store, tmp_path: Path
) -> None:
    raw = judged(uri=str(weights(tmp_path / "a.pt")))
    spec = intake.read_spec(raw, store)
    plan = planning.plan(spec)
    experiment, _ = store.submit("there", json.loads(spec.model_dump_json()), plan)
    key = node(plan, "there", 0, "checkpoint").key
    store.finish_generation(claimed(store, key, experiment), "by", "mlflow://a", HASH)
    arm = {"name": "on", "method": {"name": "llf"}, "fork": {"experiment": experiment, "arm": "there", "generation": 0}}
    assert problems(small(arms=[arm]), store) == [("/arms/0/fork/arm", "CONTRADICTION")]


def test_a_committed_arm_has_the_data_and_model_that_it_was_trained_with(store: Store, done: str) -> None:
    arm = {"name": "there", "checkpoint": {"experiment": done, "arm": "seal"}}
    other = arm | {"data": {"name": "digits"}}
    assert [code for _, code in problems(small(arms=[other]), store)] == ["CONTRADICTION"]
    same = arm | {"model": {"name": "resnet-digits", "width": 4}}
    assert intake.read_spec(small(arms=[same]), store).arms[0].model == models.DigitsResNet(width=4)
    usual = {"name": "on", "method": {"name": "llf"}, "fork": {"experiment": done, "arm": "seal", "generation": 0}}
    without = {key: value for key, value in small(arms=[usual]).items() if key != "model"}  # its width would be 16
    assert problems(without, store) == [("/arms/0/fork", "CONTRADICTION")]


def test_a_checkpoint_is_one_row_whatever_the_generations_of_the_experiment(store: Store, done: str) -> None:
    raw = judged(experiment=done, arm="seal", generation=1)
    raw["train"] = small()["train"] | {"generations": 1}
    raw["evaluations"] = [{"evaluator": {"name": "accuracy"}, "on": [1]}]
    assert planning.plan(intake.read_spec(raw, store)).counts("evaluation") == {"requested": 1, "unique": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"tables": [table(published=[[[1.0]]])]},
        {"tables": [table(published=[[[]]])]},
        {"tables": [table(published=[[10**400]])]},
        {"arms": [{"name": "a", "checkpoint": "x"}]},
        {"arms": [{"name": "a", "checkpoint": {"uri": "a\u0000b"}}]},
        {"arms": [{"name": "a", "checkpoint": {"uri": "/dev/zero"}}]},
        {"arms": [{"name": "a", "method": {"name": "llf"}, "fork": {"uri": "/tmp/x"}}]},
        {"tables": [table()], "evaluations": [{"evaluator": "accuracy"}]},
        {"tables": [table()], "evaluations": [{"evaluator": {"name": []}}]},
        {"train": "x", "search": {"arm": "seal", "space": {"ascent_scale": {"choice": [1]}}, "trials": 1}},
        {
            "arms": [{"name": "seal", "method": {"name": "seal"}, "fork": "x"}],
            "search": {
                "arm": "seal",
                "space": {"ascent_scale": {"choice": [1]}},
                "trials": 1,
                "objective": {"evaluator": "accuracy", "metric": "top1"},
            },
        },
        {"arms": [{"name": "seal", "method": {"name": []}}], "search": {"arm": "seal", "space": {}, "trials": 1}},
        {
            "data": {"name": "digits", "holdout": 10**400},
            "search": {"arm": "seal", "space": {"ascent_scale": {"choice": [1]}}, "trials": 1},
        },
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_what_is_wrong_in_an_unusual_place_is_a_problem_and_no_crash(store: Store, changes: dict[str, Any]) -> None:
    assert problems(small(**changes), store)


def test_a_reference_of_a_wrong_type_is_a_problem(store: Store, done: str) -> None:
    for part in ("fork", "checkpoint"):
        arm = {"name": "a", "method": {"name": "llf"}, part: {"experiment": done, "arm": [], "generation": True}}
        assert problems(small(arms=[arm]), store)
