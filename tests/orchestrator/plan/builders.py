"""Specs for the tests of the plan, their keys, and the titles of their segments."""

from typing import Any

from orchestrator.plan import Segment
from tests.orchestrator.builders import planned, small

THREE_ARMS = [{"name": name, "method": {"name": name}} for name in ("normal", "llf", "seal")]


def three_by_three(**train: Any) -> dict[str, Any]:
    """Returns a spec of three arms with three seeds and ten generations."""
    settings = {"generations": 10, "epochs": 3} | train
    return small(train=settings, arms=THREE_ARMS, seeds=[0, 1, 2], evaluations=[])


def keys(raw: dict[str, Any], kind: str = "generation") -> list[str]:
    """Returns the keys of all nodes of a kind."""
    return [key for key, each in planned(raw).nodes.items() if each.kind == kind]


def forked(*forks: tuple[str, int], generations: int = 5) -> dict[str, Any]:
    """Returns a spec with Normal and one LLF arm per fork; a fork is the name of an arm and a generation."""
    arms: list[dict[str, Any]] = [{"name": "normal", "method": {"name": "normal"}}]
    for index, (arm, generation) in enumerate(forks):
        fork = {"arm": arm, "generation": generation}
        arms.append({"name": f"llf{index}", "method": {"name": "llf"}, "fork": fork})
    return small(arms=arms, train={"generations": generations, "epochs": 3}, evaluations=[])


def shape(found: list[Segment]) -> list[tuple[str | None, list[str]]]:
    """Returns, for each segment, the title of the node that it continues and the titles of its nodes."""
    titles = {each.key: each.title for segment in found for each in segment.nodes}
    return [
        (segment.parent and titles.get(segment.parent, "done"), [each.title for each in segment.nodes])
        for segment in found
    ]
