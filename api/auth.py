"""Authentication: every request needs the bearer token RELEARN_TOKEN if one is set.

A token is required to listen on any address other than loopback.
"""

import hmac
import ipaddress

from fastapi import Request

from api.problems import ApiProblem

OPEN = ("/healthz",)
"""Paths that need no token."""


def require_token(expected: str | None, request: Request) -> None:
    """Checks the request's bearer token; without a configured token every request passes.

    Raises ApiProblem (401) if the token is missing or wrong.
    """
    if expected is None or request.url.path in OPEN:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), expected.encode()):
        detail = "send the header Authorization: Bearer <RELEARN_TOKEN>"
        raise ApiProblem(401, "UNAUTHENTICATED", "Not authenticated", detail)


def check_bind(host: str, token: str | None) -> None:
    """Raises ValueError if `host` can be reached from other machines and no token is set."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not token:
        raise ValueError(f"host {host} can be reached from other machines: set RELEARN_TOKEN first, or use 127.0.0.1")
