"""The API server's own settings, from RELEARN_* environment variables."""

import os
from dataclasses import dataclass

from orchestrator.settings import Settings


@dataclass(frozen=True)
class ApiSettings:
    """`links` are the addresses that a person may open, told by GET /healthz."""

    service: Settings
    token: str | None
    allowed_hosts: tuple[str, ...]
    links: dict[str, str]

    @staticmethod
    def from_environment() -> "ApiSettings":
        service = Settings.from_environment()
        hosts = os.environ.get("RELEARN_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
        links = {
            "mlflow": os.environ.get("RELEARN_MLFLOW_LINK", service.tracking_uri),
            "ray": os.environ.get("RELEARN_RAY_LINK", service.ray_address),
        }
        return ApiSettings(service, os.environ.get("RELEARN_TOKEN") or None, tuple(hosts.split(",")), links)
