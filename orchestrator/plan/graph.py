"""The plan as a graph: nodes, where experiments show them, and the chains that are trained in one piece."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["generation", "checkpoint", "evaluation"]
"""A checkpoint is weights from elsewhere, brought in without training."""


@dataclass(frozen=True)
class Node:
    """One unit of work. `parent` is the generation it continues or judges; `title` names it to people, not to the key."""

    key: str
    kind: Kind
    parent: str | None
    generation: int
    arm: str
    seed: int
    title: str
    evaluator: dict[str, Any] | None = None
    target: dict[str, Any] | None = None
    target_label: str = ""
    """What tables call the target."""
    elsewhere: bool = False
    """Whether the node is of an earlier experiment, so that this spec does not say how to make it."""


@dataclass(frozen=True)
class Use:
    """That an experiment shows node `key` in the row `arm`, `seed`, `generation`."""

    key: str
    kind: Kind
    arm: str
    seed: int
    generation: int


@dataclass
class Plan:
    """`nodes` in an order where parents come first; `uses` say where each shows up."""

    nodes: dict[str, Node] = field(default_factory=dict)
    uses: dict[Use, None] = field(default_factory=dict)
    """In order, each once."""

    def counts(self, kind: Kind) -> dict[str, int]:
        """How many nodes of `kind` the spec asks for and how many differ."""
        return {
            "requested": sum(use.kind == kind for use in self.uses),
            "unique": sum(node.kind == kind for node in self.nodes.values()),
        }

    def add(self, node: Node, arm: str, seed: int) -> None:
        self.nodes.setdefault(node.key, node)
        self.uses[Use(node.key, node.kind, arm, seed, node.generation)] = None


@dataclass(frozen=True)
class Segment:
    """A maximal unbranched chain of one arm's generations still to train, served as one piece of a Ray Train run."""

    nodes: tuple[Node, ...]

    @property
    def parent(self) -> str | None:
        return self.nodes[0].parent

    @property
    def key(self) -> str:
        """Of its last generation, which no other segment has."""
        return self.nodes[-1].key


def segments(plan: Plan, pending: Collection[str]) -> list[Segment]:
    """The chains that the `pending` generations form, parents before children."""
    todo = {key: node for key, node in plan.nodes.items() if node.kind == "generation" and key in pending}
    children: dict[str | None, list[Node]] = {}
    for node in todo.values():
        children.setdefault(node.parent, []).append(node)
    heads = [
        node
        for node in todo.values()
        if node.parent not in todo or len(children[node.parent]) > 1 or todo[node.parent].arm != node.arm
    ]
    chains = []
    for head in heads:
        chain = [head]
        while len(following := children.get(chain[-1].key, [])) == 1 and following[0].arm == head.arm:
            chain.append(following[0])
        chains.append(Segment(tuple(chain)))
    return chains
