"""Checks the Docker files without Docker: they publish no port beyond loopback, require tokens, and hold no secret."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = ("mlflow", "ray-head", "ray-worker", "api")


def test_all_services_are_defined() -> None:
    assert set(COMPOSE["services"]) == {"postgres", *SERVICES}


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_nothing_is_published_beyond_loopback(service: str) -> None:
    for port in COMPOSE["services"][service].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("service", SERVICES)
def test_the_containers_have_no_privileges(service: str) -> None:
    settings = COMPOSE["services"][service]
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", ["ray-head", "ray-worker", "api"])
def test_ray_requires_a_token_in_every_service(service: str) -> None:
    environment = COMPOSE["services"][service]["environment"]
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
    assert COMPOSE["services"][service]["secrets"] == ["ray_token"]
    assert environment["RELEARN_TOKEN"] == "${RELEARN_TOKEN:?}"


def test_no_file_holds_a_secret() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    for name in re.findall(r"(?:PASSWORD|TOKEN)[\"']?: +\"?([^\s\",}]+)", text):
        assert name.startswith("${"), name
    given = [line for line in (DOCKER / ".env.example").read_text().splitlines() if not line.startswith("#")]
    assert given == ["POSTGRES_PASSWORD=", "RELEARN_TOKEN="]


def test_mlflow_runs_no_jobs_and_checks_the_host() -> None:
    mlflow = COMPOSE["services"]["mlflow"]
    assert mlflow["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    command = shlex.split(mlflow["command"])
    assert "mlflow:5000" in command[command.index("--allowed-hosts") + 1].split(",")


def test_head_and_worker_share_their_storage() -> None:
    for service in ("ray-head", "ray-worker"):
        assert "data:/data" in COMPOSE["services"][service]["volumes"]
        assert COMPOSE["services"][service]["environment"]["RELEARN_STORAGE"].startswith("/data/")


def test_every_setting_named_here_is_one_that_the_code_reads() -> None:
    code = "".join(
        path.read_text() for folder in ("api", "orchestrator") for path in (DOCKER.parent / folder).rglob("*.py")
    )
    named = {
        name
        for service in SERVICES
        for name in COMPOSE["services"][service]["environment"]
        if name.startswith("RELEARN_")
    }
    assert named
    assert {name for name in named if f'"{name}"' not in code} == set()


def test_the_image_runs_as_an_ordinary_user_and_copies_every_package() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    assert lines[-1] == "USER relearn"
    assert any(re.fullmatch(r"FROM python:3\.1[123]-\S+", line) for line in lines)
    for package in ("trainer", "evaluators", "orchestrator", "api"):
        assert f"COPY {package} {package}" in lines
