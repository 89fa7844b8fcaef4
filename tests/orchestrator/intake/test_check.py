"""Validation as a whole: every mistake is reported once, and a valid spec is resolved."""

import copy
import json
import time
from typing import Any

import pytest

from orchestrator.intake.check import check
from orchestrator.problems import InvalidSpec, Problem
from tests.orchestrator.intake.builders import EXAMPLE, MISSING, changed, places, problems
from trainer.methods import SEAL


def test_the_example_is_valid() -> None:
    spec = check(EXAMPLE)
    assert (spec.name, len(spec.arms), spec.seeds, spec.train.generations) == ("digits", 3, (0, 1, 2), 8)


@pytest.mark.parametrize("body", [[], [EXAMPLE], "digits", 5, 1.5, None, True])
def test_a_body_that_is_not_an_object_is_one_problem(body: object) -> None:
    assert places(body) == [("", "WRONG_TYPE", None)]


def test_an_empty_object_lacks_the_fields_without_default() -> None:
    assert places({}) == [(f"/{name}", "MISSING_FIELD", None) for name in ("name", "data", "arms")]


def test_every_mistake_of_a_spec_is_reported_exactly_once() -> None:
    raw = {
        "name": "Bad Name",
        "data": {"name": "digits-noisy", "train_per_class": 0, "labelnoise": 0.4},
        "model": {"name": "resnet-digits", "width": "16"},
        "train": {"epochs": 24, "lr": 0, "batchsize": 32, "schedule": {"warmup_epochs": 30}},
        "arms": [
            {"name": "a", "method": {"name": "lff"}},
            {"name": "a", "method": {"name": "seal", "ascent_epochs": 25, "layer_threshold": "layer9"}},
            {"method": {"name": "normal"}},
        ],
        "seeds": [0, True, 0],
        "evaluations": [
            {
                "evaluator": {"name": "few-shot", "targets": ["digits", "digits-edge"], "shots": [160]},
                "on": ["last", "lst"],
            },
            {"evaluator": {"name": "prediction-depth", "layers": ["layer1", "fcc"]}, "on": [10]},
            {"evaluator": {"name": "hessian-spectrum", "examples": 8}},
            {"evaluator": {"name": "acuracy"}},
        ],
        "recources": {},
    }
    assert sorted(places(raw), key=lambda place: place[0]) == [
        ("/arms/0/method/name", "UNKNOWN_VALUE", "llf"),
        ("/arms/1/method/ascent_epochs", "CONTRADICTION", None),
        ("/arms/1/method/layer_threshold", "CONTRADICTION", None),
        ("/arms/1/name", "DUPLICATE", None),
        ("/arms/2/name", "MISSING_FIELD", None),
        ("/data/labelnoise", "UNKNOWN_FIELD", "label_noise"),
        ("/data/train_per_class", "OUT_OF_RANGE", None),
        ("/evaluations/0/evaluator/shots/0", "CONTRADICTION", None),
        ("/evaluations/0/evaluator/targets/1", "UNKNOWN_VALUE", "digits-edges"),
        ("/evaluations/0/on/1", "UNKNOWN_VALUE", "last"),
        ("/evaluations/1/evaluator/layers/1", "UNKNOWN_VALUE", "fc"),
        ("/evaluations/1/on/0", "CONTRADICTION", None),
        ("/evaluations/2/evaluator/batch_size", "CONTRADICTION", None),
        ("/evaluations/3/evaluator/name", "UNKNOWN_VALUE", "accuracy"),
        ("/model/width", "WRONG_TYPE", None),
        ("/name", "OUT_OF_RANGE", None),
        ("/recources", "UNKNOWN_FIELD", "resources"),
        ("/seeds/1", "WRONG_TYPE", None),
        ("/seeds/2", "DUPLICATE", None),
        ("/train/batchsize", "UNKNOWN_FIELD", "batch_size"),
        ("/train/lr", "OUT_OF_RANGE", None),
        ("/train/schedule/warmup_epochs", "CONTRADICTION", None),
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("/train/generations", "8"), ("/evaluations/0/on", [50])], ["/train/generations"]),
        ([("/train/epochs", "24"), ("/arms/2/method/ascent_epochs", 200)], ["/train/epochs"]),
        ([("/train/epochs", "24"), ("/train/schedule", {"warmup_epochs": 200})], ["/train/epochs"]),
        (
            [("/train/generations", "8"), ("/train/schedule", {"warmup_epochs": 500, "scope": "run"})],
            ["/train/generations"],
        ),
        ([("/train/schedule", {"warmup_epochs": 100, "scope": "runs"})], ["/train/schedule/scope"]),
        ([("/train", []), ("/arms/2/method/ascent_epochs", 200), ("/evaluations/0/on", [50])], ["/train"]),
        ([("/model/name", "vgg"), ("/arms/1/method/layer_threshold", "features.3")], ["/model/name"]),
        ([("/model/name", "vgg"), ("/evaluations/4/evaluator/layers", ["features.3"])], ["/model/name"]),
        ([("/model/width", "16"), ("/arms/1/method/layer_threshold", "layer4")], ["/model/width"]),
        ([("/data/name", "mnist"), ("/evaluations/3/evaluator/batch_size", 128)], ["/data/name"]),
        ([("/data/train_per_class", "85"), ("/evaluations/4/evaluator/k", 400)], ["/data/train_per_class"]),
        (
            [
                ("/data/train_per_class", "85"),
                ("/evaluations/3/evaluator", {"name": "hessian-spectrum", "batch_size": 400}),
            ],
            ["/data/train_per_class"],
        ),
        (
            [("/evaluations/2/evaluator", {"name": "few-shot", "targets": ["digits"], "queries": "3", "shots": [170]})],
            ["/evaluations/2/evaluator/queries"],
        ),
        (
            [("/evaluations/3/evaluator", {"name": "hessian-spectrum", "examples": "128", "batch_size": 301})],
            ["/evaluations/3/evaluator/examples"],
        ),
        ([("/arms/0/name", MISSING), ("/arms/1/name", MISSING)], ["/arms/0/name", "/arms/1/name"]),
        ([("/arms/0", 5), ("/arms/2/name", "llf")], ["/arms/0", "/arms/2/name"]),
        ([("/seeds", [1, True])], ["/seeds/1"]),
        ([("/seeds", [1, 1.0])], ["/seeds/1"]),
        ([("/seeds", [None, None])], ["/seeds/0", "/seeds/1"]),
        (
            [("/train/generations", 1), ("/evaluations/0/on", [True]), ("/evaluations/1/on", [0])],
            ["/evaluations/0/on/0"],
        ),
        ([("/evaluations/0/on", [2000])], ["/evaluations/0/on/0"]),
        ([("/train/recipe", "official"), ("/train/epochs", 10)], ["/train/recipe"]),
        ([("/arms/2/fork", {"arm": "llf", "generation": -1})], ["/arms/2/fork/generation"]),
        (
            [
                ("/arms/1/train", {"epochs": "24"}),
                ("/arms/2/train", {"epochs": 24}),
                ("/arms/2/fork", {"arm": "llf", "generation": 1}),
            ],
            ["/arms/1/train/epochs"],
        ),
        (
            [("/arms/1/name", "LLF!"), ("/arms/2/fork", {"arm": "LLF!", "generation": 1})],
            ["/arms/1/name", "/arms/2/fork/arm"],
        ),
        (
            [
                ("/arms/0/train", {"generations": 4}),
                ("/evaluations/0", {"evaluator": {"name": "accuracy"}, "arms": "llf", "on": [6]}),
                ("/evaluations/1/on", ["first"]),
            ],
            ["/evaluations/0/arms"],
        ),
        ([("/resources", {"workers": 2000}), ("/train/batch_size", 32)], ["/resources/workers"]),
    ],
)
def test_a_mistake_causes_no_further_problems(changes: list[tuple[str, Any]], expected: list[str]) -> None:
    assert [problem.pointer for problem in problems(changed(*changes))] == expected


@pytest.mark.parametrize(
    "raw",
    [
        changed(("/seeds", list(range(36_000)))),
        changed(("/evaluations/2/evaluator/targets", [f"t{index}" for index in range(25_000)])),
        changed(("/evaluations", [{"evaluator": {"name": "hessian-spectrum"}} for _ in range(3_000)])),
    ],
    ids=["seeds", "targets", "evaluations"],
)
def test_an_invalid_spec_of_the_largest_size_is_refused_within_seconds(raw: dict[str, Any]) -> None:
    assert len(json.dumps(raw)) < 256 * 1024
    began = time.process_time()
    assert problems(raw)
    assert time.process_time() - began < 4


def test_a_problem_as_json_leaves_out_a_missing_suggestion() -> None:
    assert Problem("/a", "WRONG_TYPE", "no").as_json() == {"pointer": "/a", "code": "WRONG_TYPE", "message": "no"}
    assert Problem("/a", "UNKNOWN_FIELD", "no", "b").as_json()["suggestion"] == "b"


def test_the_error_contains_one_sentence_per_problem() -> None:
    with pytest.raises(
        InvalidSpec, match=r"^/train/lr: should be greater than 0, got 0; /seeds/2: 0 is given more than once"
    ):
        check(changed(("/train/lr", 0), ("/seeds/2", 0)))


def test_a_recipes_values_become_explicit_unless_others_are_given() -> None:
    official = changed(("/train", {"recipe": "official-code", "epochs": 160}))
    spec = check(official)
    assert (spec.train.lr, spec.train.schedule.warmup_epochs) == (0.1, 20)
    assert spec.arms[2].method == SEAL(ascent_scale=2.0, ascent_weight_decay="zero", ascent_epochs=40)
    own = changed(
        ("/train/lr", 0.3),
        ("/train/schedule", {"shape": "constant"}),
        ("/arms/2/method", {"name": "seal", "ascent_fraction": 0.5, "ascent_weight_decay": "keep"}),
        document=official,
    )
    spec = check(own)
    assert (spec.train.lr, spec.train.schedule.shape, spec.train.schedule.warmup_epochs) == (0.3, "constant", 20)
    assert spec.arms[2].method == SEAL(ascent_fraction=0.5, ascent_weight_decay="keep")


@pytest.mark.parametrize(
    "raw",
    [
        EXAMPLE,
        changed(("/train", {"recipe": "official-code"})),
        {"name": "a", "data": {"name": "digits"}, "arms": [{"name": "n", "method": {"name": "normal"}}]},
    ],
)
def test_a_resolved_spec_resolves_to_itself_and_the_input_is_not_changed(raw: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    spec = check(raw)
    assert raw == before
    assert check(spec.model_dump(mode="json")) == spec
    assert check(json.loads(spec.model_dump_json())) == spec


def test_resnet110_is_cut_in_its_second_stage_unless_the_spec_says_otherwise() -> None:
    raw = changed(("/model", {"name": "resnet110-cifar"}))
    raw.pop("train")
    raw["evaluations"] = []
    raw["arms"].append({"name": "cut", "method": {"name": "llf", "layer_threshold": "layer3"}})
    cuts = {arm.name: getattr(arm.method, "layer_threshold", None) for arm in check(raw).arms}
    assert cuts == {"normal": None, "llf": "layer2.9", "seal": "layer2.9", "cut": "layer3"}
