import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.intake.check import check
from orchestrator.problems import InvalidSpec, Problem
from trainer.methods import SEAL

EXAMPLE: dict[str, Any] = {
    "name": "digits",
    "data": {"name": "digits-noisy", "train_per_class": 30, "label_noise": 0.4},
    "model": {"name": "resnet-digits", "width": 16},
    "train": {"generations": 8, "epochs": 24, "lr": 0.05},
    "arms": [
        {"name": "normal", "method": {"name": "normal"}},
        {"name": "llf", "method": {"name": "llf"}},
        {"name": "seal", "method": {"name": "seal", "ascent_scale": 2.0}},
    ],
    "seeds": [0, 1, 2],
    "evaluations": [
        {"evaluator": {"name": "accuracy"}, "on": ["every"]},
        {"evaluator": {"name": "linear-probe", "targets": ["digits"], "train_per_class": 10}, "on": ["first", 7]},
        {"evaluator": {"name": "few-shot", "targets": ["digits-0-4", "digits"], "shots": [1, 5]}, "on": ["last"]},
        {"evaluator": {"name": "hessian-spectrum", "examples": 128}},
        {"evaluator": {"name": "prediction-depth"}},
    ],
}
EXAMPLES = Path(__file__).parents[3] / "examples"
MISSING = object()
Place = tuple[str, str, str | None]
"""(pointer, code, suggestion)"""


def steps_of(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def changed(*changes: tuple[str, Any], document: dict[str, Any] = EXAMPLE) -> dict[str, Any]:
    """A copy of the example with values put at (or, for MISSING, taken from) JSON pointers."""
    document = copy.deepcopy(document)
    for pointer, value in changes:
        here: Any = document
        *path, last = steps_of(pointer)
        for step in path:
            here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
        if value is MISSING:
            del here[last]
        elif isinstance(here, list):
            here[int(last)] = value
        else:
            here[last] = value
    return document


def problems(raw: object) -> list[Problem]:
    try:
        check(raw)
    except InvalidSpec as error:
        return error.problems
    return []


def places(raw: object) -> list[Place]:
    return [(problem.pointer, problem.code, problem.suggestion) for problem in problems(raw)]


def test_the_example_is_fine() -> None:
    spec = check(EXAMPLE)
    assert (spec.name, len(spec.arms), spec.seeds, spec.train.generations) == ("digits", 3, (0, 1, 2), 8)


@pytest.mark.parametrize(
    ("pointer", "nearest"),
    [
        ("/trian", "train"),
        ("/zzz", None),
        ("/a~1b~0c", None),
        ("/data/label_nois", "label_noise"),
        ("/model/widht", "width"),
        ("/train/epoch", "epochs"),
        ("/train/schedule/warmup", "warmup_epochs"),
        ("/arms/1/nme", "name"),
        ("/arms/2/method/ascent_scal", "ascent_scale"),
        ("/arms/0/method/ascent_scale", None),
        ("/arms/0/method/normal", None),
        ("/evaluations/2/onn", "on"),
        ("/evaluations/2/evaluator/shot", "shots"),
        ("/evaluations/0/evaluator/targets", None),
        ("/resources/cpu", "cpus"),
    ],
)
def test_an_unknown_field_is_named_with_its_nearest_relative(pointer: str, nearest: str | None) -> None:
    assert places(changed((pointer, 1))) == [(pointer, "UNKNOWN_FIELD", nearest)]


@pytest.mark.parametrize(
    ("pointer", "given", "nearest"),
    [
        ("/data/name", "digit-noisy", "digits-noisy"),
        ("/model/name", "resnet-18", "resnet18"),
        ("/arms/1/method/name", "lff", "llf"),
        ("/arms/1/method/name", "born-agian", "born-again"),
        ("/evaluations/2/evaluator/name", "few_shot", "few-shot"),
        ("/evaluations/2/evaluator/targets/1", "digits-edge", "digits-edges"),
        ("/evaluations/4/evaluator/layers", ["layer1", "fcc"], "fc"),
        ("/evaluations/0/on/0", "evry", "every"),
        ("/train/recipe", "papr", "paper"),
        ("/train/schedule/shape", "cosin", "cosine"),
        ("/train/schedule/scope", "runs", "run"),
        ("/arms/1/method/redraw_law", "same_as", "same_as_init"),
        ("/arms/2/method/ascent_weight_decay", "fip", "flip"),
        ("/evaluations/4/evaluator/pool", "average", "avg"),
    ],
)
def test_an_unknown_name_is_named_with_its_nearest_relative(pointer: str, given: object, nearest: str | None) -> None:
    at = pointer + "/1" if isinstance(given, list) else pointer
    assert places(changed((pointer, given))) == [(at, "UNKNOWN_VALUE", nearest)]


def test_an_unknown_name_is_told_the_known_ones() -> None:
    (problem,) = problems(changed(("/arms/1/method/name", "forget")))
    known = "normal, llf, seal, ke, imp, sa-gd, born-again, tolerant-teacher, self-distillation"
    assert problem.message == f"'forget' is not known here; expected {known}"


@pytest.mark.parametrize(
    ("pointer", "given"),
    [
        ("/name", 5),
        ("/name", None),
        ("/data", "digits"),
        ("/data", []),
        ("/model", None),
        ("/train", 3),
        ("/train", None),
        ("/train/epochs", True),
        ("/train/epochs", "24"),
        ("/train/epochs", 24.5),
        ("/train/epochs", None),
        ("/train/lr", "0.05"),
        ("/train/lr", True),
        ("/train/lr", [0.05]),
        ("/train/schedule", "cosine"),
        ("/arms", {}),
        ("/arms/0", "normal"),
        ("/arms/0/method", "normal"),
        ("/arms/2/method/ascent_epochs", 2.5),
        ("/arms/2/method/ascent_epochs", False),
        ("/arms/2/method/layer_threshold", 3.5),
        ("/seeds", 0),
        ("/seeds/1", "1"),
        ("/seeds/1", None),
        ("/evaluations", {"evaluator": {"name": "accuracy"}}),
        ("/evaluations/0/on", "every"),
        ("/evaluations/0/on/0", 1.5),
        ("/evaluations/0/on/0", []),
        ("/evaluations/2/evaluator/targets", "digits"),
        ("/evaluations/2/evaluator/targets/0", 5),
        ("/evaluations/2/evaluator/shots", 5),
        ("/evaluations/4/evaluator/layers", "fc"),
        ("/resources/gpus", "1"),
        ("/resources/cpus", 1.5),
    ],
)
def test_a_wrong_type_is_told_where_it_stands(pointer: str, given: object) -> None:
    assert places(changed((pointer, given))) == [(pointer, "WRONG_TYPE", None)]


@pytest.mark.parametrize(
    ("pointer", "given"),
    [
        ("/name", "Digits"),
        ("/name", ""),
        ("/name", "a" * 65),
        ("/name", "a\n"),
        ("/arms/0/name", "normal arm"),
        ("/data/label_noise", 1.5),
        ("/data/train_per_class", 86),
        ("/model/width", 0),
        ("/train/generations", 1001),
        ("/train/epochs", 0),
        ("/train/epochs", 2**70),
        ("/train/lr", 0),
        ("/train/lr", -0.1),
        ("/train/momentum", 1),
        ("/train/label_smoothing", 1.0),
        ("/train/schedule/warmup_epochs", -1),
        ("/arms", []),
        ("/arms/2/method/ascent_scale", -0.01),
        ("/arms/1/method/layer_threshold", ""),
        ("/seeds", []),
        ("/seeds", list(range(101))),
        ("/seeds/0", -1),
        ("/seeds/2", 2**31 + 1),
        ("/evaluations/0/on", []),
        ("/evaluations/0/on/0", -1),
        ("/evaluations/2/evaluator/targets", []),
        ("/evaluations/2/evaluator/shots/0", 0),
        ("/evaluations/1/evaluator/learning_rates", [0.1, -0.1]),
        ("/resources/cpus", 0),
    ],
)
def test_a_value_out_of_range_is_told_where_it_stands(pointer: str, given: object) -> None:
    at = pointer + "/1" if pointer.endswith("learning_rates") else pointer
    assert places(changed((pointer, given))) == [(at, "OUT_OF_RANGE", None)]


def test_the_message_says_the_bound_and_the_value() -> None:
    (problem,) = problems(changed(("/train/lr", -0.1)))
    assert problem.message == "should be greater than 0, got -0.1"


@pytest.mark.parametrize(
    "pointer",
    [
        "/name",
        "/data",
        "/data/name",
        "/model/name",
        "/arms",
        "/arms/1/name",
        "/arms/1/method",
        "/arms/1/method/name",
        "/evaluations/0/evaluator",
        "/evaluations/0/evaluator/name",
        "/evaluations/1/evaluator/targets",
    ],
)
def test_a_missing_field_is_named(pointer: str) -> None:
    assert places(changed((pointer, MISSING))) == [(pointer, "MISSING_FIELD", None)]


@pytest.mark.parametrize(
    ("pointer", "given", "repeated"),
    [
        ("/arms/2/name", "llf", ["/arms/2/name"]),
        ("/seeds", [4, 5, 4], ["/seeds/2"]),
        ("/seeds", [4, 4, 4], ["/seeds/1", "/seeds/2"]),
        ("/evaluations/2/evaluator/targets", ["digits", "digits"], ["/evaluations/2/evaluator/targets"]),
        ("/evaluations/2/evaluator/shots", [1, 5, 1], ["/evaluations/2/evaluator/shots"]),
        ("/evaluations/4/evaluator/layers", ["fc", "fc"], ["/evaluations/4/evaluator/layers"]),
    ],
)
def test_what_stands_twice_is_named(pointer: str, given: object, repeated: list[str]) -> None:
    assert places(changed((pointer, given))) == [(each, "DUPLICATE", None) for each in repeated]


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        (
            [("/arms/2/method/ascent_epochs", 25)],
            "/arms/2/method/ascent_epochs",
            "25 ascent epochs do not fit into a generation of 24: use at most 24",
        ),
        ([("/arms/1/method/layer_threshold", "layer9")], "/arms/1/method/layer_threshold", "it has conv1, bn1, layer1"),
        ([("/arms/2/method/layer_threshold", "layer9")], "/arms/2/method/layer_threshold", "it has conv1, bn1, layer1"),
        ([("/arms/2/method/layer_threshold", "conv1")], "/arms/2/method/layer_threshold", "nothing would ascend"),
        (
            [("/arms/1/method/layer_threshold", 23)],
            "/arms/1/method/layer_threshold",
            "it has 9 (downsample convs not counted",
        ),
        ([("/train/schedule", {"shape": "step"})], "/train/schedule/milestones", "needs the epochs of its steps"),
        ([("/train/schedule/milestones", [12])], "/train/schedule/milestones", "a cosine schedule has no steps"),
        (
            [("/train/schedule", {"shape": "step", "milestones": [12, 24]})],
            "/train/schedule/milestones",
            "epoch 24 is never reached in the schedule's 24 epochs",
        ),
        ([("/resources", {"workers": 64})], "/resources/workers", "64 workers cannot share batches of 32"),
        ([("/arms/2/fork", {"arm": "seal", "generation": 1})], "/arms/2/fork/arm", "'seal' would go on from itself"),
        ([("/arms/2/fork", {"arm": "llf", "generation": 7})], "/arms/2/fork/generation", "nothing is left to train"),
        (
            [
                ("/arms/2/method", {"name": "imp", "rewind_epoch": 2}),
                ("/arms/2/fork", {"arm": "llf", "generation": 1}),
            ],
            "/arms/2/fork",
            "imp with these settings must train generation 0 itself",
        ),
        (
            [("/train/recipe", "official-code")],
            "/arms/2/method/ascent_epochs",
            "40 ascent epochs do not fit into a generation",
        ),
        ([("/train/schedule/warmup_epochs", 25)], "/train/schedule/warmup_epochs", "25 warm-up epochs do not fit"),
        (
            [("/train/schedule", {"warmup_epochs": 193, "scope": "run"})],
            "/train/schedule/warmup_epochs",
            "193 warm-up epochs do not fit into the schedule's 192: use at most 192",
        ),
        (
            [("/evaluations/2/evaluator", {"name": "few-shot", "targets": ["digits"], "shots": [1, 160]})],
            "/evaluations/2/evaluator/shots/1",
            "160-shot with 15 queries needs 175 images per class; the smallest class of 'digits' has 174",
        ),
        (
            [("/evaluations/2/evaluator", {"name": "few-shot", "targets": ["digits-0-4"], "ways": 6})],
            "/evaluations/2/evaluator/ways",
            "6 ways need 6 classes; 'digits-0-4' has 5",
        ),
        (
            [("/evaluations/1/evaluator", {"name": "linear-probe", "targets": ["digits"], "train_per_class": 1000})],
            "/evaluations/1/evaluator/train_per_class",
            "1000",
        ),
        (
            [("/evaluations/3/evaluator/batch_size", 129)],
            "/evaluations/3/evaluator/batch_size",
            "batch_size 129 is more than the 128 images drawn from 'digits-noisy'",
        ),
        (
            [("/evaluations/3/evaluator", {"name": "hessian-spectrum", "batch_size": 301})],
            "/evaluations/3/evaluator/batch_size",
            "batch_size 301 is more than the 300 images drawn",
        ),
        (
            [("/evaluations/3/evaluator/max_steps", 4)],
            "/evaluations/3/evaluator",
            "max_steps 4 cannot find k 5 eigenvalues",
        ),
        ([("/evaluations/4/evaluator/k", 301)], "/evaluations/4/evaluator/k", "300"),
        (
            [("/evaluations/0/on", ["first", 8])],
            "/evaluations/0/on/1",
            "'normal' has no generation 8: its last is 7",
        ),
        ([("/train/generations", 1000), ("/seeds", list(range(100)))], "", "300000 generations are asked for"),
    ],
)
def test_values_that_contradict_each_other_are_told_with_the_remedy(
    changes: list[tuple[str, Any]], pointer: str, message: str
) -> None:
    (problem,) = problems(changed(*changes))
    assert (problem.pointer, problem.code, problem.suggestion) == (pointer, "CONTRADICTION", None)
    assert message in problem.message
    assert not problem.message.startswith("Value error")


def test_the_official_recipe_fits_generations_of_40_epochs_and_not_fewer() -> None:
    official = ("/train/recipe", "official-code")
    assert places(changed(official, ("/train/epochs", 40))) == []
    assert [pointer for pointer, _, _ in places(changed(official, ("/train/epochs", 39)))] == [
        "/arms/2/method/ascent_epochs"
    ]
    assert sorted(pointer for pointer, _, _ in places(changed(official, ("/train/epochs", 19)))) == [
        "/arms/2/method/ascent_epochs",
        "/train/schedule/warmup_epochs",
    ]


@pytest.mark.parametrize("body", [[], [EXAMPLE], "digits", 5, 1.5, None, True])
def test_a_body_that_is_no_object_is_one_problem(body: object) -> None:
    assert places(body) == [("", "WRONG_TYPE", None)]


def test_an_empty_object_misses_what_has_no_default() -> None:
    assert places({}) == [(f"/{name}", "MISSING_FIELD", None) for name in ("name", "data", "arms")]


def test_every_mistake_of_a_spec_is_listed_exactly_once() -> None:
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
def test_a_mistake_does_not_invent_others(changes: list[tuple[str, Any]], expected: list[str]) -> None:
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
def test_a_spec_as_large_as_a_body_may_be_is_refused_within_seconds(raw: dict[str, Any]) -> None:
    assert len(json.dumps(raw)) < 256 * 1024
    began = time.process_time()
    assert problems(raw)
    assert time.process_time() - began < 4


def test_a_problem_as_json_leaves_out_a_suggestion_that_is_not_there() -> None:
    assert Problem("/a", "WRONG_TYPE", "no").as_json() == {"pointer": "/a", "code": "WRONG_TYPE", "message": "no"}
    assert Problem("/a", "UNKNOWN_FIELD", "no", "b").as_json()["suggestion"] == "b"


def test_the_error_reads_as_one_sentence_per_problem() -> None:
    with pytest.raises(InvalidSpec, match=r"^/train/lr: should be greater than 0, got 0; /seeds/2: 0 stands here"):
        check(changed(("/train/lr", 0), ("/seeds/2", 0)))


# --- what a good spec becomes ---


def test_a_recipes_values_become_explicit_and_give_way_to_what_was_written() -> None:
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
def test_a_resolved_spec_is_its_own_resolution_and_the_input_is_left_alone(raw: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    spec = check(raw)
    assert raw == before
    assert check(spec.model_dump(mode="json")) == spec
    assert check(json.loads(spec.model_dump_json())) == spec


# --- whatever is sent, the answer is a spec or a list of problems ---

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
FIELDS = [
    "name",
    "data",
    "model",
    "train",
    "arms",
    "seeds",
    "evaluations",
    "method",
    "evaluator",
    "on",
    "recipe",
    "schedule",
]
NAMES = [
    "digits",
    "resnet18",
    "normal",
    "seal",
    "few-shot",
    "prediction-depth",
    "official-code",
    "targets",
    "shots",
    "layers",
]
KNOWN_WORDS = st.sampled_from(FIELDS) | st.sampled_from(NAMES)
JSON = st.recursive(
    SCALARS | KNOWN_WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KNOWN_WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)


def check_points_into(document: object) -> None:
    """check() gives a spec, or problems each of which points at a value, a missing field, or a default below one."""
    try:
        check(document)
        return
    except InvalidSpec as error:
        found = error.problems
    assert found
    for problem in found:
        here = document
        steps = steps_of(problem.pointer)
        for index, step in enumerate(steps):
            if isinstance(here, list):
                assert step.isdecimal(), problem
                assert int(step) < len(here), problem
                here = here[int(step)]
                continue
            assert isinstance(here, dict), problem
            if step not in here:
                below_default = step in ("schedule", "shots")  # the recipe's warm-up, the default shots
                assert index == len(steps) - 1 or below_default, problem
                break
            here = here[step]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(JSON)
def test_any_json_gives_a_spec_or_problems(document: object) -> None:
    check_points_into(document)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_the_example_with_any_parts_replaced_gives_a_spec_or_problems(data: st.DataObject) -> None:
    document = copy.deepcopy(EXAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        containers = list(_containers(document))
        inside = containers[data.draw(st.integers(0, len(containers) - 1))]
        if isinstance(inside, list):
            at = data.draw(st.integers(0, max(0, len(inside) - 1)))
            match data.draw(st.sampled_from(["delete", "replace", "insert"])):
                case "delete":
                    del inside[at : at + 1]
                case "replace":
                    inside[at : at + 1] = [data.draw(JSON)]
                case "insert":
                    inside.insert(at, data.draw(JSON))
        else:
            match data.draw(st.sampled_from(["delete", "replace", "insert"])):
                case "delete" if inside:
                    del inside[data.draw(st.sampled_from(sorted(inside)))]
                case "replace" if inside:
                    inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(JSON)
                case _:
                    inside[data.draw(KNOWN_WORDS | st.text(max_size=4))] = data.draw(JSON)
    check_points_into(document)


def _containers(document: Any) -> Any:
    if isinstance(document, dict | list):
        yield document
        for inner in document.values() if isinstance(document, dict) else document:
            yield from _containers(inner)


def test_a_fork_from_an_arm_that_is_not_there_is_told_the_nearest() -> None:
    (problem,) = problems(changed(("/arms/2/fork", {"arm": "lff", "generation": 1})))
    assert (problem.pointer, problem.code, problem.suggestion) == ("/arms/2/fork/arm", "UNKNOWN_VALUE", "llf")


def test_a_fork_is_from_an_arm_with_the_same_data_model_and_settings() -> None:
    """However they are written: what is not given is the default."""
    fork, short = ("/arms/2/fork", {"arm": "llf", "generation": 1}), {"name": "digits"}
    there = ("/arms/1/data", short | {"holdout": 0.0})
    assert places(changed(fork, there, ("/arms/2/data", short))) == []
    assert places(changed(fork, there, ("/arms/2/data", short | {"holdout": 0.5}))) == [
        ("/arms/2/fork/arm", "CONTRADICTION", None)
    ]
    assert places(changed(fork, there)) == [("/arms/2/fork/arm", "CONTRADICTION", None)]


def test_forks_in_a_circle_are_refused() -> None:
    raw = changed(("/arms/1/fork", {"arm": "seal", "generation": 1}), ("/arms/2/fork", {"arm": "llf", "generation": 1}))
    assert [problem.message for problem in problems(raw)] == [
        "'llf' would go on from itself (seal -> llf)",
        "'seal' would go on from itself (llf -> seal)",
    ]


def test_resnet110_is_cut_in_its_second_stage_unless_the_spec_says_otherwise() -> None:
    raw = changed(("/model", {"name": "resnet110-cifar"}))
    raw.pop("train")
    raw["evaluations"] = []
    raw["arms"].append({"name": "cut", "method": {"name": "llf", "layer_threshold": "layer3"}})
    cuts = {arm.name: getattr(arm.method, "layer_threshold", None) for arm in check(raw).arms}
    assert cuts == {"normal": None, "llf": "layer2.9", "seal": "layer2.9", "cut": "layer3"}
