"""Whatever is posted, the answer is an accepted experiment or a problem document, never an internal error."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api import body
from api.problems import ApiProblem
from tests.api.builders import TestClient, is_problem, serving
from tests.api.builders import settings as configured
from tests.orchestrator.builders import small

GOOD = json.dumps(small()).encode()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(configured(tmp_path_factory.mktemp("body"))) as client:
        yield client


def put_in(fragment: bytes) -> bytes:
    """Returns the good spec with `fragment` as one more member."""
    return GOOD[:-1] + b", " + fragment + b"}"


def nested(depth: int) -> bytes:
    return put_in(b'"a": ' + b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "Expecting value"),
        (b" \n", "Expecting value"),
        (b"{", "Expecting property name"),
        (GOOD + b"}", "Extra data"),
        (GOOD + GOOD, "Extra data"),
        (b"{'name': 1}", "Expecting property name"),
        (put_in(b'"a": NaN'), "NaN is not a JSON number"),
        (put_in(b'"a": Infinity'), "Infinity is not a JSON number"),
        (put_in(b'"a": -Infinity'), "-Infinity is not a JSON number"),
        (put_in(b'"a": 1e999'), ""),
        (put_in(b'"a": -1e999'), ""),
        (put_in(b'"name": "again"'), "'name' appears twice in one object"),
        (put_in(b'"a": {"b": 1, "\\u0062": 2}'), "'b' appears twice in one object"),
        (put_in(b'"a": "\\ud800"'), "not valid Unicode"),
        (put_in(b'"\\udc00": 1'), "not valid Unicode"),
        (put_in(b'"a": "\\ud800", "a": 1'), ""),
        (put_in(b'"a": "\xff"'), "not valid Unicode"),
        (put_in(b'"a": "\xed\xa0\x80"'), "not valid Unicode"),
        (b"\xef\xbb\xbf" + GOOD, "BOM"),
        (json.dumps(small()).encode("utf-16"), "not valid Unicode"),
        (put_in(b'"a": "\x00"'), "Invalid control character"),
        (nested(32), "nested deeper than 32 levels"),
        (nested(900), "nested deeper than 32 levels"),
        (b"[" * 100_000, "nested deeper than 32 levels"),
        (b'{"a":' * 40_000, "nested deeper than 32 levels"),
        (put_in(b'"a": ' + b"9" * 5000), "integer"),
        (put_in(b'"a": 01'), "delimiter"),
    ],
)
def test_what_is_not_plain_json_is_refused(client: TestClient, raw: bytes, why: str) -> None:
    answer = client.post("/experiments", content=raw)
    assert is_problem(answer, 400, "INVALID_JSON")
    assert why in answer.json()["detail"]


@pytest.mark.parametrize(
    ("raw", "pointer", "code"),
    [
        (nested(31), "/a", "UNKNOWN_FIELD"),
        (put_in(b'"a\\u0000b": 1'), "/a\x00b", "UNKNOWN_FIELD"),
        (put_in(b'"a": "' + b"[{" * 1000 + b'"'), "/a", "UNKNOWN_FIELD"),
        (put_in(b'"": 1'), "/", "UNKNOWN_FIELD"),
        (put_in(b'"seeds": [' + b"9" * 4000 + b"]"), "/seeds/0", "OUT_OF_RANGE"),
        (put_in(b'"seeds": [-' + b"9" * 4000 + b"]"), "/seeds/0", "OUT_OF_RANGE"),
        (put_in(b'"seeds": [1e300]'), "/seeds/0", "WRONG_TYPE"),
        (GOOD.replace(b'"epochs": 3', b'"epochs": ' + b"9" * 4000), "/train/epochs", "OUT_OF_RANGE"),
        (GOOD.replace(b'"epochs": 3', b'"lr": ' + b"9" * 4000), "/train/lr", "OUT_OF_RANGE"),
        (GOOD.replace(b'["last"]', b"[" + b"9" * 4000 + b"]"), "/evaluations/0/on/0", "OUT_OF_RANGE"),
        (GOOD.replace(b'"small"', b'"sm\\u0000all"'), "/name", "OUT_OF_RANGE"),
        (GOOD.replace(b'"small"', '"ſmall"'.encode()), "/name", "OUT_OF_RANGE"),
        (b"null", "", "WRONG_TYPE"),
        (b"[]", "", "WRONG_TYPE"),
        (b'"text"', "", "WRONG_TYPE"),
        (b"1", "", "WRONG_TYPE"),
    ],
)
def test_json_that_is_not_a_spec_gets_every_problem(client: TestClient, raw: bytes, pointer: str, code: str) -> None:
    answer = client.post("/experiments", content=raw)
    assert is_problem(answer, 422, "INVALID_SPEC")
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [(pointer, code)]


def test_a_body_of_300_kilobytes_is_too_large(client: TestClient) -> None:
    answer = client.post("/experiments", content=GOOD + b" " * 300_000)
    assert is_problem(answer, 413, "BODY_TOO_LARGE")


def test_a_body_in_pieces_is_measured_as_it_arrives(client: TestClient) -> None:
    pieces = iter([b" " * 1000] * 300)
    assert is_problem(client.post("/experiments", content=pieces), 413, "BODY_TOO_LARGE")
    assert client.post("/experiments", content=iter([GOOD[:50], GOOD[50:]])).status_code == 202


def test_the_largest_body_is_read(client: TestClient) -> None:
    padded = GOOD + b" " * (body.MAX_BYTES - len(GOOD))
    assert client.post("/experiments", content=padded).status_code == 202
    assert client.post("/experiments", content=padded + b" ").status_code == 413


def test_a_repeated_name_among_many_is_found_within_seconds() -> None:
    names = [f'"{index:05}":1' for index in range(25_000)]
    raw = ("{" + ",".join([*names, names[-1]]) + "}").encode()
    assert len(raw) < body.MAX_BYTES
    began = time.process_time()
    with pytest.raises(ApiProblem, match="'24999' appears twice"):
        body.parse(raw)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": [1, 2.5, -0.0, 1e3, true, null, "x"]}', {"a": [1, 2.5, -0.0, 1000.0, True, None, "x"]}),
        (b'"\\ud83d\\ude00 \\u0000 \\"[{"', '\U0001f600 \x00 "[{'),
        (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
        (b'["[[[[", "\\\\", "]"]', ["[[[[", "\\", "]"]),
        (b'{"a": {"a": 1}, "b": {"a": 1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b"9" * 4000, 10**4000 - 1),
    ],
)
def test_plain_json_is_read_as_it_is(raw: bytes, value: Any) -> None:
    assert body.parse(raw) == value


def check_answer(client: TestClient, raw: bytes) -> None:
    answer = client.post("/experiments", content=raw)
    assert answer.status_code in (202, 400, 413, 422)
    if answer.status_code == 202:
        assert answer.headers["content-type"] == "application/json"
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
@example(b'{"name":"\xc0\xaf"}')
def test_any_bytes_get_an_answer(client: TestClient, raw: bytes) -> None:
    check_answer(client, raw)


FIELDS = [
    "name",
    "data",
    "model",
    "train",
    "arms",
    "seeds",
    "evaluations",
    "method",
    "evaluator",
    "on",
    "targets",
    "epochs",
]
WORDS = st.sampled_from([*FIELDS, "digits", "normal", "seal", "accuracy", "few-shot", "resnet-digits"]) | st.text(
    max_size=4
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)
TEXTS = st.builds(lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only), JSON, st.booleans())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TEXTS)
def test_any_json_gets_an_answer(client: TestClient, text: str) -> None:
    check_answer(client, text.encode())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(small())), JSON)
def test_the_good_spec_with_any_part_replaced_gets_an_answer(client: TestClient, part: str, value: Any) -> None:
    check_answer(client, json.dumps(small(**{part: value})).encode())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, len(GOOD)), st.integers(0, 20), st.binary(max_size=8))
def test_the_good_spec_with_bytes_overwritten_gets_an_answer(
    client: TestClient, at: int, length: int, other: bytes
) -> None:
    check_answer(client, GOOD[:at] + other + GOOD[at + length :])
