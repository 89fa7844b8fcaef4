"""Any JSON document gives a spec or problems, and never another error."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.intake.check import check
from orchestrator.problems import InvalidSpec
from tests.orchestrator.intake.builders import EXAMPLE, steps_of

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
