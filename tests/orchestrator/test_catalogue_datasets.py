"""Prepared data in experiments: it is refused if it is missing, fixed by its digest, and listed in the catalogue."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.catalogue import known_datasets
from orchestrator.intake.check import check
from orchestrator.problems import InvalidSpec, Problem
from tests.orchestrator.builders import planned, small
from tests.trainer.core.data.trees import BUILDERS
from trainer.core.data import recipes
from trainer.core.data.prepare.pipeline import prepare

FEW_SHOT = {"evaluator": {"name": "few-shot", "targets": ["digits", "eurosat@cdfsl-64"], "shots": [1], "queries": 2}}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def ready(name: str, recipe: str, tmp_path: Path, root: Path) -> None:
    prepare(name, BUILDERS[name](tmp_path / name).root, root, recipes.named(recipe, name), allow_partial=True)


def problems(raw: dict[str, Any]) -> list[Problem]:
    with pytest.raises(InvalidSpec) as refused:
        check(raw)
    return refused.value.problems


def test_data_that_is_not_prepared_is_refused_when_it_is_posted(root: Path) -> None:
    found = problems(small(data={"name": "cifar100"}, evaluations=[FEW_SHOT]))
    assert [(problem.pointer, problem.code) for problem in found] == [
        ("/data", "NOT_PREPARED"),
        ("/evaluations/0/evaluator/targets/1", "NOT_PREPARED"),
    ]
    assert found[0].message.endswith(
        f"cifar100 is not in {root}: relearn data prepare cifar100 --recipe native --from DIR"
    )
    assert "relearn data prepare eurosat --recipe cdfsl-64" in found[1].message


def test_a_resolved_spec_holds_the_digests_and_is_its_own_resolution(tmp_path: Path, root: Path) -> None:
    ready("eurosat", "cdfsl-64", tmp_path, root)
    ready("tiny-imagenet", "probe-64", tmp_path, root)
    raw = small(data={"name": "tiny-imagenet", "recipe": "probe-64"}, evaluations=[FEW_SHOT])
    resolved = check(raw).model_dump(mode="json")
    assert len(resolved["data"]["digest"]) == 64
    assert resolved["data"]["partial"] is True
    digits, eurosat = resolved["evaluations"][0]["evaluator"]["targets"]
    assert digits == "digits"
    assert eurosat.startswith("eurosat@cdfsl-64#")
    assert eurosat.endswith("!partial")
    assert check(resolved).model_dump(mode="json") == resolved
    assert {node.target_label for node in planned(resolved).nodes.values() if node.kind == "evaluation"} == {
        "digits",
        "eurosat.cdfsl-64.partial",
    }


def test_other_pixels_are_other_keys(tmp_path: Path, root: Path) -> None:
    ready("tiny-imagenet", "probe-64", tmp_path, root)
    ready("tiny-imagenet", "cdfsl-64", tmp_path, root)
    plans = [planned(small(data={"name": "tiny-imagenet", "recipe": recipe})) for recipe in ("probe-64", "cdfsl-64")]
    assert set(plans[0].nodes).isdisjoint(plans[1].nodes)


def test_data_that_changed_since_the_spec_was_posted_is_refused(tmp_path: Path, root: Path) -> None:
    ready("eurosat", "cdfsl-64", tmp_path, root)
    raw = small(evaluations=[FEW_SHOT])
    resolved = check(raw).model_dump(mode="json")
    targets = resolved["evaluations"][0]["evaluator"]["targets"]
    targets[1] = targets[1].replace(targets[1][20:30], "0123456789")
    (problem,) = problems(resolved)
    assert (problem.pointer, problem.code) == ("/evaluations/0/evaluator/targets/1", "NOT_PREPARED")
    assert "the spec was posted for" in problem.message


def test_an_evaluator_that_needs_test_images_refuses_data_without_a_split(tmp_path: Path, root: Path) -> None:
    ready("eurosat", "cdfsl-64", tmp_path, root)
    probe = {"evaluator": {"name": "linear-probe", "targets": ["eurosat@cdfsl-64"]}}
    (problem,) = problems(small(evaluations=[probe]))
    assert problem.pointer == "/evaluations/0/evaluator/targets"
    assert "'eurosat.cdfsl-64' has no test split of its own, which linear-probe needs" in problem.message


def test_the_catalogue_lists_every_data_set_and_what_is_prepared(tmp_path: Path, root: Path) -> None:
    ready("eurosat", "cdfsl-64", tmp_path, root)
    items = {item["name"]: item for item in known_datasets(root)}
    assert list(items) == [
        "digits",
        "digits-noisy",
        "digits-0-4",
        "digits-5-9",
        "digits-inverted",
        "digits-rot90",
        "digits-edges",
        *BUILDERS,
    ]
    assert items["digits"]["splits"] == {"train": 901, "test": 896}
    assert (items["tiny-imagenet"]["ready"], items["eurosat"]["ready"], items["chestx"]["ready"]) == (
        False,
        True,
        False,
    )
    (cache,) = items["eurosat"]["prepared"]
    assert (cache["size"], cache["splits"], cache["partial"]) == (64, {"all": 30}, True)
    assert cache["bytes"] > 30 * 3 * 64 * 64


def test_a_broken_cache_is_listed_with_its_problem(tmp_path: Path, root: Path) -> None:
    ready("eurosat", "cdfsl-64", tmp_path, root)
    (manifest,) = root.rglob("manifest.json")
    manifest.write_text("{}")
    (item,) = [item for item in known_datasets(root) if item["name"] == "eurosat"]
    assert not item["ready"]
    assert "E_CACHE" in item["prepared"][0]["problem"]


def test_the_same_data_under_two_names_is_a_duplicate_target(tmp_path: Path, root: Path) -> None:
    ready("eurosat", "cdfsl-224", tmp_path, root)
    targets = ["eurosat", "eurosat@cdfsl-224"]
    (problem,) = problems(
        small(evaluations=[{"evaluator": {"name": "few-shot", "targets": targets, "shots": [1], "queries": 2}}])
    )
    assert (problem.pointer, problem.code) == ("/evaluations/0/evaluator/targets/1", "DUPLICATE")
