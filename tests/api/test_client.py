"""The Python client: where it finds the server, and what it does against the application."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.client import Client, Refused, address
from tests.api.builders import TestClient
from tests.orchestrator.builders import small

pytestmark = pytest.mark.usefixtures("clean_environment")


def test_the_address_comes_from_the_variable_then_the_home_folder_then_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert address() == "http://127.0.0.1:8000"
    (tmp_path / ".relearn").mkdir()
    (tmp_path / ".relearn" / "services.json").write_text('{"api": "http://127.0.0.1:8001", "pid": 1}')
    assert address() == "http://127.0.0.1:8001"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "services.json").write_text('{"api": "http://127.0.0.1:8002"}')
    monkeypatch.setenv("RELEARN_HOME", str(tmp_path / "home"))
    assert address() == "http://127.0.0.1:8002"
    monkeypatch.setenv("RELEARN_URL", "https://relearn.example")
    assert address() == "https://relearn.example"


@pytest.mark.parametrize("content", ["", "{", "{}", '{"mlflow": "http://127.0.0.1:5000"}'])
def test_an_incomplete_services_file_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / ".relearn").mkdir()
    (tmp_path / ".relearn" / "services.json").write_text(content)
    assert address() == "http://127.0.0.1:8000"


@pytest.fixture
def remote(connected: TestClient) -> Iterator[Client]:
    """The Python client, connected to the application."""
    with Client() as client:
        yield client


def test_the_client_posts_reads_and_cancels(remote: Client) -> None:
    posted = remote.submit(small())
    assert [each["id"] for each in remote.experiments()] == [posted["id"]]
    assert remote.experiment(posted["id"])["progress"]["epochs_total"] == 9
    assert remote.results(posted["id"]) == []
    assert remote.health()["status"] == "ok"


def test_the_client_reads_the_catalogue(remote: Client) -> None:
    assert [remote.methods()[0]["name"], remote.evaluators()[0]["name"], remote.models()[0]["name"]] == [
        *("normal", "accuracy", "resnet-digits")
    ]


def test_the_client_lists_every_problem_with_its_suggestion(remote: Client) -> None:
    with pytest.raises(Refused) as refused:
        remote.submit(small(trian={}, seeds=[0, 0]))
    assert str(refused.value).splitlines() == [
        "The experiment's spec is invalid: 2 problem(s) found; nothing was stored",
        "  /trian: 'trian' is not a field here (did you mean 'train'?)",
        "  /seeds/1: 0 is given more than once: keep one of them",
    ]


def test_the_client_names_what_does_not_exist(remote: Client) -> None:
    with pytest.raises(Refused, match="Not found: experiment 'exp_of_nobody' does not exist"):
        remote.experiment("exp_of_nobody")


def test_an_answer_of_another_server_is_refused(remote: Client) -> None:
    """Middleware that refuses the host, or a proxy, answers with plain text or HTML instead of JSON."""
    remote._http.headers["host"] = "evil.example"
    with pytest.raises((Refused, httpx.HTTPError)):
        remote.experiments()


def test_the_client_returns_the_text_of_a_report(remote: Client, experiment: str) -> None:
    assert remote.report([experiment], "markdown").startswith("# small\n")
