"""The plan as a graph: its nodes, the rows that show them, and the segments that are trained in one run."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["generation", "checkpoint", "evaluation"]
"""A node of kind `checkpoint` has weights that are imported without training."""


@dataclass(frozen=True)
class Node:
    """One unit of work.

    `parent` is the key of the generation that it continues or evaluates. `title` is for people and not part of the key.
    """

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
    """The name of the target in tables."""
    elsewhere: bool = False
    """Whether the node belongs to an earlier experiment, so that this spec does not describe how to make it."""


@dataclass(frozen=True)
class Use:
    """States that an experiment shows the node `key` in the row of `arm`, `seed` and `generation`."""

    key: str
    kind: Kind
    arm: str
    seed: int
    generation: int


@dataclass
class Plan:
    """All nodes by key, with parents before children, and the rows in which they are shown."""

    nodes: dict[str, Node] = field(default_factory=dict)
    uses: dict[Use, None] = field(default_factory=dict)
    """The rows in plan order, each once."""

    def counts(self, kind: Kind) -> dict[str, int]:
        """Returns how many nodes of `kind` the spec requests and how many of them differ."""
        return {
            "requested": sum(use.kind == kind for use in self.uses),
            "unique": sum(node.kind == kind for node in self.nodes.values()),
        }

    def add(self, node: Node, arm: str, seed: int) -> None:
        """Adds a node, unless its key is known, and shows it in the row of `arm` and `seed`."""
        self.nodes.setdefault(node.key, node)
        self.uses[
            Use(
                node.key,
                node.kind,
                arm,
                seed,
                node.generation,
            )
        ] = None


@dataclass(frozen=True)
class Segment:
    """A maximal unbranched chain of one arm's generations to train, all in one training run."""

    nodes: tuple[Node, ...]

    @property
    def parent(self) -> str | None:
        """The key of the generation that the segment continues, if there is one."""
        return self.nodes[0].parent

    @property
    def key(self) -> str:
        """The key of its last generation, which identifies the segment."""
        return self.nodes[-1].key


def segments(plan: Plan, pending: Collection[str]) -> list[Segment]:
    """Returns the segments that the `pending` generations form, parents before children."""
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
