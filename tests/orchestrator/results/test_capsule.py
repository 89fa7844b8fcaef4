"""The contents of a capsule, and its seal."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import intake
from orchestrator.plan import plan
from orchestrator.problems import InvalidSpec
from orchestrator.results.capsule import Measured, is_capsule, opened
from orchestrator.store import Store
from tests.orchestrator.builders import CPU, Clock, finished, resolved, small, submitted
from tests.orchestrator.results.builders import G0, N1, N1_ACCURACY, PLAN, S1, S1_ACCURACY, capsule


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'relearn.db'}", now=Clock(1_764_000_000.0))
    yield store
    store.close()


def test_a_capsule_has_every_node_once_in_plan_order_with_its_outcome(store: Store) -> None:
    experiment = finished(store)
    found = capsule(store, experiment)
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


def test_unfinished_nodes_have_no_results(store: Store) -> None:
    found = capsule(store, submitted(store))
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
    document = capsule(store, finished(store)).model_dump(mode="json")
    content = {name: part for name, part in document.items() if name != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert document["sha256"] == hashlib.sha256(canonical).hexdigest()
    through_a_file = json.loads(json.dumps(document, indent=1))
    assert opened(through_a_file).model_dump(mode="json") == document


def test_a_capsule_is_distinguished_from_a_spec(store: Store) -> None:
    assert is_capsule(capsule(store, submitted(store)).model_dump(mode="json"))
    assert not is_capsule(small())
    assert not is_capsule([{"relearn_capsule": 1}])


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    content = {name: part for name, part in document.items() if name != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return content | {"sha256": hashlib.sha256(canonical).hexdigest()}


def test_a_capsule_that_was_changed_is_refused(store: Store) -> None:
    document = capsule(store, finished(store)).model_dump(mode="json")
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
def test_a_valid_seal_does_not_allow_other_fields(store: Store, change: dict[str, Any], pointer: str) -> None:
    document = capsule(store, submitted(store)).model_dump(mode="json")
    with pytest.raises(InvalidSpec) as caught:
        opened(sealed(document | change))
    assert caught.value.problems[0].pointer == pointer


def test_the_spec_in_a_capsule_has_the_same_plan(store: Store) -> None:
    """The resolved spec is read as a posted spec, and reading it does not change it."""
    spec = capsule(store, finished(store)).spec
    read = intake.read_spec(spec, store)
    assert read.model_dump(mode="json") == spec
    assert plan(read).nodes.keys() == PLAN.nodes.keys()


def test_a_posted_capsule_is_stored_with_its_experiment(store: Store) -> None:
    document = capsule(store, finished(store)).model_dump(mode="json")
    again, _ = store.submit("small", resolved(small()), PLAN, capsule=document)
    assert store.capsule_of(again) == document
    assert store.capsule_of(submitted(store)) is None
