import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.intake.check import check
from orchestrator.plan import Plan, Segment, segments
from tests.orchestrator.builders import node, planned, small

THREE_ARMS = [{"name": name, "method": {"name": name}} for name in ("normal", "llf", "seal")]


def three_by_three(**train: Any) -> dict[str, Any]:
    settings = {"generations": 10, "epochs": 3} | train
    return small(train=settings, arms=THREE_ARMS, seeds=[0, 1, 2], evaluations=[])


def keys(raw: dict[str, Any], kind: str = "generation") -> list[str]:
    return [key for key, each in planned(raw).nodes.items() if each.kind == kind]


# --- how many ---


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
    """On g0 and g2 of 3: accuracy once each, few-shot on two targets; g0 is common to both arms."""
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
    judged = node(plan, "seal", 1, "evaluation")
    assert [each.title for each in plan.nodes.values()] == [
        "normal/seed0/g0",
        "normal/seed0/g1",
        "normal/seed0/g1/accuracy/digits-noisy",
        "seal/seed0/g1",
        "seal/seed0/g1/accuracy/digits-noisy",
    ]
    assert (g0.parent, n1.parent, s1.parent, judged.parent) == (None, g0.key, g0.key, s1.key)
    assert (judged.evaluator, judged.target) == ({"name": "accuracy"}, {"name": "digits-noisy", "train_per_class": 4})
    assert [(use.arm, use.generation, use.kind) for use in plan.uses] == [
        ("normal", 0, "generation"),
        ("normal", 1, "generation"),
        ("normal", 1, "evaluation"),
        ("seal", 0, "generation"),
        ("seal", 1, "generation"),
        ("seal", 1, "evaluation"),
    ]


def test_the_node_of_one_target_is_told_that_target_alone() -> None:
    evaluations = [{"evaluator": {"name": "few-shot", "targets": ["digits", "digits-0-4"], "shots": [1]}}]
    nodes = [each for each in planned(small(evaluations=evaluations)).nodes.values() if each.kind == "evaluation"]
    assert [(each.evaluator, each.target) for each in nodes[:2]] == [
        ({"name": "few-shot", "shots": [1], "targets": ["digits"]}, {"name": "digits"}),
        ({"name": "few-shot", "shots": [1], "targets": ["digits-0-4"]}, {"name": "digits-0-4"}),
    ]


# --- what a key depends on ---


def test_three_generations_are_the_first_of_ten() -> None:
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
def test_what_cannot_change_a_result_changes_no_key(changes: dict[str, Any]) -> None:
    assert set(planned(small(**changes)).nodes) == set(planned(small()).nodes)


def test_the_order_of_seeds_changes_no_key() -> None:
    assert set(keys(small(seeds=[2, 0, 1]))) == set(keys(small(seeds=[0, 1, 2])))


def test_the_order_of_json_fields_changes_no_key() -> None:
    raw = three_by_three()
    backwards = json.loads(json.dumps(raw), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(backwards) == list(reversed(raw))
    assert set(keys(backwards)) == set(keys(raw))


def test_a_recipe_is_only_its_values() -> None:
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
    ("plain", "knobs"),
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
def test_a_methods_knob_is_in_the_key_from_generation_1_on(plain: str, knobs: dict[str, Any]) -> None:
    def with_method(**more: Any) -> Plan:
        arms = [{"name": "arm", "method": {"name": plain} | more}]
        return planned(small(arms=arms, train={"generations": 3, "epochs": 3}))

    before, after = with_method(), with_method(**knobs)
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


def test_targets_are_judged_apart_so_that_one_more_leaves_the_others_keys() -> None:
    def few_shot(*targets: str) -> set[str]:
        return set(
            keys(small(evaluations=[{"evaluator": {"name": "few-shot", "targets": list(targets)}}]), "evaluation")
        )

    assert few_shot("digits-0-4", "digits") == few_shot("digits") | few_shot("digits-0-4")


def test_layers_that_are_the_default_ones_may_be_written_or_not() -> None:
    default = {"name": "prediction-depth"}
    written = default | {"layers": ["layer1", "layer2", "layer3", "layer4", "fc"]}
    assert keys(small(evaluations=[{"evaluator": default}]), "evaluation") == keys(
        small(evaluations=[{"evaluator": written}]), "evaluation"
    )


def test_prediction_depth_is_told_the_layers_of_each_arms_model() -> None:
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


def test_keys_that_are_pinned() -> None:
    """Who changes one of these keys trains everybody's work again: every checkpoint made before is no longer found.

    That is right only when the same settings give other bits, and then GENERATION_VERSION or the evaluator's version says so.
    """
    plan = planned(small())
    assert node(plan, "normal", 0).key == "de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941"
    assert node(plan, "seal", 1).key == "6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51"
    assert (
        node(plan, "normal", 1, "evaluation").key == "7a27041cd6862c1af9d8baab546d01a4fcf05b5642f09ed46a655e1bed46bfe7"
    )


# --- forks ---


def forked(*forks: tuple[str, int], generations: int = 5) -> dict[str, Any]:
    """Normal, and behind it one LLF arm per fork: (arm, generation)."""
    arms: list[dict[str, Any]] = [{"name": "normal", "method": {"name": "normal"}}]
    for index, (arm, generation) in enumerate(forks):
        fork = {"arm": arm, "generation": generation}
        arms.append({"name": f"llf{index}", "method": {"name": "llf"}, "fork": fork})
    return small(arms=arms, train={"generations": generations, "epochs": 3}, evaluations=[])


def test_a_fork_shares_what_comes_before_it_and_goes_on_under_its_own_method() -> None:
    plan = planned(forked(("normal", 2)))
    same = [node(plan, "llf0", generation).key == node(plan, "normal", generation).key for generation in range(5)]
    assert same == [True, True, True, False, False]
    assert node(plan, "llf0", 3).parent == node(plan, "normal", 2).key
    assert plan.counts("generation") == {"requested": 10, "unique": 7}
    assert shape(segments(plan, set(plan.nodes))) == [
        (None, ["normal/seed0/g0", "normal/seed0/g1", "normal/seed0/g2"]),
        ("normal/seed0/g2", ["normal/seed0/g3", "normal/seed0/g4"]),
        ("normal/seed0/g2", ["llf0/seed0/g3", "llf0/seed0/g4"]),
    ]


def test_a_fork_after_generation_0_is_the_arm_without_fork() -> None:
    plain = small(arms=THREE_ARMS[:2], train={"generations": 5, "epochs": 3}, evaluations=[])
    assert set(keys(forked(("normal", 0)))) == set(keys(plain))


def test_forks_of_forks() -> None:
    plan = planned(forked(("normal", 1), ("llf0", 3)))
    chain = [node(plan, "llf1", generation).key for generation in range(5)]
    assert chain == [node(plan, "llf0", generation).key for generation in range(5)]
    other = planned(forked(("normal", 1), ("normal", 3)))
    assert node(other, "llf1", 4).key not in plan.nodes


def test_batch_norm_per_worker_ties_the_keys_to_the_number_of_workers() -> None:
    def with_workers(workers: int, batch_norm: str) -> set[str]:
        train = {"generations": 2, "epochs": 3, "batch_norm": batch_norm}
        return set(keys(small(train=train, resources={"workers": workers})))

    assert with_workers(1, "synced") == with_workers(4, "synced")
    assert with_workers(1, "per-worker").isdisjoint(with_workers(4, "per-worker"))


# --- segments ---


def shape(found: list[Segment]) -> list[tuple[str | None, list[str]]]:
    """(what the chain continues, its nodes) by arm, seed and generation, as `arm/seed0/g1`."""
    titles = {each.key: each.title for segment in found for each in segment.nodes}
    return [
        (segment.parent and titles.get(segment.parent, "done"), [each.title for each in segment.nodes])
        for segment in found
    ]


def test_a_chain_ends_where_arms_part() -> None:
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


def test_what_is_done_is_continued() -> None:
    plan = planned(three_by_three(generations=4) | {"seeds": [0]})
    done = {node(plan, "normal", 0).key, node(plan, "normal", 1).key, node(plan, "llf", 1).key}
    assert shape(segments(plan, set(plan.nodes) - done)) == [
        ("done", ["normal/seed0/g2", "normal/seed0/g3"]),
        ("done", ["llf/seed0/g2", "llf/seed0/g3"]),
        ("done", ["seal/seed0/g1", "seal/seed0/g2", "seal/seed0/g3"]),
    ]


def test_a_chain_ends_where_the_arm_changes() -> None:
    """As after a retrained generation 0: with only SEAL pending, its chain follows the common node, which is Normal's."""
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
