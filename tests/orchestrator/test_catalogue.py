import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalogue
from orchestrator.intake.check import check
from orchestrator.plan import plan
from orchestrator.problems import InvalidSpec
from tests.orchestrator.builders import small
from tests.trainer.packages import EVALUATOR, METHOD, answer, offer
from trainer.methods import METHODS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_own_methods_are_listed_with_their_schema_and_need_no_check(tmp_path: Path) -> None:
    entries = {entry.name: entry for entry in catalogue.known_methods(tmp_path)}
    assert list(entries) == list(METHODS)
    assert all(entry.own and entry.checked and entry.problem is None for entry in entries.values())
    seal = entries["seal"]
    assert seal.package == "relearn"
    assert seal.description.startswith("In every generation >= 1 the early layers first ascend the loss")
    assert seal.schema is not None
    assert seal.schema["properties"]["ascent_scale"]["exclusiveMinimum"] == 0
    assert catalogue.unchecked(tmp_path) == {}


def test_every_entry_is_described_and_is_json(tmp_path: Path) -> None:
    entries = [*catalogue.known_methods(tmp_path), *catalogue.known_evaluators(), *catalogue.known_models()]
    assert json.loads(json.dumps([entry.as_json() for entry in entries])) == [entry.as_json() for entry in entries]
    for entry in entries:
        assert entry.description
        assert entry.schema is not None
        settings = {name: field for name, field in entry.schema["properties"].items() if name != "name"}
        assert [name for name, field in settings.items() if not field.get("description")] == []


def test_models_that_share_a_schema_are_listed_one_by_one() -> None:
    names = [entry.name for entry in catalogue.known_models()]
    assert names[:4] == ["resnet-digits", "resnet18", "resnet34", "resnet50"]
    assert [entry.name for entry in catalogue.known_evaluators()][:2] == ["accuracy", "linear-probe"]


def test_an_own_method_can_be_checked_and_leaves_no_pass(tmp_path: Path) -> None:
    findings = catalogue.check_method(tmp_path, "llf", NOW)
    assert len(findings) == 9
    assert all(finding.passed for finding in findings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["sael", "os:system", "trainer.methods.seal", ""])
def test_only_installed_methods_can_be_checked(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        catalogue.UnknownMethod, match=r"no installed package offers a method .*; known are normal, llf, seal"
    ):
        catalogue.check_method(tmp_path, name, NOW)


# --- refusing ---


def problems(raw: dict[str, Any], refused: dict[str, str]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSpec) as error:
        check(raw, refused)
    return [(problem.pointer, problem.code) for problem in error.value.problems]


def test_a_refused_method_is_one_problem_among_the_others() -> None:
    arms = [
        {"name": "a", "method": {"name": "seal", "unknown": 1}},
        {"name": "b", "method": {"name": "llf", "unknown": 1}},
        {"name": "b", "method": {"name": "seal"}},
    ]
    assert sorted(problems(small(arms=arms), {"seal": "it never passed"})) == [
        ("/arms/0/method/name", "UNCHECKED_METHOD"),
        ("/arms/1/method/unknown", "UNKNOWN_FIELD"),
        ("/arms/2/method/name", "UNCHECKED_METHOD"),
        ("/arms/2/name", "DUPLICATE"),
    ]


def test_the_reason_of_a_refused_method_is_the_message() -> None:
    with pytest.raises(InvalidSpec, match="/arms/1/method/name: it never passed"):
        check(small(), {"seal": "it never passed"})
    assert check(small()) == check(small(), {"llf": "it never passed"})


@pytest.mark.parametrize(
    "arms", [None, 3, "seal", {"method": {"name": "seal"}}, [3], [{"method": 3}], [{"method": {"name": [1]}}]]
)
def test_malformed_arms_have_other_problems(arms: object) -> None:
    assert "UNCHECKED_METHOD" not in [code for _, code in problems(small(arms=arms), {"seal": "it never passed"})]


# --- packages, in processes that see them ---

SCRIPT = """
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from orchestrator import catalogue
from orchestrator.intake.check import check
from orchestrator.problems import InvalidSpec
from orchestrator.plan import plan
from tests.orchestrator.builders import small

home, now = Path(sys.argv[1]), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

def entries(found):
    return {e.name: [e.package, e.version, e.own, e.checked, e.problem] for e in found if not e.own}

def problems(raw):
    try:
        check(raw, catalogue.unchecked(home))
        return []
    except InvalidSpec as error:
        return [problem.as_json() for problem in error.problems]

def keys(method, evaluator):
    raw = small(arms=[{"name": "a", "method": {"name": method}}], evaluations=[{"evaluator": {"name": evaluator}}])
    return list(plan(check(raw)).nodes)

def arms(*names):
    return small(arms=[{"name": name, "method": {"name": name}} for name in names])

def halve():
    return [[f.name, f.passed] for f in catalogue.check_method(home, "halving", now)]
"""


def answer_of(site: Path, home: Path, expression: str) -> Any:
    return answer(site, f"{SCRIPT}\nprint(json.dumps([{expression}]))", str(home))


def test_a_packages_method_is_refused_until_it_has_passed_and_again_when_its_code_changes(tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    site.mkdir()
    source = offer(site, "half-life", METHOD, "halving = half_life:Halving")
    offer(site, "broken", "1 / 0", "own = broken:Own")
    remedy = "run `relearn check-method halving`"
    never = f"'halving' of the package half-life has not passed its check on this installation: {remedy}"
    unloaded = "broken:Own cannot be loaded: ZeroDivisionError: division by zero"

    listed, refused, unknown, findings, accepted, entry, broken = answer_of(
        site,
        home,
        "entries(catalogue.known_methods(home)), problems(arms('normal', 'halving')), problems(arms('own')), halve(), "
        "problems(arms('halving')), entries(catalogue.known_methods(home))['halving'], "
        "[[f.name, f.passed, f.detail] for f in catalogue.check_method(home, 'own', now)]",
    )
    assert listed == {
        "halving": ["half-life", "1.0", False, False, never],
        "own": ["broken", "1.0", False, False, unloaded],
    }
    assert refused == [{"pointer": "/arms/1/method/name", "code": "UNCHECKED_METHOD", "message": never}]
    message = f"'own' cannot be used: the package broken: {unloaded}"
    assert [(each["pointer"], each["code"], each["message"]) for each in unknown] == [
        ("/arms/0/method/name", "UNKNOWN_VALUE", message)
    ]
    assert all(passed for _, passed in findings)
    assert (accepted, entry) == ([], ["half-life", "1.0", False, True, None])
    assert broken == [["loads", False, unloaded]]
    (passed,) = json.loads((home / catalogue.FILE).read_text()).items()
    assert passed[0] == "halving"
    assert {**passed[1], "code_sha256": len(passed[1]["code_sha256"])} == {
        "package": "half-life",
        "version": "1.0",
        "code_sha256": 64,
        "checked_at": "2026-01-02T03:04:05+00:00",
    }

    source.write_text("import torch\n" + METHOD.replace(".mul_(self.factor)", ".add_(0.1 * torch.randn(()))"))
    again, findings, after = answer_of(site, home, "problems(arms('halving')), halve(), problems(arms('halving'))")
    changed = f"the code of 'halving' has changed since it passed its check on 2026-01-02T03:04:05+00:00: {remedy}"
    assert [each["message"] for each in again] == [changed]
    assert {name for name, passed in findings if not passed} == {"deterministic", "resumes", "isolated"}
    assert [each["message"] for each in after] == [never]
    assert json.loads((home / catalogue.FILE).read_text()) == {}


def test_a_method_is_refused_if_its_code_changed_after_it_was_loaded(tmp_path: Path) -> None:
    source = offer(tmp_path, "half-life", METHOD, "halving = half_life:Halving")
    first, (_, second) = answer_of(
        tmp_path,
        tmp_path / "home",
        "catalogue.unchecked(home)['halving'], "
        f"[Path({str(source)!r}).write_text(''), catalogue.unchecked(home)['halving']]",
    )
    assert first.startswith("'halving' of the package half-life has not passed")
    assert second == (
        "the code of 'halving' has changed since this process loaded it: run `relearn check-method halving`, "
        "and start the service again"
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"halving": {}}', '{"halving": "passed"}', "\xff"])
def test_a_malformed_record_has_no_pass(tmp_path: Path, content: str) -> None:
    (tmp_path / catalogue.FILE).write_text(content, encoding="latin-1")
    assert catalogue.unchecked(tmp_path) == {}
    assert catalogue._read(tmp_path) == {}


def test_a_packages_code_is_part_of_the_keys_of_its_own_nodes_only(tmp_path: Path) -> None:
    method = offer(tmp_path, "half-life", METHOD, "halving = half_life:Halving")
    evaluator = offer(tmp_path, "norms", EVALUATOR, "norm = norms:Norm", group="relearn.evaluators")
    expression = "keys('halving', 'norm'), keys('llf', 'accuracy')"
    (first, *later, evaluation), ours = answer_of(tmp_path, tmp_path, expression)
    assert first == ours[0]
    plain = small(arms=[{"name": "a", "method": {"name": "llf"}}], evaluations=[{"evaluator": {"name": "accuracy"}}])
    assert ours == list(plan(check(plain)).nodes)

    evaluator.write_text(EVALUATOR + "\n")
    (same, *also_same, evaluation_again), _ = answer_of(tmp_path, tmp_path, expression)
    assert [same, *also_same] == [first, *later]
    assert evaluation_again != evaluation
    method.write_text(METHOD + "\n")
    (same, changed, _), ours_still = answer_of(tmp_path, tmp_path, expression)
    assert (same, ours_still) == (first, ours)
    assert changed not in later
