"""One experiment as the report reads it: its result rows, indexed once, and what its spec states about them.

The spec is read as raw JSON, so that an experiment that was posted under earlier code, or with a package that is no
longer installed, still has a report.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator import results
from orchestrator.spec.tables import Cell, ReportTable
from orchestrator.states import NodeState
from orchestrator.store import Store
from orchestrator.store.records import EpochRow, Experiment, NodeUse, WarningRow
from trainer.core import data

Curves = dict[str, dict[str, list[float | None]]]


@dataclass(frozen=True)
class Sample:
    """One score of one arm after one generation: a result row for each seed, all evaluated under one protocol."""

    evaluator: str
    metric: str
    dataset: str
    protocol: str
    """Version and settings of the evaluator as JSON. Scores under different protocols mean different things."""
    rows: dict[int, dict[str, Any]]
    """The result row of each seed."""
    others: int
    """The number of further protocols under which the same score was evaluated."""

    @property
    def values(self) -> dict[int, float]:
        """The score of each seed that has one; a score that is not a finite number is left out."""
        return {seed: row["value"] for seed, row in self.rows.items() if row["value"] is not None}

    @property
    def nodes(self) -> frozenset[str]:
        """The keys of the nodes that measured the score."""
        return frozenset(row["node"] for row in self.rows.values())


class Source:
    """All that the database holds of `experiment`. In a report, `label` stands for the experiment."""

    def __init__(self, store: Store, experiment: Experiment, label: str) -> None:
        self._store = store
        self.experiment, self.label = experiment, label
        self.id = experiment.id
        self.spec = experiment.spec
        self.arms: dict[str, dict[str, Any]] = {arm["name"]: arm for arm in self.spec["arms"]}
        self._index: dict[tuple[str, int, str, str], dict[str, dict[str, dict[int, dict[str, Any]]]]] = {}
        self._protocols: dict[str, str] = {}
        self._ranks: dict[str, int] = {}
        details: dict[str, dict[str, Any]] = {}
        for row in results.result_rows(store, experiment):
            details[row["node"]] = row["details"]
            place = row["arm"], row["generation"], row["evaluator"], row["metric"]
            by_protocol = self._index.setdefault(place, {}).setdefault(row["dataset"], {})
            by_protocol.setdefault(self._protocol(row), {})[row["seed"]] = row
        self.details = list(details.values())
        """The details of each evaluation, such as its settings and the digests of its data, once per node."""

    # --- what the spec states ---

    @cached_property
    def tables(self) -> tuple[ReportTable, ...]:
        """The tables that the spec asks for."""
        return tuple(ReportTable.model_validate_json(json.dumps(table)) for table in self.spec.get("tables") or ())

    def part(self, arm: str, name: str) -> dict[str, Any]:
        """The settings `data`, `model` or `train` of an arm: its own, or else those of the experiment."""
        found: dict[str, Any] = self.arms[arm].get(name) or self.spec[name]
        return found

    def last_generation(self, arm: str) -> int:
        """The index of the arm's last generation. An imported checkpoint stands for one generation."""
        if checkpoint := self.arms[arm].get("checkpoint"):
            return int(checkpoint.get("generation") or 0)
        return int(self.part(arm, "train")["generations"]) - 1

    def evaluated_generations(self, arm: str, evaluator: str, dataset: str | None = None) -> list[int]:
        """The generations of `arm` that the spec has `evaluator` evaluate, on `dataset` if one is given, in order.

        The evaluator `training` stands for the measurements of training itself, which cover every generation.
        """
        total = self.last_generation(arm) + 1
        ready = self.arms[arm].get("checkpoint") is not None
        if evaluator == "training":
            return [] if ready else list(range(total))
        words: dict[Any, Iterable[int]] = {"first": [0], "last": [total - 1], "every": range(total)}
        found: set[int] = set()
        asked = [
            each
            for each in self.spec["evaluations"]
            if each["evaluator"]["name"] == evaluator and (each.get("arms") is None or arm in each["arms"])
        ]
        # a data set that no target names, for instance under a label of earlier code, may belong to any of them
        named = any(
            _aims_at(each, dataset) for each in self.spec["evaluations"] if each["evaluator"]["name"] == evaluator
        )
        for each in asked:
            if not named or _aims_at(each, dataset):
                moments: list[Any] = ["last"] if ready else each["on"]
                for moment in moments:
                    found.update(words.get(moment, [moment]))
        return sorted(found)

    def transfers(self, evaluator: str) -> bool:
        """Whether the evaluator uses other data than the arms were trained on."""
        return any(
            each["evaluator"]["name"] == evaluator and each["evaluator"].get("targets")
            for each in self.spec["evaluations"]
        )

    @cached_property
    def trained_on(self) -> dict[str, str]:
        """The label of the data that each arm is trained on."""
        return {arm: _label(self.part(arm, "data")) for arm in self.arms}

    # --- what was measured ---

    @cached_property
    def evaluators(self) -> list[str]:
        """The evaluators that have results: `training` first, then the others in the order of the spec."""
        asked = ["training", *(each["evaluator"]["name"] for each in self.spec["evaluations"])]
        found = {evaluator for _, _, evaluator, _ in self._index}
        return [name for name in dict.fromkeys(asked) if name in found]

    @cached_property
    def scores(self) -> dict[str, dict[tuple[str, str], None]]:
        """The (data set, metric) pairs that each evaluator has scores of.

        Data sets are in the order of the spec's targets, metrics in the order in which the evaluator returns them.
        """
        found: dict[str, dict[str, dict[str, None]]] = {}
        for (_, _, evaluator, metric), labels in self._index.items():
            for label in labels:
                found.setdefault(evaluator, {}).setdefault(label, {})[metric] = None
        order = {label: rank for rank, label in enumerate(self._targets)}
        return {
            evaluator: {
                (label, metric): None
                for label in sorted(labels, key=lambda each: (order.get(each, len(order)), each))
                for metric in labels[label]
            }
            for evaluator, labels in found.items()
        }

    def generation(self, cell: Cell) -> int:
        """The generation that a cell shows: its own, or else the last of its arm."""
        assert cell.arm is not None
        return self.last_generation(cell.arm) if cell.generation is None else cell.generation

    def sample(self, cell: Cell) -> Sample | None:
        """The score that a cell shows, or None while nothing was measured.

        The cell names a data set by its label or by the label's beginning: `eurosat` finds `eurosat.cdfsl-64`. Where
        the score has several protocols, the first in the order of the spec is used.
        """
        assert cell.arm is not None
        assert cell.evaluator is not None
        assert cell.metric is not None
        labels = self._index.get((cell.arm, self.generation(cell), cell.evaluator, cell.metric), {})
        wanted = cell.dataset or self.trained_on[cell.arm]
        label = (
            wanted
            if wanted in labels
            else min((each for each in labels if each.startswith(f"{wanted}.")), default=None)
        )
        if label is None:
            return None
        protocols = labels[label]
        protocol = min(protocols, key=lambda each: (self._ranks.get(each, len(self._ranks)), each))
        return Sample(cell.evaluator, cell.metric, label, protocol, protocols[protocol], len(protocols) - 1)

    def episodes(self, row: dict[str, Any]) -> tuple[str, list[float]] | None:
        """The digest of the episodes of a few-shot score, and the accuracy on each; None where either is missing."""
        name = row["metric"].removesuffix("/acc")
        digest = row["details"].get("digests", {}).get(name)
        values = self._episodes.get(row["node"], {}).get(f"{name}/episodes")
        if digest is None or values is None or any(value is None for value in values):
            return None
        return digest, [float(value) for value in values if value is not None]

    @cached_property
    def spectra(self) -> Curves:
        """The Hessian eigenvalues and spectral densities of each node, by curve name."""
        return self._store.curves_of(self.id, ["eigenvalues", "density/%"])

    def epochs(self, arm: str) -> Iterator[tuple[int, list[EpochRow]]]:
        """Yields each seed with the epoch rows of the arm; an imported checkpoint has none."""
        if not self.arms[arm].get("checkpoint"):
            for seed in self.spec["seeds"]:
                yield seed, self._store.epochs_of(self.id, arm, seed)

    @cached_property
    def uses(self) -> list[NodeUse]:
        """The uses of nodes by the experiment: ordered by arm, seed and generation."""
        return self._store.uses_of(self.id)

    @cached_property
    def failures(self) -> list[str]:
        """One line for each failed node: where it is used, the reason, and the last line of its message."""
        nodes = self._store.nodes_of(self.id)
        found = dict[str, None]()
        for use in self.uses:
            node = nodes[use.key]
            if node.state == NodeState.FAILED:
                where = f"{use.arm}, seed {use.seed}, generation {use.generation}"
                message = (node.message or "").strip().splitlines()
                found[f"{where} ({use.kind}): {node.reason}{': ' + message[-1] if message else ''}"] = None
        return list(found)

    @cached_property
    def warnings(self) -> list[WarningRow]:
        """The epoch rows in which training warned, with `arm` and `warnings`."""
        return self._store.warnings_of(self.id)

    @cached_property
    def _episodes(self) -> Curves:
        return self._store.curves_of(self.id, ["%/episodes"])

    @cached_property
    def _targets(self) -> list[str]:
        """The labels of the data sets that evaluators transfer to, in the order of the spec."""
        texts = [text for each in self.spec["evaluations"] for text in each["evaluator"].get("targets") or ()]
        return list(dict.fromkeys(_target(text) for text in texts))

    def _protocol(self, row: dict[str, Any]) -> str:
        node = row["node"]
        if node not in self._protocols:
            details = row["details"]
            settings = {name: details[name] for name in ("evaluator", "version", "settings") if name in details}
            protocol = json.dumps(settings, sort_keys=True)
            self._protocols[node] = protocol
            if "settings" in settings and protocol not in self._ranks:
                self._ranks[protocol] = self._rank(settings)
        return self._protocols[node]

    def _rank(self, settings: dict[str, Any]) -> int:
        """The position in the spec of the evaluation with these settings, of which the spec may leave some out."""
        for rank, each in enumerate(self.spec["evaluations"]):
            asked = {name: value for name, value in each["evaluator"].items() if name not in ("name", "targets")}
            same = all(settings["settings"].get(name) == value for name, value in asked.items() if value is not None)
            if each["evaluator"]["name"] == settings.get("evaluator") and same:
                return rank
        return len(self.spec["evaluations"])


_DATA: TypeAdapter[data.AnyData] = TypeAdapter(data.DataSpec)


def _label(settings: dict[str, Any]) -> str:
    try:
        return _DATA.validate_python(settings).label
    except ValidationError:  # posted under other code
        return str(settings["name"])


def _aims_at(evaluation: dict[str, Any], dataset: str | None) -> bool:
    """Whether `dataset` is one of the targets, or a variant of one (`eurosat.partial` of `eurosat`)."""
    targets = evaluation["evaluator"].get("targets")
    if dataset is None or not targets:
        return True
    return any(dataset == label or dataset.startswith(f"{label}.") for label in map(_target, targets))


def _target(text: str) -> str:
    try:
        return data.named(text).label
    except ValueError:
        return text
