"""The routes of experiments: posting, reading, cancelling, and events."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.settings import ApiSettings
from orchestrator.states import ExperimentState
from orchestrator.supervisor import Supervisor
from tests.api.builders import TestClient, database, is_problem, serving, settings
from tests.orchestrator.builders import Jobs, claimed, node, planned, small


def posted(client: TestClient) -> str:
    answer = client.post("/experiments", json=small())
    assert answer.status_code == 202
    return str(answer.json()["id"])


def ended(client: TestClient, configured: ApiSettings, outcome: ExperimentState) -> str:
    """Posts an experiment and ends it; it counts as published, so that no tracking server is needed."""
    experiment = posted(client)
    with database(configured) as store:
        store.set_published(experiment)
        assert store.move(experiment, outcome)
    return experiment


def test_an_accepted_experiment_has_an_address_and_a_plan(client: TestClient) -> None:
    answer = client.post("/experiments", json=small())
    document = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/experiments/{document['id']}"
    assert "idempotency-replayed" not in answer.headers
    assert (document["name"], document["state"], document["reason"]) == ("small", "QUEUED", None)
    assert document["plan"] == {
        "generation": {"requested": 4, "unique": 3, "cached": 0},
        "evaluation": {"requested": 2, "unique": 2, "cached": 0},
    }
    assert client.get(answer.headers["location"]).json()["id"] == document["id"]


def test_the_supervisor_starts_what_was_posted(tmp_path: Path) -> None:
    base = settings(tmp_path)
    jobs = Jobs()
    with serving(replace(base, service=replace(base.service, max_running=1)), jobs) as client:
        experiment = posted(client)
        supervisor: Supervisor = client.app.state.supervisor  # type: ignore[attr-defined]
        supervisor.end()  # returns after the comparison that is running
        supervisor.tick()
    assert jobs.submitted == [(experiment, 1)]


def test_every_problem_of_a_wrong_spec_is_listed_and_nothing_is_stored(client: TestClient) -> None:
    wrong = small(trian={}, seeds=[0, 0], arms=[{"name": "a", "method": {"name": "lff"}}])
    answer = client.post("/experiments", json=wrong)
    assert is_problem(answer, 422, "INVALID_SPEC")
    document = answer.json()
    assert document["instance"] == "/experiments"
    assert document["detail"] == "3 problem(s) found; nothing was stored"
    assert sorted((each["pointer"], each["code"], each.get("suggestion")) for each in document["errors"]) == [
        ("/arms/0/method/name", "UNKNOWN_VALUE", "llf"),
        ("/seeds/1", "DUPLICATE", None),
        ("/trian", "UNKNOWN_FIELD", "train"),
    ]
    assert client.get("/experiments").json() == {"items": []}


def test_a_repeated_request_is_answered_with_the_first_ones_experiment(client: TestClient) -> None:
    body = json.dumps(small()).encode()
    first = client.post("/experiments", content=body, headers={"Idempotency-Key": "key"})
    second = client.post("/experiments", content=body, headers={"Idempotency-Key": "key"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"
    assert len(client.get("/experiments").json()["items"]) == 1


def test_a_key_with_another_body_is_refused(client: TestClient) -> None:
    headers = {"Idempotency-Key": "key"}
    client.post("/experiments", json=small(), headers=headers)
    answer = client.post("/experiments", json=small(name="other"), headers=headers)
    assert is_problem(answer, 422, "IDEMPOTENCY_KEY_REUSED")
    assert len(client.get("/experiments").json()["items"]) == 1


def test_a_refused_body_does_not_use_up_its_key(client: TestClient) -> None:
    headers = {"Idempotency-Key": "key"}
    assert client.post("/experiments", json={}, headers=headers).status_code == 422
    answer = client.post("/experiments", json=small(), headers=headers)
    assert answer.status_code == 202
    assert "idempotency-replayed" not in answer.headers


def test_a_key_that_is_too_long_is_refused(client: TestClient) -> None:
    answer = client.post("/experiments", json=small(), headers={"Idempotency-Key": "k" * 256})
    assert is_problem(answer, 422, "INVALID_PARAMETER")
    assert client.post("/experiments", json=small(), headers={"Idempotency-Key": "k" * 255}).status_code == 202


def test_experiments_are_listed_newest_first_up_to_a_limit(client: TestClient) -> None:
    ids = {posted(client) for _ in range(3)}
    items = client.get("/experiments").json()["items"]
    assert {item["id"] for item in items} == ids
    assert [item["created_at"] for item in items] == sorted((item["created_at"] for item in items), reverse=True)
    assert client.get("/experiments", params={"limit": 1}).json()["items"] == items[:1]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "many", ""])
def test_a_limit_that_makes_no_sense_is_a_problem(client: TestClient, limit: str) -> None:
    answer = client.get("/experiments", params={"limit": limit})
    assert is_problem(answer, 422, "INVALID_PARAMETER")
    assert [each["parameter"] for each in answer.json()["errors"]] == ["limit"]


def test_an_experiment_shows_its_progress(client: TestClient) -> None:
    document = client.get(f"/experiments/{posted(client)}").json()
    assert (document["state"], document["attempt"]) == ("QUEUED", 0)
    assert (document["progress"]["epochs_done"], document["progress"]["epochs_total"]) == (0, 9)
    assert [row["arm"] for row in document["rows"]] == ["normal", "seal"]


def test_the_spec_comes_back_with_everything_filled_in_and_can_be_posted_again(client: TestClient) -> None:
    spec = client.get(f"/experiments/{posted(client)}/spec").json()
    assert (spec["seeds"], spec["train"]["lr"], spec["train"]["schedule"]["shape"]) == ([0], 0.01, "cosine")
    again = client.post("/experiments", json=spec)
    assert again.status_code == 202
    assert client.get(f"{again.headers['location']}/spec").json() == spec


def test_results_come_as_tidy_rows(client: TestClient, configured: ApiSettings) -> None:
    experiment = posted(client)
    assert client.get(f"/experiments/{experiment}/results").json() == {"state": "QUEUED", "rows": []}
    key = node(planned(small()), "seal", 1, "evaluation").key
    scores = {
        name: {"value": value, "n": 896, "low": None, "high": None} for name, value in (("top1", 0.5), ("loss", None))
    }
    with database(configured) as store:
        store.finish_evaluation(claimed(store, key, experiment), "by", "accuracy", "digits-noisy", scores, {})
    rows = client.get(f"/experiments/{experiment}/results").json()["rows"]
    assert [(row["arm"], row["generation"], row["metric"], row["value"]) for row in rows] == [
        ("seal", 1, "top1", 0.5),
        ("seal", 1, "loss", None),
    ]


@pytest.mark.parametrize("path", ["", "/spec", "/results", "/events"])
def test_an_experiment_that_does_not_exist_is_a_problem(client: TestClient, path: str) -> None:
    answer = client.get(f"/experiments/exp_of_nobody{path}")
    assert is_problem(answer, 404, "NOT_FOUND")
    assert "'exp_of_nobody' does not exist" in answer.json()["detail"]


@pytest.mark.parametrize("identity", ["%00", "%F0%9F%92%A9", "..%2F..", "a" * 5000, "%27%20OR%201=1", "%ff"])
def test_a_strange_identity_does_not_exist_either(client: TestClient, identity: str) -> None:
    answer = client.get(f"/experiments/{identity}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_queued_experiment_is_cancelled_at_once(client: TestClient, configured: ApiSettings) -> None:
    experiment = posted(client)
    with database(configured) as store:
        store.set_published(experiment)
    answer = client.post(f"/experiments/{experiment}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "CANCELLED")
    assert client.get(f"/experiments/{experiment}").json()["state"] == "CANCELLED"


@pytest.mark.parametrize("state", [ExperimentState.STARTING, ExperimentState.RUNNING, ExperimentState.RECOVERING])
def test_a_live_experiment_is_being_cancelled(
    client: TestClient, configured: ApiSettings, jobs: Jobs, state: ExperimentState
) -> None:
    experiment = posted(client)
    jobs.states[experiment, 1] = "RUNNING"
    with database(configured) as store:
        store.start_attempt(experiment, state)
    answer = client.post(f"/experiments/{experiment}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "CANCELLING")
    again = client.post(f"/experiments/{experiment}/cancel")
    assert (again.status_code, again.json()["state"]) == (202, "CANCELLING")


@pytest.mark.parametrize("outcome", [ExperimentState.SUCCEEDED, ExperimentState.FAILED, ExperimentState.CANCELLED])
def test_an_experiment_that_is_over_cannot_be_cancelled(
    client: TestClient, configured: ApiSettings, outcome: ExperimentState
) -> None:
    experiment = ended(client, configured, outcome)
    answer = client.post(f"/experiments/{experiment}/cancel")
    assert is_problem(answer, 409, "ALREADY_ENDED")
    assert client.get(f"/experiments/{experiment}").json()["state"] == outcome


def test_what_does_not_exist_cannot_be_cancelled(client: TestClient) -> None:
    assert is_problem(client.post("/experiments/exp_of_nobody/cancel"), 404, "NOT_FOUND")


def test_the_events_of_an_experiment_that_is_over_are_its_view_and_the_end(
    client: TestClient, configured: ApiSettings
) -> None:
    experiment = ended(client, configured, ExperimentState.SUCCEEDED)
    answer = client.get(f"/experiments/{experiment}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    progress, end, rest = answer.text.split("\n\n")
    event, data = progress.split("\n")
    assert event == "event: progress"
    view = json.loads(data.removeprefix("data: "))
    assert (view["id"], view["state"]) == (experiment, "SUCCEEDED")
    assert (end, rest) == ("event: end\ndata: {}", "")
