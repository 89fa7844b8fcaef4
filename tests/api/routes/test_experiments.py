import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.settings import ApiSettings
from orchestrator.supervisor import Supervisor
from tests.api.builders import TestClient, database, is_problem, serving, settings
from tests.orchestrator.builders import Jobs, claimed, node, planned, small


@pytest.fixture
def configured(tmp_path: Path) -> ApiSettings:
    return settings(tmp_path / "home")


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def client(configured: ApiSettings, jobs: Jobs) -> Iterator[TestClient]:
    with serving(configured, jobs) as client:
        yield client


def posted(client: TestClient) -> str:
    answer = client.post("/experiments", json=small())
    assert answer.status_code == 202
    return str(answer.json()["id"])


def ended(client: TestClient, configured: ApiSettings, outcome: str) -> str:
    """An experiment that is over, and published so that nobody asks the tracking server."""
    experiment = posted(client)
    with database(configured) as store:
        store.set_published(experiment)
        assert store.move(experiment, outcome)
    return experiment


# --- posting ---


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
        supervisor.end()  # waits for a comparison that is going on
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


def test_a_key_that_comes_with_another_body_is_refused(client: TestClient) -> None:
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


# --- reading ---


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


def test_an_address_or_method_that_does_not_exist_is_a_problem(client: TestClient) -> None:
    assert is_problem(client.get("/nothing"), 404, "HTTP_ERROR")
    answer = client.delete("/experiments")
    assert is_problem(answer, 405, "HTTP_ERROR")
    assert answer.headers["allow"]


# --- cancelling ---


def test_a_queued_experiment_is_cancelled_at_once(client: TestClient, configured: ApiSettings) -> None:
    experiment = posted(client)
    with database(configured) as store:
        store.set_published(experiment)
    answer = client.post(f"/experiments/{experiment}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "CANCELLED")
    assert client.get(f"/experiments/{experiment}").json()["state"] == "CANCELLED"


@pytest.mark.parametrize("state", ["STARTING", "RUNNING", "RECOVERING"])
def test_a_live_experiment_is_being_cancelled(
    client: TestClient, configured: ApiSettings, jobs: Jobs, state: str
) -> None:
    experiment = posted(client)
    jobs.states[experiment, 1] = "RUNNING"
    with database(configured) as store:
        store.start_attempt(experiment, state)
    answer = client.post(f"/experiments/{experiment}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "CANCELLING")
    again = client.post(f"/experiments/{experiment}/cancel")
    assert (again.status_code, again.json()["state"]) == (202, "CANCELLING")


@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED", "CANCELLED"])
def test_an_experiment_that_is_over_cannot_be_cancelled(
    client: TestClient, configured: ApiSettings, outcome: str
) -> None:
    experiment = ended(client, configured, outcome)
    answer = client.post(f"/experiments/{experiment}/cancel")
    assert is_problem(answer, 409, "ALREADY_ENDED")
    assert client.get(f"/experiments/{experiment}").json()["state"] == outcome


def test_what_does_not_exist_cannot_be_cancelled(client: TestClient) -> None:
    assert is_problem(client.post("/experiments/exp_of_nobody/cancel"), 404, "NOT_FOUND")


# --- events ---


def test_the_events_of_an_experiment_that_is_over_are_its_view_and_the_end(
    client: TestClient, configured: ApiSettings
) -> None:
    experiment = ended(client, configured, "SUCCEEDED")
    answer = client.get(f"/experiments/{experiment}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    progress, end, rest = answer.text.split("\n\n")
    event, data = progress.split("\n")
    assert event == "event: progress"
    told = json.loads(data.removeprefix("data: "))
    assert (told["id"], told["state"]) == (experiment, "SUCCEEDED")
    assert (end, rest) == ("event: end\ndata: {}", "")


# --- who may ask ---


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
    ],
)
def test_only_the_hosts_that_are_allowed_are_served(client: TestClient, host: str, status: int) -> None:
    assert client.get("/experiments", headers={"Host": host}).status_code == status


REQUESTS = [
    ("GET", "/experiments"),
    ("POST", "/experiments"),
    ("GET", "/experiments/exp_of_nobody"),
    ("GET", "/experiments/exp_of_nobody/events"),
    ("POST", "/experiments/exp_of_nobody/cancel"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_with_a_token_every_request_needs_it(tmp_path: Path, method: str, path: str) -> None:
    with serving(settings(tmp_path, token="secret")) as client:
        for header in (
            "",
            "secret",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secret2",
            "Basic secret",
            "Bearer sécret",
        ):
            answer = client.request(method, path, headers={b"Authorization": header.encode()} if header else {})
            assert is_problem(answer, 401, "UNAUTHENTICATED"), header
        allowed = client.request(method, path, headers={"Authorization": "Bearer secret"})
        assert allowed.status_code in (200, 400, 404)
        assert (
            client.request(method, path, headers={"authorization": "bearer secret"}).status_code == allowed.status_code
        )


def test_whether_it_is_healthy_anybody_may_ask(tmp_path: Path) -> None:
    with serving(settings(tmp_path, token="secret")) as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "supervisor": True, "links": {"mlflow": "http://mlflow"}},
    )


@pytest.mark.parametrize(("given", "token"), [(None, None), ("", None), ("secret", "secret")])
def test_an_empty_token_is_no_token(monkeypatch: pytest.MonkeyPatch, given: str | None, token: str | None) -> None:
    """compose passes a variable that was not set as an empty one."""
    monkeypatch.delenv("RELEARN_TOKEN", raising=False)
    if given is not None:
        monkeypatch.setenv("RELEARN_TOKEN", given)
    assert ApiSettings.from_environment().token == token


# --- the description ---


def test_the_description_says_what_may_be_posted(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    body = description["paths"]["/experiments"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = at(description, schema["$ref"])
    assert body["required"] is True
    assert set(schema["required"]) == {"name", "data", "arms"}
    assert set(schema["properties"]) >= {"name", "data", "model", "train", "arms", "seeds", "evaluations", "resources"}


def test_every_reference_in_the_description_leads_somewhere(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    references = list(references_in(description))
    assert references
    for reference in references:
        assert at(description, reference), reference


def references_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        yield from part.get("discriminator", {}).get("mapping", {}).values()
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from references_in(inner)


def at(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document.get(step, {})
    return document
