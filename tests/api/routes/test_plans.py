"""POST /experiments/plan."""

import json
from pathlib import Path

import pytest

from api import body
from api.deps import cluster_of
from tests.api.builders import FakeCluster, database, is_problem, plan_of, serving, settings
from tests.orchestrator.builders import small

pytestmark = pytest.mark.usefixtures("clean_environment")


def test_a_plan_counts_as_posting_does_and_stores_nothing(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client, database(settings(tmp_path)) as store:
        found = plan_of(client, small())
        assert store.experiments() == []
        posted = client.post("/experiments", json=small()).json()["plan"]["generation"]
        assert {name: found["nodes"]["generation"][name] for name in posted} == posted
        after = plan_of(client, small())["nodes"]["generation"]
        assert after == {"requested": 4, "unique": 3, "cached": 0, "in_flight": 3, "to_do": 0}


def test_a_preset_and_a_grid_may_be_planned(tmp_path: Path) -> None:
    grid = [{"name": "seal", "method": {"name": "seal"}, "grid": {"ascent_scale": [0.1, 1, 10]}}]
    with serving(settings(tmp_path)) as client:
        assert plan_of(client, {"preset": "paper/all"})["epochs"] == {
            "separate": 43368,
            "shared": 26328,
            "cached": 0,
            "in_flight": 0,
            "to_do": 26328,
        }
        assert plan_of(client, small(arms=grid, evaluations=[]))["nodes"]["generation"]["unique"] == 1 + 3


def test_data_that_is_not_prepared_is_a_warning_here_and_a_mistake_when_it_is_posted(tmp_path: Path) -> None:
    raw = small(data={"name": "cifar10"})
    with serving(settings(tmp_path)) as client:
        warnings = {warning["code"]: warning for warning in plan_of(client, raw)["warnings"]}
        assert warnings["NOT_PREPARED"]["pointer"] == "/data"
        assert "relearn data prepare cifar10" in warnings["NOT_PREPARED"]["message"]
        assert is_problem(client.post("/experiments", json=raw), 422, "INVALID_SPEC")


def test_a_wrong_spec_is_answered_with_every_problem(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client:
        answer = client.post("/experiments/plan", json=small(train={"epochs": 0}, seeds=[1, 1]))
        assert is_problem(answer, 422, "INVALID_SPEC")
        assert {error["pointer"] for error in answer.json()["errors"]} == {"/train/epochs", "/seeds/1"}
        assert is_problem(client.post("/experiments/plan", content=b"{"), 400, "INVALID_JSON")
        assert is_problem(client.post("/experiments/plan?measure=perhaps", json=small()), 422, "INVALID_PARAMETER")


def test_only_a_capsule_may_be_larger_than_a_spec(tmp_path: Path) -> None:
    padding = b" " * body.MAX_BYTES
    with serving(settings(tmp_path)) as client:
        answer = client.post("/experiments/plan", content=json.dumps(small()).encode() + padding)
        assert is_problem(answer, 413, "BODY_TOO_LARGE")
        capsule = json.dumps({"relearn_capsule": 1}).encode()
        assert is_problem(client.post("/experiments/plan", content=capsule + padding), 422, "INVALID_SPEC")


def test_the_cluster_is_asked_for_a_timing_run_only_with_measure(tmp_path: Path) -> None:
    cluster = FakeCluster()
    with serving(settings(tmp_path)) as client:
        client.app.dependency_overrides[cluster_of] = lambda: cluster  # type: ignore[attr-defined]
        assert [each["code"] for each in plan_of(client, small())["warnings"]] == ["SINGLE_SEED"]
        assert cluster.requests == []
        codes = [each["code"] for each in plan_of(client, small(), measure=True)["warnings"]]
        assert (codes, len(cluster.requests)) == (["SINGLE_SEED", "NOT_TIMED"], 1)


def test_a_cluster_that_is_away_leaves_the_rest_of_the_answer(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as client:
        found = plan_of(client, small(seeds=[0, 1]))
    assert [each["code"] for each in found["warnings"]] == ["CLUSTER_AWAY"]
    assert found["quote"]["wall_hours"]["lanes"] is None


def test_a_plan_needs_the_token_too(tmp_path: Path) -> None:
    with serving(settings(tmp_path, token="secret")) as client:
        assert is_problem(client.post("/experiments/plan", json=small()), 401, "UNAUTHENTICATED")
