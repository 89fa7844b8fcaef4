"""Settings of the API server, from RELEARN_* environment variables."""

import os
from dataclasses import dataclass

from orchestrator.settings import Settings


@dataclass(frozen=True)
class ApiSettings:
    """What the API server needs beside the settings of the installation (`service`)."""

    service: Settings
    token: str | None
    """The bearer token of every request; None if requests need none."""
    allowed_hosts: tuple[str, ...]
    """The values of the Host header that are served."""
    links: dict[str, str]
    """The addresses of the dashboards as a browser reaches them; GET /healthz returns them."""

    @staticmethod
    def from_environment() -> "ApiSettings":
        """Reads the environment. Raises ValueError for an invalid value."""
        service = Settings.from_environment()
        hosts = os.environ.get("RELEARN_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
        links = {
            "mlflow": os.environ.get("RELEARN_MLFLOW_LINK", service.tracking_uri),
            "ray": os.environ.get("RELEARN_RAY_LINK", service.ray_address),
        }
        return ApiSettings(service, os.environ.get("RELEARN_TOKEN") or None, tuple(hosts.split(",")), links)
