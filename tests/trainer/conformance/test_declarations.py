"""Tests that correct methods pass, and that settings, phases and groups are checked before anything is trained."""

from typing import Any

import pytest
import torch
from pydantic import Field

from tests.trainer.conformance.builders import Own, failed
from trainer.conformance.checks import check_method
from trainer.methods import METHODS
from trainer.methods.base import Method, Phase, Scale


@pytest.mark.parametrize("name", ["seal", "sa-gd", "born-again"])
def test_a_correct_method_passes(name: str) -> None:
    """The methods have phases, memory and a teacher, respectively."""
    before = torch.get_rng_state(), torch.get_num_threads()
    findings = check_method(METHODS[name])
    assert [finding.name for finding in findings if not finding.passed] == []
    assert [finding.name for finding in findings] == [
        *("settings", "phases", "trains", "deterministic", "resumes", "shares", "forks", "twins", "isolated")
    ]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_a_method_that_is_not_registered_can_be_checked() -> None:
    assert "own" not in METHODS
    assert failed(Own) == {}


class Undescribed(Own):
    """Has a setting without a description."""

    scale: float = 1.0


class Required(Own):
    """Has a setting without a default."""

    scale: float = Field(description="how much")


class Loose(Own, extra="allow"):
    """Accepts any field."""


class Contradicting(Own):
    """Has defaults that do not fit the model."""

    def problems(self, epochs: int | None, parameter_names: list[str]) -> list[tuple[str, str]]:
        return [("scale", "is too large")]


class Nameless(Own):
    """Has an identity that another method could have too."""

    def identity(self, generation: int) -> dict[str, Any] | None:
        return {"scale": 1.0}


class Unwritable(Own):
    """Has an identity that is not JSON."""

    def identity(self, generation: int) -> dict[str, Any] | None:
        return {"name": self.name, "kind": type(self)}


class Gap(Own):
    """Leaves out the last epoch."""

    def phases(self, generation: int, epochs: int) -> list[Phase]:
        return [Phase("learning", range(epochs - 1))]


class Lost(Own):
    """Leaves out the last parameter."""

    def groups(self, parameter_names: list[str]) -> dict[str, list[str]]:
        return {"all": parameter_names[:-1]}


class Misnamed(Own):
    """Scales a group that does not exist, which the loop would ignore."""

    def phases(self, generation: int, epochs: int) -> list[Phase]:
        return [Phase("learning", range(epochs), {"early": Scale(lr=-1.0)})]


@pytest.mark.parametrize(
    ("kind", "finding", "message"),
    [
        (Undescribed, "settings", "scale must say what it does: give it Field(..., description=...)"),
        (Required, "settings", "scale must have a default: nothing but the name is needed to try a method"),
        (Loose, "settings", 'keep frozen=True and extra="forbid" in model_config'),
        (Contradicting, "settings", "scale: is too large (these are the default settings)"),
        (Nameless, "settings", "identity(0) must be None or hold the name"),
        (Unwritable, "settings", "is not JSON serializable"),
        (Gap, "phases", "phases(0, 1) must cover range(0, 1) in order, got range(0, 0)"),
        (Lost, "phases", "groups() must put every parameter into exactly one group"),
        (Misnamed, "phases", "phases(0, 1) scales early, but groups() makes all"),
    ],
)
def test_the_declarations_of_a_method_are_checked_first(kind: type[Method], finding: str, message: str) -> None:
    *passed, last = check_method(kind)
    assert all(each.passed for each in passed)
    assert (last.name, last.passed) == (finding, False)
    assert message in last.detail


def test_a_method_without_a_docstring_fails() -> None:
    class Silent(Own):
        pass

    assert failed(Silent) == {"settings": "Silent must have a docstring: the catalogue shows it"}
