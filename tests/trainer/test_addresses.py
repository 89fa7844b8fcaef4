"""docs/replay.md has the address of every draw that training makes, and no other."""

import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.builders import EVERY_METHOD, label, run, small_spec
from trainer.core import seeding

DOCS = (Path(__file__).parents[2] / "docs" / "replay.md").read_text()
WORDS = {
    "SEED": "7",
    "GENERATION": r"\d+",
    "EPOCH": r"\d+",
    "STEP": r"\d+",
    "LAYER": r"[a-z][a-z0-9.]*",
    "NAME": r"[a-z][a-z0-9.]*",
    "NOISE_SEED": "0",
}


def documented() -> dict[str, re.Pattern[str]]:
    """The addresses of the tables in the docs, as patterns."""
    addresses = re.findall(r"^\| `([A-Z0-9_]+/[^`]+)`", DOCS, re.MULTILINE)
    return {
        each: re.compile(
            "/".join(
                re.sub("[A-Z_]+", lambda word: WORDS.get(word[0], ".*"), part).replace(".weight", r"\.weight")
                for part in each.split("/")
            )
        )
        for each in addresses
    }


def drawn(method: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **train: Any) -> set[str]:
    """The texts from which the generators of a run are seeded."""
    texts: set[str] = set()

    def recorded(text: bytes, digest_size: int) -> Any:
        texts.add(text.decode())
        return blake2b(text, digest_size=digest_size)

    monkeypatch.setattr(seeding, "blake2b", recorded)
    run(small_spec(method, **({"generations": 3, "epochs": 2} | train)))
    return texts


MORE: list[dict[str, Any]] = [
    {"name": "llf", "redraw_bias": True},
    {"name": "ke", "split": "wels"},
]


@pytest.mark.parametrize("method", [*EVERY_METHOD, *MORE], ids=label)
def test_every_draw_of_training_has_its_address_in_the_docs(
    method: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns = documented().values()
    texts = drawn(method, monkeypatch)
    assert texts
    assert [text for text in texts if not any(pattern.fullmatch(text) for pattern in patterns)] == []


def test_every_address_of_training_in_the_docs_is_drawn_by_some_method(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: set[str] = set()
    for method in [*EVERY_METHOD, *MORE]:
        texts |= drawn(method, monkeypatch)
    of_training = {
        each: pattern
        for each, pattern in documented().items()
        if each.startswith("SEED/") and each.split("/")[1] in ("init", "order", "augment", "forget", "mask", "anneal")
    }
    assert len(of_training) == 9
    assert [each for each, pattern in of_training.items() if not any(map(pattern.fullmatch, texts))] == []


def test_the_law_is_that_of_the_docs() -> None:
    number = int.from_bytes(blake2b(b"7/forget/1/layer3.0.conv1.weight", digest_size=8).digest(), "big") % 2**63
    expected = torch.rand(3, generator=torch.Generator().manual_seed(number))
    found = torch.rand(3, generator=seeding.generator(7, "forget", 1, "layer3.0.conv1.weight"))
    assert torch.equal(found, expected)
