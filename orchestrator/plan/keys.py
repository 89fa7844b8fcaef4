"""The content keys of a plan's nodes, computed from the spec alone (architecture section 7).

The key of a node is a digest of everything that can change its result and of nothing else, so equal work has equal
keys. For example, generation 0 of Normal, LLF and SEAL is one node, and an experiment that was posted before is done.
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
from trainer.core.models import AnyModel
from trainer.core.plugins import Plugin

GENERATION_VERSION = 2
"""A part of every generation's key. It must be increased if training gives other bits for the same settings."""


def plan(spec: ExperimentSpec) -> Plan:
    """Returns the plan of a resolved `spec`: for each seed and arm the generations and then their evaluations."""
    result = Plan()
    planners: dict[str, _ArmPlanner] = {}
    planners |= {arm.name: _ArmPlanner(spec, arm, planners) for arm in spec.arms}
    for seed in spec.seeds:
        for arm in spec.arms:
            if seed not in spec.seeds_of(arm):
                continue
            chain = planners[arm.name].chain(seed)
            for node in chain.values():
                result.add(node, arm.name, seed)
            for evaluation in spec.evaluations:
                for generation in spec.evaluated_generations(evaluation, arm):
                    if generation not in chain:
                        continue  # precedes the fork from an earlier experiment, which shows that row
                    for node in planners[arm.name].evaluations(evaluation.evaluator, chain[generation]):
                        result.add(node, arm.name, seed)
    return result


def digest(content: dict[str, Any]) -> str:
    """Returns the SHA-256 of the canonical JSON of `content`, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class _ArmPlanner:
    """Makes the nodes of one arm. It caches the settings that all its seeds and generations share.

    `planners` has the planners of all arms by name, so that the chains of an arm with many forks are made only once.
    """

    def __init__(self, spec: ExperimentSpec, arm: Arm, planners: "Mapping[str, _ArmPlanner]") -> None:
        self._spec, self._arm, self._planners = spec, arm, planners
        self._train, self._data, self._model = spec.train_of(arm), spec.data_of(arm), spec.model_of(arm)
        self._chains: dict[int, dict[int, Node]] = {}
        self._targets: dict[AnyEvaluator, list[_TargetEvaluation]] = {}
        self._methods: dict[int, tuple[dict[str, Any] | None, dict[str, Any]]] = {}

    def chain(self, seed: int) -> dict[int, Node]:
        """Returns the generations of the arm by index, parents first. Existing weights are one generation."""
        pending = [self]
        while pending:  # a loop, because hundreds of arms may fork one from the other
            planner = pending[-1]
            if planner._base is not None and seed not in planner._base._chains:
                pending.append(planner._base)
                continue
            if seed not in planner._chains:
                planner._chains[seed] = planner._chain(seed)
            pending.pop()
        return self._chains[seed]

    @property
    def _base(self) -> "_ArmPlanner | None":
        """The planner of the arm of this experiment from which the arm forks, if it does."""
        fork = self._arm.fork
        return None if fork is None or fork.experiment is not None else self._planners[fork.arm]

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

    def evaluations(self, evaluator: AnyEvaluator, evaluated: Node) -> Iterator[Node]:
        """Yields the evaluations of the node `evaluated`, one for each target of the evaluator."""
        if evaluator not in self._targets:
            self._targets[evaluator] = list(self._target_evaluations(evaluator))
        for each in self._targets[evaluator]:
            key = digest(each.content | {"checkpoint": evaluated.key})
            title = f"{evaluated.title}/{evaluator.name}/{each.label}"
            yield Node(
                key,
                "evaluation",
                evaluated.key,
                evaluated.generation,
                evaluated.arm,
                evaluated.seed,
                title,
                each.evaluator,
                each.target,
                each.label,
            )

    def _shared(self, seed: int) -> dict[int, Node]:
        """Returns the generations that the arm shares with the arm from which it forks."""
        fork = self._arm.fork
        if fork is None:
            return {}
        if self._base is not None:
            chain = self._base._chains[seed]
            return {generation: node for generation, node in chain.items() if generation <= fork.generation}
        title = f"{fork.experiment}/{fork.arm}/seed{seed}/g{fork.generation}"
        node = Node(
            fork.keys[str(seed)],
            "generation",
            None,
            fork.generation,
            self._arm.name,
            seed,
            title,
            elsewhere=True,
        )
        return {fork.generation: node}

    def _checkpoint(self, source: Committed | Weights, seed: int) -> Node:
        arm = self._arm.name
        if isinstance(source, Committed):
            generation = last_generation(self._spec, self._arm)
            title = f"{source.experiment}/{source.arm}/seed{seed}/g{generation}"
            return Node(
                source.keys[str(seed)],
                "generation",
                None,
                generation,
                arm,
                seed,
                title,
                elsewhere=True,
            )
        content = source.model_dump(mode="json", exclude_defaults=True)
        if source.sha256 is not None:
            content.pop("uri")  # a file is the same checkpoint wherever it is stored
        shape = {"model": _network(self._model), "data": _named(self._data)}
        return Node(
            digest({"kind": "checkpoint"} | content | shape),
            "checkpoint",
            None,
            0,
            arm,
            seed,
            f"{arm}/weights",
        )

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings = {
            "kind": "generation",
            "version": GENERATION_VERSION,
            "data": _named(self._data),
            "model": _network(self._model),
            "train": self._train.model_dump(mode="json", exclude_defaults=True, exclude={"recipe", "generations"}),
        }
        if self._train.schedule.scope == "run":
            settings["generations"] = self._train.generations
        if self._train.batch_norm == "per-worker":
            settings["workers"] = self._spec.resources.workers
        return settings

    def _method(self, generation: int) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Returns what the method adds to the key of `generation`: its settings and the code of a package."""
        if generation not in self._methods:
            method = self._arm.method
            assert method is not None
            identity = method.identity(generation)
            self._methods[generation] = identity, {} if identity is None else _code(methods.PLUGINS.get(method.name))
        return self._methods[generation]

    def _target_evaluations(self, evaluator: AnyEvaluator) -> Iterator["_TargetEvaluation"]:
        code = _code(evaluators.PLUGINS.get(evaluator.name))
        for run, target in evaluator.for_model(self._model).runs(self._data):
            own, named = _named(run), _named(target)
            content = {
                "kind": "evaluation",
                "version": run.version,
                "evaluator": {name: value for name, value in own.items() if name != "targets"},
                "target": named,
            } | code
            yield _TargetEvaluation(content, own, named, target.label)


@dataclass(frozen=True)
class _TargetEvaluation:
    """An evaluator on one target: the content of its key, and the settings and label of its node."""

    content: dict[str, Any]
    evaluator: dict[str, Any]
    target: dict[str, Any]
    label: str


def _code(plugin: Plugin | None) -> dict[str, Any]:
    """Returns the digest of a package's code, which has no version number in the key; nothing for built-in code."""
    return {} if plugin is None or plugin.code_sha256 is None else {"code": plugin.code_sha256}


def _network(model: AnyModel) -> dict[str, Any]:
    """Returns the name, the non-default settings and, after the first version, the version of a network."""
    return _named(model) | ({"version": model.version} if model.version > 1 else {})


def _named(part: Any) -> dict[str, Any]:
    """Returns the name and the non-default settings, so that a new field does not change old keys."""
    return {**part.model_dump(mode="json", exclude_defaults=True), "name": part.name}
