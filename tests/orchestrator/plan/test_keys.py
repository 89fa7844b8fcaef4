"""The settings that change the content key of a node, and those that do not."""

import json
from typing import Any

import pytest

from orchestrator.intake.check import check
from orchestrator.plan import Plan
from tests.orchestrator.builders import node, planned, small
from tests.orchestrator.plan.builders import keys, three_by_three


def test_a_shorter_run_has_the_first_keys_of_a_longer_one() -> None:
    short, long = (planned(three_by_three(generations=total)) for total in (3, 10))
    for arm in ("normal", "llf", "seal"):
        for generation in range(3):
            assert node(short, arm, generation, seed=2).key == node(long, arm, generation, seed=2).key


def test_a_schedule_over_the_whole_run_ties_the_keys_to_its_length() -> None:
    schedule = {"scope": "run"}
    short, long = (keys(three_by_three(generations=total, schedule=schedule)) for total in (3, 10))
    assert set(short).isdisjoint(long)
    assert set(short).isdisjoint(keys(three_by_three(generations=3)))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another"},
        {
            "arms": [
                {"name": "baseline", "method": {"name": "normal"}},
                {"name": "annealed", "method": {"name": "seal"}},
            ]
        },
        {"arms": [{"name": "seal", "method": {"name": "seal"}}, {"name": "normal", "method": {"name": "normal"}}]},
        {"resources": {"cpus": 4, "gpus": 0.5, "threads": 2, "checkpoint_every_s": 5, "max_worker_failures": 0}},
        {"train": {"batch_size": 16, "epochs": 3, "generations": 2, "recipe": "paper"}},
        {"train": {"generations": 2, "epochs": 3, "batch_size": 16, "lr": 0.01, "schedule": {"shape": "cosine"}}},
        {"model": {"width": 4, "name": "resnet-digits"}},
        {"data": {"name": "digits-noisy", "train_per_class": 4, "label_noise": 0.4, "noise_seed": 0}},
        {"seeds": [0]},
        {"evaluations": [{"on": [1], "evaluator": {"name": "accuracy"}}]},
        {"evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["last", "last", 1]}]},
    ],
)
def test_settings_that_cannot_change_a_result_do_not_change_a_key(changes: dict[str, Any]) -> None:
    assert set(planned(small(**changes)).nodes) == set(planned(small()).nodes)


def test_the_order_of_seeds_changes_no_key() -> None:
    assert set(keys(small(seeds=[2, 0, 1]))) == set(keys(small(seeds=[0, 1, 2])))


def test_the_order_of_json_fields_changes_no_key() -> None:
    raw = three_by_three()
    backwards = json.loads(json.dumps(raw), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(backwards) == list(reversed(raw))
    assert set(keys(backwards)) == set(keys(raw))


def test_a_recipe_has_the_keys_of_its_values() -> None:
    official = small(train={"recipe": "official-code", "epochs": 40, "generations": 2})
    spelled = small(
        train={"epochs": 40, "generations": 2, "lr": 0.1, "schedule": {"warmup_epochs": 20}},
        arms=[
            {"name": "normal", "method": {"name": "normal"}},
            {"name": "seal", "method": {"name": "seal", "ascent_epochs": 40, "ascent_weight_decay": "zero"}},
        ],
    )
    assert set(planned(official).nodes) == set(planned(spelled).nodes)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 4},
        {"batch_size": 17},
        {"lr": 0.02},
        {"momentum": 0.8},
        {"weight_decay": 0.0},
        {"label_smoothing": 0.0},
        {"schedule": {"shape": "constant"}},
        {"schedule": {"warmup_epochs": 1}},
        {"schedule": {"scope": "run"}},
        {"schedule": {"shape": "step", "milestones": [1]}},
        {"precision": "bf16"},
        {"reset_momentum_at": ["generation"]},
        {"batch_norm": "per-worker"},
    ],
)
def test_every_training_setting_is_in_every_key(setting: dict[str, Any]) -> None:
    changed = small(train={"generations": 2, "epochs": 3, "batch_size": 16} | setting)
    assert set(planned(changed).nodes).isdisjoint(planned(small()).nodes)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"name": "digits"}},
        {"data": {"name": "digits-noisy", "train_per_class": 5}},
        {"data": {"name": "digits-noisy", "train_per_class": 4, "label_noise": 0.5}},
        {"data": {"name": "digits-noisy", "train_per_class": 4, "noise_seed": 1}},
        {"model": {"name": "resnet-digits"}},
        {"model": {"name": "resnet18"}},
        {"seeds": [1]},
    ],
)
def test_data_model_and_seed_are_in_every_key(changes: dict[str, Any]) -> None:
    assert set(planned(small(**changes)).nodes).isdisjoint(planned(small()).nodes)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_models_that_differ_by_name_alone_have_other_keys(name: str) -> None:
    others = [each for each in ("resnet18", "resnet34", "resnet50") if each != name]
    for other in others:
        assert set(keys(small(model={"name": name}))).isdisjoint(keys(small(model={"name": other})))


@pytest.mark.parametrize(
    ("plain", "settings_of_method"),
    [
        ("seal", {"ascent_scale": 0.02}),
        ("seal", {"ascent_fraction": 0.5}),
        ("seal", {"ascent_epochs": 1}),
        ("seal", {"ascent_weight_decay": "keep"}),
        ("seal", {"layer_threshold": "layer2"}),
        ("llf", {"layer_threshold": "layer4"}),
        ("llf", {"redraw_law": "same_as_init"}),
        ("llf", {"redraw_bias": True}),
        ("seal", {"variant": "freeze"}),
        ("seal", {"variant": "reverse", "reverse_output_layer": False}),
        ("seal", {"layer_threshold": 5}),
        ("ke", {"split": "wels"}),
        ("ke", {"split_rate": 0.8}),
        ("imp", {"rate": 0.1}),
        ("imp", {"ranking": "global"}),
        ("born-again", {"label_weight": 0.3}),
        ("tolerant-teacher", {"label_weight": 0.3}),
        ("self-distillation", {"temperature": 2.0}),
    ],
)
def test_a_setting_of_a_method_is_in_the_key_from_generation_1_on(
    plain: str, settings_of_method: dict[str, Any]
) -> None:
    def with_method(**more: Any) -> Plan:
        arms = [{"name": "arm", "method": {"name": plain} | more}]
        return planned(small(arms=arms, train={"generations": 3, "epochs": 3}))

    before, after = with_method(), with_method(**settings_of_method)
    same = [node(before, "arm", generation).key == node(after, "arm", generation).key for generation in range(3)]
    assert same == [True, False, False]


def test_methods_that_change_generation_0_do_not_share_it_and_others_do() -> None:
    methods = [
        {"name": "normal"},
        {"name": "ke"},
        {"name": "imp"},
        {"name": "born-again"},
        {"name": "self-distillation"},
        {"name": "tolerant-teacher", "patriarch_label_weight": 1.0},
        {"name": "imp", "rewind_epoch": 1},
        {"name": "imp", "rewind_epoch": 1, "rate": 0.5},
        {"name": "imp", "rewind_epoch": 2},
        {"name": "tolerant-teacher"},
        {"name": "tolerant-teacher", "similar_classes": 3},
        {"name": "sa-gd"},
        {"name": "sa-gd", "sigma": 2.0},
    ]
    arms = [{"name": f"arm{index}", "method": method} for index, method in enumerate(methods)]
    plan = planned(small(arms=arms, train={"generations": 1, "epochs": 3}, evaluations=[]))
    first = [node(plan, f"arm{index}", 0).key for index in range(len(arms))]
    assert [first.index(key) for key in first] == [0, 0, 0, 0, 0, 0, 6, 6, 8, 9, 10, 11, 12]


def test_a_sweep_of_seal_shares_generation_0() -> None:
    arms = [{"name": f"s{scale}", "method": {"name": "seal", "ascent_scale": scale}} for scale in (0.01, 0.1, 1, 10)]
    plan = planned(small(arms=arms, train={"generations": 5, "epochs": 3}, evaluations=[]))
    assert plan.counts("generation") == {"requested": 20, "unique": 1 + 4 * 4}


def test_two_arms_with_the_same_settings_are_trained_once() -> None:
    arms = [{"name": name, "method": {"name": "seal", "ascent_scale": 0.01}} for name in ("a", "b")]
    plan = planned(small(arms=arms))
    assert plan.counts("generation") == {"requested": 4, "unique": 2}
    assert plan.counts("evaluation") == {"requested": 2, "unique": 1}
    assert {each.arm for each in plan.nodes.values()} == {"a"}


@pytest.mark.parametrize(
    "evaluator",
    [
        {"name": "few-shot", "targets": ["digits"]},
        {"name": "few-shot", "targets": ["digits-0-4"]},
        {"name": "few-shot", "targets": ["digits"], "shots": [1]},
        {"name": "few-shot", "targets": ["digits"], "shots": [5, 1]},
        {"name": "few-shot", "targets": ["digits"], "seed": 1},
        {"name": "few-shot", "targets": ["digits"], "lr": 0.02},
        {"name": "linear-probe", "targets": ["digits"]},
        {"name": "prediction-depth"},
        {"name": "prediction-depth", "layers": ["layer1", "fc"]},
        {"name": "prediction-depth", "k": 3},
    ],
)
def test_evaluations_that_differ_have_other_keys(evaluator: dict[str, Any]) -> None:
    mine = keys(small(evaluations=[{"evaluator": evaluator}]), "evaluation")
    plain = keys(small(evaluations=[{"evaluator": {"name": "hessian-spectrum", "examples": 32}}]), "evaluation")
    others = [{"evaluator": {"name": "few-shot", "targets": ["digits"], "shots": [1, 2]}}]
    assert len(mine) == 2
    assert set(mine).isdisjoint(plain)
    assert set(mine).isdisjoint(keys(small(evaluations=others), "evaluation"))


def test_another_target_does_not_change_the_keys_of_the_others() -> None:
    def few_shot(*targets: str) -> set[str]:
        return set(
            keys(small(evaluations=[{"evaluator": {"name": "few-shot", "targets": list(targets)}}]), "evaluation")
        )

    assert few_shot("digits-0-4", "digits") == few_shot("digits") | few_shot("digits-0-4")


def test_default_layers_have_the_same_keys_if_they_are_written() -> None:
    default = {"name": "prediction-depth"}
    written = default | {"layers": ["layer1", "layer2", "layer3", "layer4", "fc"]}
    assert keys(small(evaluations=[{"evaluator": default}]), "evaluation") == keys(
        small(evaluations=[{"evaluator": written}]), "evaluation"
    )


def test_prediction_depth_has_the_layers_of_each_arms_model() -> None:
    arms = [
        {"name": name, "method": {"name": "normal"}, "model": {"name": name}} for name in ("resnet-digits", "resnet50")
    ]
    plan = planned(small(arms=arms, evaluations=[{"evaluator": {"name": "prediction-depth"}}]))
    layers = {each.arm: each.evaluator["layers"] for each in plan.nodes.values() if each.evaluator is not None}
    assert layers == {
        "resnet-digits": ["layer1", "layer2", "layer3", "layer4", "fc"],
        "resnet50": ["layer1", "layer2.1", "layer2", "layer3.2", "layer3", "layer4.1", "fc"],
    }


def test_the_same_spec_gives_the_same_plan() -> None:
    assert planned(three_by_three()) == planned(three_by_three())
    assert planned(check(three_by_three()).model_dump(mode="json")) == planned(three_by_three())


def test_these_keys_never_change() -> None:
    """If one of these keys changes, no earlier checkpoint is found and all users train their work again.

    That is right only if the same settings give other bits. GENERATION_VERSION or the version of the evaluator must
    then increase.
    """
    plan = planned(small())
    assert node(plan, "normal", 0).key == "de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941"
    assert node(plan, "seal", 1).key == "6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51"
    assert (
        node(plan, "normal", 1, "evaluation").key == "7a27041cd6862c1af9d8baab546d01a4fcf05b5642f09ed46a655e1bed46bfe7"
    )


def test_batch_norm_per_worker_ties_the_keys_to_the_number_of_workers() -> None:
    def with_workers(workers: int, batch_norm: str) -> set[str]:
        train = {"generations": 2, "epochs": 3, "batch_norm": batch_norm}
        return set(keys(small(train=train, resources={"workers": workers})))

    assert with_workers(1, "synced") == with_workers(4, "synced")
    assert with_workers(1, "per-worker").isdisjoint(with_workers(4, "per-worker"))
