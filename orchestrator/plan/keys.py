"""The plan: a DAG of content-keyed nodes, computed from the spec alone (architecture section 7).

A node's key digests everything that can change its result and nothing else, so equal work has equal keys: generation 0 of
Normal, LLF and SEAL is one node, and an experiment that was posted before is already done.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import evaluators
from evaluators import AnyEvaluator
from orchestrator.plan.graph import Node, Plan
from orchestrator.spec import Arm, Committed, ExperimentSpec, Weights, last_generation
from trainer import methods
from trainer.core.plugins import Plugin

GENERATION_VERSION = 2
"""Raised by hand when training would give other bits for the same settings."""


def plan(spec: ExperimentSpec) -> Plan:
    """All nodes of `spec` (already resolved): for each arm and seed its generations, then what judges them."""
    result = Plan()
    keys: dict[str, _Keys] = {}
    keys |= {arm.name: _Keys(spec, arm, keys) for arm in spec.arms}
    for seed in spec.seeds:
        for arm in spec.arms:
            if seed not in spec.seeds_of(arm):
                continue
            chain = keys[arm.name].chain(seed)
            for node in chain.values():
                result.add(node, arm.name, seed)
            for evaluation in spec.evaluations:
                for generation in spec.judged(evaluation, arm):
                    if generation not in chain:
                        continue  # before its fork from an earlier experiment, which has that row
                    for node in keys[arm.name].evaluations(evaluation.evaluator, chain[generation]):
                        result.add(node, arm.name, seed)
    return result


def digest(content: dict[str, Any]) -> str:
    """sha256 of the canonical JSON of `content`."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class _Keys:
    """The nodes of one arm. What is the same for all its seeds and generations is written out once.

    `arms` are those of all arms by name: one that many others fork from makes its chains once.
    """

    def __init__(self, spec: ExperimentSpec, arm: Arm, arms: "Mapping[str, _Keys]") -> None:
        self._spec, self._arm, self._arms = spec, arm, arms
        self._train, self._data, self._model = spec.train_of(arm), spec.data_of(arm), spec.model_of(arm)
        self._chains: dict[int, dict[int, Node]] = {}
        self._judged: dict[AnyEvaluator, list[_Judgement]] = {}
        self._methods: dict[int, tuple[dict[str, Any] | None, dict[str, Any]]] = {}

    def chain(self, seed: int) -> dict[int, Node]:
        """The generations of the arm by index, parents first; weights that are there already are one."""
        pending = [self]
        while pending:  # a loop, because arms may fork from arms hundreds deep
            arm = pending[-1]
            if arm._base is not None and seed not in arm._base._chains:
                pending.append(arm._base)
                continue
            if seed not in arm._chains:
                arm._chains[seed] = arm._chain(seed)
            pending.pop()
        return self._chains[seed]

    @property
    def _base(self) -> "_Keys | None":
        """The arm of this experiment that it goes on from."""
        fork = self._arm.fork
        return None if fork is None or fork.experiment is not None else self._arms[fork.arm]

    def _chain(self, seed: int) -> dict[int, Node]:
        arm = self._arm
        if arm.checkpoint is not None:
            node = self._checkpoint(arm.checkpoint, seed)
            return {node.generation: node}
        assert arm.method is not None
        chain = self._shared(seed)
        parent = chain[max(chain)].key if chain else None
        for generation in range(max(chain) + 1 if chain else 0, self._train.generations):
            method, code = self._method(generation)
            content = (
                self._settings | {"seed": seed, "generation": generation, "method": method, "parent": parent} | code
            )
            parent = digest(content)
            chain[generation] = Node(
                parent,
                "generation",
                chain[generation - 1].key if generation else None,
                generation,
                arm.name,
                seed,
                f"{arm.name}/seed{seed}/g{generation}",
            )
        return chain

    def evaluations(self, evaluator: AnyEvaluator, judged: Node) -> Iterator[Node]:
        """What judges the node: one for each target."""
        if evaluator not in self._judged:
            self._judged[evaluator] = list(self._judgements(evaluator))
        for each in self._judged[evaluator]:
            key = digest(each.content | {"checkpoint": judged.key})
            title = f"{judged.title}/{evaluator.name}/{each.label}"
            yield Node(
                key,
                "evaluation",
                judged.key,
                judged.generation,
                judged.arm,
                judged.seed,
                title,
                each.evaluator,
                each.target,
                each.label,
            )

    def _shared(self, seed: int) -> dict[int, Node]:
        """The generations before the arm's fork."""
        fork = self._arm.fork
        if fork is None:
            return {}
        if self._base is not None:
            chain = self._base._chains[seed]
            return {generation: node for generation, node in chain.items() if generation <= fork.generation}
        title = f"{fork.experiment}/{fork.arm}/seed{seed}/g{fork.generation}"
        node = Node(
            fork.keys[str(seed)], "generation", None, fork.generation, self._arm.name, seed, title, elsewhere=True
        )
        return {fork.generation: node}

    def _checkpoint(self, source: Committed | Weights, seed: int) -> Node:
        arm = self._arm.name
        if isinstance(source, Committed):
            generation = last_generation(self._spec, self._arm)
            title = f"{source.experiment}/{source.arm}/seed{seed}/g{generation}"
            return Node(source.keys[str(seed)], "generation", None, generation, arm, seed, title, elsewhere=True)
        content = source.model_dump(mode="json", exclude_defaults=True)
        if source.sha256 is not None:
            content.pop("uri")  # the same file elsewhere is the same checkpoint
        shape = {"model": _named(self._model), "data": _named(self._data)}
        return Node(
            digest({"kind": "checkpoint"} | content | shape), "checkpoint", None, 0, arm, seed, f"{arm}/weights"
        )

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings = {
            "kind": "generation",
            "version": GENERATION_VERSION,
            "data": _named(self._data),
            "model": _named(self._model),
            "train": self._train.model_dump(mode="json", exclude_defaults=True, exclude={"recipe", "generations"}),
        }
        if self._train.schedule.scope == "run":
            settings["generations"] = self._train.generations
        if self._train.batch_norm == "per-worker":
            settings["workers"] = self._spec.resources.workers
        return settings

    def _method(self, generation: int) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """What the method adds to the key of `generation`: its settings, and the code of one that is not ours."""
        if generation not in self._methods:
            method = self._arm.method
            assert method is not None
            identity = method.identity(generation)
            self._methods[generation] = identity, {} if identity is None else _code(methods.PLUGINS.get(method.name))
        return self._methods[generation]

    def _judgements(self, evaluator: AnyEvaluator) -> Iterator["_Judgement"]:
        code = _code(evaluators.PLUGINS.get(evaluator.name))
        for run, target in evaluator.for_model(self._model).runs(self._data):
            own, named = _named(run), _named(target)
            content = {
                "kind": "evaluation",
                "version": run.version,
                "evaluator": {name: value for name, value in own.items() if name != "targets"},
                "target": named,
            } | code
            yield _Judgement(content, own, named, target.label)


@dataclass(frozen=True)
class _Judgement:
    """An evaluator on one target: what is in its key, and the settings and label as its node has them."""

    content: dict[str, Any]
    evaluator: dict[str, Any]
    target: dict[str, Any]
    label: str


def _code(plugin: Plugin | None) -> dict[str, Any]:
    """The code of an installed package, which nobody here raises a version of; nothing for what is ours."""
    return {} if plugin is None or plugin.code_sha256 is None else {"code": plugin.code_sha256}


def _named(part: Any) -> dict[str, Any]:
    """The settings that are not at their default, and the name: a new field at its default leaves old keys alone."""
    return {**part.model_dump(mode="json", exclude_defaults=True), "name": part.name}
