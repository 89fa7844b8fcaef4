"""What a capsule says, that nobody changed it, and how two of them compare."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import intake
from orchestrator.plan import plan
from orchestrator.problems import InvalidSpec
from orchestrator.results.capsule import Capsule, Measured, capsule_of, is_capsule, opened
from orchestrator.results.verdict import INTERVAL, MISSING, OTHER_WEIGHTS, SAME_WEIGHTS, UNDEFINED, verdict
from orchestrator.states import ExperimentState, Reason
from orchestrator.store import Store
from tests.orchestrator.builders import CPU, Clock, claimed, finished, node, planned, resolved, small, submitted

PLAN = planned(small())
G0, N1, S1 = (node(PLAN, arm, generation).key for arm, generation in (("normal", 0), ("normal", 1), ("seal", 1)))
N1_ACCURACY, S1_ACCURACY = (node(PLAN, arm, 1, "evaluation").key for arm in ("normal", "seal"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=Clock(1_764_000_000.0))
    yield store
    store.close()


def made(store: Store, experiment: str) -> Capsule:
    row = store.experiment(experiment)
    assert row is not None
    return capsule_of(store, row, 1_764_000_100.0)


def test_a_capsule_has_every_node_once_in_plan_order_with_what_came_of_it(store: Store) -> None:
    experiment = finished(store)
    found = made(store, experiment)
    assert found.spec == resolved(small())
    assert found.generated_at == "2025-11-24T16:01:40.000+00:00"
    assert (found.experiment.id, found.experiment.state) == (experiment, "SUCCEEDED")
    assert set(found.versions) == {"python", "relearn", "torch", "torchvision", "ray", "mlflow", "numpy"}
    assert (found.data, found.episodes) == (["digits-noisy#aa"], ["ee"])
    assert [(each.title, each.kind, each.key) for each in found.nodes] == [
        ("normal/seed0/g0", "generation", G0),
        ("normal/seed0/g1", "generation", N1),
        ("normal/seed0/g1/accuracy/digits-noisy", "evaluation", N1_ACCURACY),
        ("seal/seed0/g1", "generation", S1),
        ("seal/seed0/g1/accuracy/digits-noisy", "evaluation", S1_ACCURACY),
    ]
    assert [each.title for each in found.nodes if each.kind == "generation"] == [
        each.title for each in PLAN.nodes.values() if each.kind == "generation"
    ]
    weights = hashlib.sha256(b"seal/seed0/g1").hexdigest()
    generation, evaluation = found.nodes[3:]
    assert (generation.weights_sha256, generation.judged_sha256, generation.fingerprint) == (weights, weights, CPU)
    assert set(generation.results) == {"test_accuracy/last", "test_accuracy/best"}
    assert (evaluation.weights_sha256, evaluation.judged_sha256) == (None, weights)
    assert (evaluation.made_by, evaluation.state) == (f"{experiment}/seal/seed0/g1/accuracy/digits-noisy", "SUCCEEDED")
    assert evaluation.results == {"top1": Measured(value=0.75, low=0.73, high=0.77, n=896)}
    assert (evaluation.version, evaluation.settings, evaluation.digests) == (2, {"batch_size": 64}, {"5shot": "ee"})


def test_what_is_not_done_has_no_results(store: Store) -> None:
    found = made(store, submitted(store))
    assert {each.state for each in found.nodes} == {"QUEUED"}
    assert {each.title for each in found.nodes} == {
        "normal/seed0/g0",
        "normal/seed0/g1",
        "normal/seed0/g1/not judged",
        "seal/seed0/g1",
        "seal/seed0/g1/not judged",
    }
    assert all(each.results == {} and each.made_by is None and each.fingerprint is None for each in found.nodes)


def test_the_seal_is_the_digest_of_the_canonical_content(store: Store) -> None:
    document = made(store, finished(store)).model_dump(mode="json")
    content = {name: part for name, part in document.items() if name != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert document["sha256"] == hashlib.sha256(canonical).hexdigest()
    through_a_file = json.loads(json.dumps(document, indent=1))
    assert opened(through_a_file).model_dump(mode="json") == document


def test_a_capsule_is_told_from_a_spec(store: Store) -> None:
    assert is_capsule(made(store, submitted(store)).model_dump(mode="json"))
    assert not is_capsule(small())
    assert not is_capsule([{"relearn_capsule": 1}])


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    content = {name: part for name, part in document.items() if name != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return content | {"sha256": hashlib.sha256(canonical).hexdigest()}


def test_a_capsule_that_was_changed_is_refused(store: Store) -> None:
    document = made(store, finished(store)).model_dump(mode="json")
    changed = json.loads(json.dumps(document))
    changed["nodes"][2]["results"]["top1"]["value"] = 0.76
    with pytest.raises(
        InvalidSpec, match=r"/sha256: the content has sha256 [0-9a-f]{64}: it was changed since it was exported"
    ):
        opened(changed)
    with pytest.raises(InvalidSpec, match="/sha256"):
        opened({name: part for name, part in document.items() if name != "sha256"})
    with pytest.raises(InvalidSpec, match="/relearn_capsule: this version reads capsules of format 1, got '2'"):
        opened(sealed(document | {"relearn_capsule": 2}))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"nodes": [{}]}, "/nodes/0/title"),
        ({"spec": 3}, "/spec"),
        ({"more": 1}, "/more"),
        ({"versions": {"torch": None}}, "/versions/torch"),
    ],
)
def test_a_seal_is_no_excuse_for_another_shape(store: Store, change: dict[str, Any], pointer: str) -> None:
    document = made(store, submitted(store)).model_dump(mode="json")
    with pytest.raises(InvalidSpec) as caught:
        opened(sealed(document | change))
    assert caught.value.problems[0].pointer == pointer


def test_the_spec_in_a_capsule_means_the_same_work(store: Store) -> None:
    """The resolved spec is read like any that is posted, and is a fixed point of reading."""
    spec = made(store, finished(store)).spec
    read = intake.read_spec(spec, store)
    assert read.model_dump(mode="json") == spec
    assert plan(read).nodes.keys() == PLAN.nodes.keys()


def test_a_posted_capsule_is_kept_with_its_experiment(store: Store) -> None:
    document = made(store, finished(store)).model_dump(mode="json")
    again, _ = store.submit("small", resolved(small()), PLAN, capsule=document)
    assert store.capsule_of(again) == document
    assert store.capsule_of(submitted(store)) is None


# --- verdicts ---


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Store]:
    """A fresh installation."""
    store = Store(f"sqlite:///{tmp_path / 'elsewhere.db'}", now=Clock(1_764_009_999.0))
    yield store
    store.close()


def test_the_same_bits_are_the_same(store: Store, elsewhere: Store) -> None:
    said = verdict(made(store, finished(store)), made(elsewhere, finished(elsewhere)))
    assert said["verdict"] == "same"
    assert said["nodes"] == {"compared": 5, "anew": 5, "found": 0, "same_work": 0}
    assert said["scores"] == {"compared": 8, "equal": 8, "within": 0, "outside": 0, "rules": {}}
    assert (said["first_outside"], said["first_other_bits"], said["first_other_data"]) == (None, None, None)
    assert said["notes"] == ["5 of 5 nodes were made anew, 0 were found"]


def test_what_is_found_again_proves_nothing_and_that_is_said(store: Store) -> None:
    there = made(store, finished(store))
    said = verdict(there, made(store, finished(store)))
    assert said["verdict"] == "same"
    assert said["nodes"] == {"compared": 5, "anew": 0, "found": 5, "same_work": 5}
    assert said["notes"][1] == (
        "5 of the nodes found are the very work that the capsule describes, which proves nothing: "
        "check it with a fresh RELEARN_HOME"
    )


def test_what_other_experiments_did_here_is_found_but_not_the_same_work(store: Store, elsewhere: Store) -> None:
    there = made(store, finished(store))
    finished(elsewhere)
    assert verdict(there, made(elsewhere, finished(elsewhere)))["nodes"] == {
        "compared": 5,
        "anew": 0,
        "found": 5,
        "same_work": 0,
    }


def test_scores_whose_noise_overlaps_enough_are_the_same_within_noise(store: Store, elsewhere: Store) -> None:
    """Both intervals are +-0.02, so the joint noise is 0.02 sqrt(2) = 0.02828."""
    there = made(store, finished(store))
    said = verdict(there, made(elsewhere, finished(elsewhere, normal=0.778, seal=0.722)))
    assert said["verdict"] == "same within noise"
    assert said["scores"] == {"compared": 8, "equal": 6, "within": 2, "outside": 0, "rules": {INTERVAL: 2}}


def test_the_first_node_in_plan_order_that_is_outside_is_named_with_both_values(store: Store, elsewhere: Store) -> None:
    there = made(store, finished(store))
    said = verdict(there, made(elsewhere, finished(elsewhere, normal=0.779, seal=0.1)))
    assert said["verdict"] == "differs at node normal/seed0/g1/accuracy/digits-noisy"
    assert said["scores"]["outside"] == 2
    assert said["first_outside"] == {
        "node": "normal/seed0/g1/accuracy/digits-noisy",
        "metric": "top1",
        "there": {"value": 0.75, "low": 0.73, "high": 0.77, "n": 896},
        "here": {"value": 0.779, "low": pytest.approx(0.759), "high": pytest.approx(0.799), "n": 896},
        "difference": pytest.approx(0.029),
        "allowed": pytest.approx(0.02 * math.sqrt(2)),
        "rule": INTERVAL,
    }


@pytest.mark.parametrize("state", ["QUEUED", "CANCELLED"])
def test_an_experiment_that_did_not_finish_has_no_verdict_yet(store: Store, elsewhere: Store, state: str) -> None:
    there = made(store, finished(store))
    here = submitted(elsewhere)
    if state == "CANCELLED":
        elsewhere.cancel(here)
    said = verdict(there, made(elsewhere, here))
    assert (said["verdict"], said["state"]) == ("not finished", state)


def test_what_failed_here_is_missing(store: Store, elsewhere: Store) -> None:
    there = made(store, finished(store))
    here = submitted(elsewhere)
    elsewhere.start_attempt(here, ExperimentState.RUNNING)
    elsewhere.fail_node(claimed(elsewhere, G0, here), Reason.DIVERGED, "loss is nan")
    elsewhere.move(here, ExperimentState.FAILED, reason=Reason.DIVERGED)
    said = verdict(there, made(elsewhere, here))
    assert said["verdict"] == "differs at node normal/seed0/g0"
    assert (said["first_outside"]["metric"], said["first_outside"]["rule"]) == ("weights", MISSING)
    assert said["scores"]["outside"] == said["scores"]["compared"] == 3 + 8


def changed(capsule: Capsule, number: int, **values: Any) -> Capsule:
    """`capsule` with other values at one of its nodes."""
    nodes = [each.model_copy(update=values) if at == number else each for at, each in enumerate(capsule.nodes)]
    return capsule.model_copy(update={"nodes": nodes})


def test_other_weights_alone_are_no_difference_but_are_told(store: Store) -> None:
    there = made(store, finished(store))
    said = verdict(there, changed(there, 3, weights_sha256="f" * 64))
    assert (said["verdict"], said["first_other_bits"]) == ("same within noise", "seal/seed0/g1")
    assert (
        "weights differ in their bits, first at seal/seed0/g1; that alone is no difference in result" in said["notes"]
    )


def test_other_data_or_episodes_are_told(store: Store) -> None:
    there = made(store, finished(store))
    said = verdict(there, changed(there, 4, digests={"5shot": "ff"}))
    assert said["first_other_data"] == "seal/seed0/g1/accuracy/digits-noisy"
    assert said["notes"][-1] == "data or episodes have other digests, first at seal/seed0/g1/accuracy/digits-noisy"


def test_other_versions_are_told(store: Store) -> None:
    there = made(store, finished(store))
    here = there.model_copy(update={"versions": there.versions | {"torch": "9.9"}})
    assert verdict(there, here)["notes"][-1] == f"torch is 9.9 here, {there.versions['torch']} there"


def test_under_other_keys_nodes_are_compared_by_title(store: Store) -> None:
    """Two of them have one title, and are told apart by where they stand."""
    there = made(store, finished(store))
    twin = there.nodes[4].model_copy(update={"key": "b" * 64, "results": {"top1": score(0.1)}})
    there = there.model_copy(update={"nodes": [*there.nodes, twin]})
    nodes = [each.model_copy(update={"key": hashlib.sha256(each.key.encode()).hexdigest()}) for each in there.nodes]
    here = there.model_copy(update={"nodes": nodes})
    said = verdict(there, here)
    assert (said["verdict"], said["nodes"]["compared"], said["scores"]["compared"]) == ("same", 6, 9)
    assert said["notes"][2] == (
        "this version gives other keys: the method changed since the capsule was made; nodes are compared by title"
    )
    assert verdict(there, changed(here, 5, results={"top1": score(0.2)}))["verdict"].startswith(
        "differs at node seal/seed0/g1/"
    )


def score(value: float | None, low: float | None = None, high: float | None = None) -> Measured:
    return Measured(value=value, low=low, high=high, n=10)


@pytest.mark.parametrize(
    ("there", "here", "same_weights", "inside", "rule"),
    [
        (score(1.0, 0.9, 1.3), score(1.4, 1.0, 1.5), True, True, INTERVAL),  # sqrt(0.3^2 + 0.4^2) = 0.5 >= 0.4
        (score(1.4, 1.0, 1.5), score(1.0, 0.9, 1.3), True, True, INTERVAL),
        (score(1.0, 0.9, 1.3), score(1.51, 1.11, 1.6), True, False, INTERVAL),
        (
            score(1.0, 0.0, 1.1),
            score(1.2, 1.1, 9.0),
            True,
            False,
            INTERVAL,
        ),  # only the sides that face each other count
        (score(1.0, 0.0, 2.0), score(2.4), True, True, INTERVAL),  # sqrt(1 + 1)
        (score(1.0, 0.0, 2.0), score(2.5), True, False, INTERVAL),
        (score(1000.0), score(1001.0), True, True, SAME_WEIGHTS),
        (score(1000.0), score(1002.0), True, False, SAME_WEIGHTS),
        (score(-1000.0), score(-1001.0), True, True, SAME_WEIGHTS),
        (score(10.0), score(5.1), False, True, OTHER_WEIGHTS),
        (score(10.0), score(4.9), False, False, OTHER_WEIGHTS),
        (score(1e-9), score(-1e-9), False, False, OTHER_WEIGHTS),
        (score(None), score(1.0), True, False, UNDEFINED),
        (score(None), score(None), True, True, UNDEFINED),
    ],
)
def test_the_rules(store: Store, there: Measured, here: Measured, same_weights: bool, inside: bool, rule: str) -> None:
    capsule = made(store, finished(store))
    other = {} if same_weights else {"judged_sha256": "f" * 64}
    said = verdict(changed(capsule, 2, results={"a": there}), changed(capsule, 2, results={"a": here}, **other))
    assert said["verdict"].startswith("same") is inside
    assert said["scores"]["rules"] == ({} if there == here else {rule: 1})
