"""The plan: a DAG of content-keyed nodes, computed from the spec alone (architecture section 7).

A node's key digests everything that can change its result and nothing else, so equal work has equal keys: generation 0 of
Normal, LLF and SEAL is one node, and an experiment that was posted before is already done.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

import evaluators
from evaluators import AnyEvaluator, TransferEvaluator
from orchestrator.spec import Arm, ExperimentSpec
from trainer import methods
from trainer.core import data
from trainer.core.plugins import Plugin

GENERATION_VERSION = 2
"""Raised by hand when training would give other bits for the same settings."""

Kind = Literal["generation", "evaluation"]


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


def plan(spec: ExperimentSpec) -> Plan:
    """All nodes of `spec` (already resolved): for each arm and seed its generations, then what judges them."""
    result = Plan()
    for seed in spec.seeds:
        for arm in spec.arms:
            chain = _generations(spec, arm, seed)
            for node in chain:
                result.add(node, arm.name, seed)
            for evaluation in spec.evaluations:
                for generation in evaluation.generations(spec.train.generations):
                    for node in _evaluations(spec, evaluation.evaluator, chain[generation]):
                        result.add(node, arm.name, seed)
    return result


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


def digest(content: dict[str, Any]) -> str:
    """sha256 of the canonical JSON of `content`."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _generations(spec: ExperimentSpec, arm: Arm, seed: int) -> list[Node]:
    settings = {
        "kind": "generation",
        "version": GENERATION_VERSION,
        "data": _named(spec.data),
        "model": _named(spec.model),
        "train": spec.train.model_dump(mode="json", exclude_defaults=True, exclude={"recipe", "generations"}),
        "seed": seed,
    }
    if spec.train.schedule.scope == "run":
        settings["generations"] = spec.train.generations
    if spec.train.batch_norm == "per-worker":
        settings["workers"] = spec.resources.workers
    chain = [] if arm.fork is None else _generations(spec, spec.arm(arm.fork.arm), seed)[: arm.fork.generation + 1]
    parent = chain[-1].key if chain else None
    for generation in range(len(chain), spec.train.generations):
        method = arm.method.identity(generation)
        code = {} if method is None else _code(methods.PLUGINS.get(arm.method.name))
        key = digest(settings | {"generation": generation, "method": method, "parent": parent} | code)
        title = f"{arm.name}/seed{seed}/g{generation}"
        chain.append(Node(key, "generation", parent, generation, arm.name, seed, title))
        parent = key
    return chain


def _evaluations(spec: ExperimentSpec, evaluator: AnyEvaluator, judged: Node) -> list[Node]:
    transfers = isinstance(evaluator, TransferEvaluator)
    targets = [data.named(name) for name in evaluator.targets] if isinstance(evaluator, TransferEvaluator) else [spec.data]
    settings = _named(evaluator)
    settings.pop("targets", None)
    nodes = []
    for target in targets:
        content = {"kind": "evaluation", "version": evaluator.version, "evaluator": settings, "target": _named(target)}
        key = digest(content | {"checkpoint": judged.key} | _code(evaluators.PLUGINS.get(evaluator.name)))
        title = f"{judged.title}/{evaluator.name}/{target.label}"
        own = settings | ({"targets": [target.text()]} if transfers else {})
        nodes.append(
            Node(
                key,
                "evaluation",
                judged.key,
                judged.generation,
                judged.arm,
                judged.seed,
                title,
                own,
                _named(target),
                target.label,
            )
        )
    return nodes


def _code(plugin: Plugin | None) -> dict[str, Any]:
    """The code of an installed package, which nobody here raises a version of; nothing for what is ours."""
    return {} if plugin is None or plugin.code_sha256 is None else {"code": plugin.code_sha256}


def _named(part: Any) -> dict[str, Any]:
    """The settings that are not at their default, and the name: a new field at its default leaves old keys alone."""
    return {**part.model_dump(mode="json", exclude_defaults=True), "name": part.name}
