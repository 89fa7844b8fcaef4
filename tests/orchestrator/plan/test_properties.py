"""Content keys under changes that hypothesis draws, and against keys that were written down."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluators
from orchestrator import intake
from orchestrator.store import Store
from tests.orchestrator.builders import planned, small
from trainer import methods

GOLDEN = Path(__file__).with_name("golden_keys.json")
"""Specs, and the keys of all their nodes by row: `python -m tests.orchestrator.plan.test_properties` writes it anew."""

METHODS: list[dict[str, Any]] = [
    {"name": "normal"},
    {"name": "llf", "redraw_bias": True},
    {"name": "seal", "ascent_scale": 0.5},
    {"name": "ke", "split": "wels"},
    {"name": "imp", "rate": 0.3},
    {"name": "sa-gd"},
    {"name": "born-again"},
    {"name": "tolerant-teacher"},
    {"name": "self-distillation"},
]
EVALUATORS: list[dict[str, Any]] = [
    {"name": "accuracy"},
    {"name": "linear-probe", "targets": ["digits-edges", "digits-rot90"]},
    {"name": "few-shot", "targets": ["digits"], "shots": [1]},
    {"name": "hessian-spectrum", "examples": 32},
    {"name": "prediction-depth"},
]


def test_every_method_and_evaluator_has_golden_keys() -> None:
    assert {method["name"] for method in METHODS} == set(methods.METHODS) - set(methods.PLUGINS)
    own = set(evaluators.EVALUATORS) - set(evaluators.PLUGINS)
    assert {evaluator["name"] for evaluator in EVALUATORS} == own


FEW = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    methods = draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=4, unique_by=str))
    evaluators = draw(st.lists(st.sampled_from(EVALUATORS), max_size=3, unique_by=str))
    moments = st.lists(st.sampled_from(["first", "last", "every", 0, 1]), min_size=1, max_size=3)
    return small(
        data=draw(st.sampled_from([{"name": "digits"}, {"name": "digits-noisy", "train_per_class": 4}])),
        model=draw(st.sampled_from([{"name": "resnet-digits", "width": 4}, {"name": "resnet18"}])),
        train={"generations": draw(st.integers(2, 4)), "epochs": draw(st.integers(2, 5)), "batch_size": 16},
        arms=[{"name": f"arm{index}", "method": method} for index, method in enumerate(methods)],
        seeds=draw(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True)),
        evaluations=[{"evaluator": evaluator, "on": draw(moments)} for evaluator in evaluators],
    )


def keys(raw: dict[str, Any]) -> set[str]:
    return set(planned(raw).nodes)


@FEW
@given(specs(), st.randoms(use_true_random=False))
def test_names_order_and_resources_change_no_key(raw: dict[str, Any], random: Any) -> None:
    other = copy.deepcopy(raw)
    for name in ("arms", "seeds", "evaluations"):
        random.shuffle(other[name])
    for index, arm in enumerate(other["arms"]):
        arm["name"] = f"renamed-{index}"
    cell = {"evaluator": "training", "metric": "test_accuracy/last"}
    row = {"label": "row", "arm": "renamed-0"}
    other |= {
        "name": "renamed",
        "title": "Another title",
        "preset": "digits/table-2@1",
        "tables": [{"name": "one", "caption": "One.", "rows": [row], "columns": [{"label": "column"} | cell]}],
        "resources": {"cpus": random.randint(1, 9), "gpus": random.choice([0, 0.5, 2]), "threads": random.randint(1, 8)}
        | {"checkpoint_every_s": random.uniform(0, 99), "max_worker_failures": random.randint(0, 9)},
    }
    assert keys(other) == keys(raw)


@FEW
@given(specs(), st.sampled_from(range(4)))
def test_an_arm_more_leaves_the_keys_of_the_others(raw: dict[str, Any], index: int) -> None:
    assert keys(raw | {"arms": raw["arms"][: index + 1]}) <= keys(raw)


@FEW
@given(specs(), st.integers(1, 3))
def test_fewer_generations_are_the_first_of_more(raw: dict[str, Any], generations: int) -> None:
    raw = raw | {"evaluations": []}
    assert keys(raw | {"train": raw["train"] | {"generations": generations}}) <= keys(
        raw | {"train": raw["train"] | {"generations": 4}}
    )


CHANGES = st.sampled_from(
    [
        {"lr": 0.3},
        {"momentum": 0.5},
        {"weight_decay": 0.25},
        {"batch_size": 7},
        {"epochs": 6},
        {"label_smoothing": 0.4},
        {"precision": "fp64"},
        {"reset_momentum_at": []},
        {"evaluate_every": 7},
        {"schedule": {"shape": "constant"}},
        {"schedule": {"scope": "run"}},
        {"schedule": {"warmup_epochs": 1}},
        {"batch_norm": "per-worker"},
    ]
)


@FEW
@given(specs(), CHANGES)
def test_a_setting_of_the_recipe_changes_every_key(raw: dict[str, Any], change: dict[str, Any]) -> None:
    assert keys(raw | {"train": raw["train"] | change}).isdisjoint(keys(raw))


@FEW
@given(specs(), specs())
def test_what_two_specs_share_is_of_the_same_data_network_epochs_and_seed(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = (
        all(one[name] == other[name] for name in ("data", "model"))
        and one["train"]["epochs"] == other["train"]["epochs"]
    )
    common = keys(one) & keys(other)
    if not same or not set(one["seeds"]) & set(other["seeds"]):
        assert common == set()
    plan = planned(one)
    assert {plan.nodes[key].seed for key in common} <= set(one["seeds"]) & set(other["seeds"])


# --- keys that were written down ---


def golden_specs() -> dict[str, dict[str, Any]]:
    """Every method and evaluator of ours, every kind of part a spec has, each in as small a spec as shows it."""
    arm = [{"name": "arm", "method": {"name": "seal"}}]
    short = {"generations": 2, "epochs": 3}
    found = {
        f"method {method['name']}": small(arms=[{"name": "arm", "method": method}], train=short, evaluations=[])
        for method in METHODS
    }
    found |= {
        f"evaluator {evaluator['name']}": small(
            arms=arm, train=short, evaluations=[{"evaluator": evaluator, "on": ["every"]}]
        )
        for evaluator in EVALUATORS
    }
    recipe = {"recipe": "official-code", "generations": 2, "epochs": 40}
    step = short | {"schedule": {"shape": "step", "milestones": [1], "scope": "run"}}
    fork = [{"name": "base", "method": {"name": "normal"}}]
    fork += [{"name": "forked", "method": {"name": "llf"}, "fork": {"arm": "base", "generation": 1}}]
    own = {"data": {"name": "digits"}, "model": {"name": "resnet110-cifar", "shortcut": "pad"}, "train": {"epochs": 4}}
    workers = {"train": short | {"batch_norm": "per-worker"}, "resources": {"workers": 2}}
    weights = {"uri": "mlflow-artifacts:/1/net.pt", "sha256": "0" * 64, "strip_prefix": "module."}
    return found | {
        "the released recipe": small(arms=arm, train=recipe, evaluations=[]),
        "a schedule over the run": small(arms=arm, train=step, evaluations=[]),
        "a fork": small(arms=fork, train={"generations": 3, "epochs": 3}, evaluations=[]),
        "an arm of its own": small(arms=[arm[0] | own], train=short, evaluations=[]),
        "a network of version 2": small(arms=arm, model={"name": "preact-resnet18-cifar"}, train=short, evaluations=[]),
        "several workers": small(arms=arm, evaluations=[]) | workers,
        "weights from elsewhere": small(arms=[{"name": "arm", "checkpoint": weights}]),
        "a grid of seeds": small(seeds=[3, 1], train=short),
    }


def rows(raw: dict[str, Any], store: Store) -> dict[str, str]:
    """Every node's key by what people call it."""
    from orchestrator import plan as planning

    return {node.title: key for key, node in planning.plan(intake.read_spec(raw, store)).nodes.items()}


@pytest.mark.parametrize("name", list(golden_specs()))
def test_keys_are_those_that_were_written_down(name: str, tmp_path: Path) -> None:
    """A key that changes is work that is done again by everybody: its checkpoints and scores are no longer found.

    That is right only where the same settings now give other bits or another score, and then GENERATION_VERSION or the
    evaluator's `version` was raised in the same change. Otherwise the change broke the keys: a new field must be left
    out of them at its default. A spec that is new here has no key yet: write the file again and read its difference
    before you commit it.
    """
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}")
    assert rows(golden_specs()[name], store) == json.loads(GOLDEN.read_text())[name]
    store.close()


def test_no_two_nodes_that_differ_have_one_golden_key() -> None:
    """Generation 0 of all methods but three is the same; nothing else that is called differently is."""
    written = json.loads(GOLDEN.read_text())
    methods = {name: keys for name, keys in written.items() if name.startswith("method ")}
    first = {keys["arm/seed0/g0"] for keys in methods.values()}
    assert len(first) == 3
    assert len({keys["arm/seed0/g1"] for keys in methods.values()}) == len(METHODS)


def write() -> None:
    """Writes the golden keys of the code as it is."""
    store = Store("sqlite://")
    found = {name: rows(raw, store) for name, raw in golden_specs().items()}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    write()
