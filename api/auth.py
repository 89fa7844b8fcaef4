"""A bearer token for every request, where one is configured (RELEARN_TOKEN). Needed to listen anywhere but on loopback."""

import hmac
import ipaddress

from fastapi import Request

from api.problems import ApiProblem

OPEN = ("/healthz",)


def require_token(expected: str | None, request: Request) -> None:
    """Raises ApiProblem 401 unless the request carries the configured token."""
    if expected is None or request.url.path in OPEN:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), expected.encode()):
        raise ApiProblem(401, "UNAUTHENTICATED", "Not authenticated", "send Authorization: Bearer <RELEARN_TOKEN>")


def check_bind(host: str, token: str | None) -> None:
    """Raises ValueError for listening beyond this machine without a token."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not token:
        raise ValueError(f"host {host} can be reached from other machines: set RELEARN_TOKEN first, or use 127.0.0.1")
