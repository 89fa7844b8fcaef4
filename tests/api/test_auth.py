"""Who is served: tokens, and the addresses on which the server may listen."""

from pathlib import Path

import pytest

from api.auth import check_bind
from api.settings import ApiSettings
from tests.api.builders import is_problem, serving, settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    check_bind(host, None)
    check_bind(host, "secret")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.10", "relearn.example", "localhost.example", ""])
def test_any_other_host_needs_a_token(host: str) -> None:
    for token in (None, ""):
        with pytest.raises(
            ValueError, match=r"can be reached from other machines: set RELEARN_TOKEN first, or use 127\.0\.0\.1"
        ):
            check_bind(host, token)
    check_bind(host, "secret")


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


def test_the_health_check_needs_no_token(tmp_path: Path) -> None:
    with serving(settings(tmp_path, token="secret")) as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "supervisor": True, "links": {"mlflow": "http://mlflow"}},
    )


@pytest.mark.parametrize(("given", "token"), [(None, None), ("", None), ("secret", "secret")])
def test_an_empty_token_is_no_token(monkeypatch: pytest.MonkeyPatch, given: str | None, token: str | None) -> None:
    """Docker Compose passes a variable that is not set as an empty one."""
    monkeypatch.delenv("RELEARN_TOKEN", raising=False)
    if given is not None:
        monkeypatch.setenv("RELEARN_TOKEN", given)
    assert ApiSettings.from_environment().token == token
