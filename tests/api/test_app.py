"""The application as a whole: allowed hosts, unknown addresses, and its OpenAPI description."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.builders import TestClient, is_problem


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


def test_an_address_or_method_that_does_not_exist_is_a_problem(client: TestClient) -> None:
    assert is_problem(client.get("/nothing"), 404, "HTTP_ERROR")
    answer = client.delete("/experiments")
    assert is_problem(answer, 405, "HTTP_ERROR")
    assert answer.headers["allow"]


def test_the_description_has_the_schema_of_a_spec(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    body = description["paths"]["/experiments"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = at(description, schema["$ref"])
    assert body["required"] is True
    assert set(schema["required"]) == {"name", "data", "arms"}
    assert set(schema["properties"]) >= {"name", "data", "model", "train", "arms", "seeds", "evaluations", "resources"}


def test_every_reference_in_the_description_resolves(client: TestClient) -> None:
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
