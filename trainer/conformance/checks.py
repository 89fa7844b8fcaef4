"""Checks on a tiny network that a method keeps the contract that the training loop relies on.

A method of an installed package must pass before it may run. The checks need only torch and pydantic.
"""

import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from trainer import loop
from trainer.batches import DataBatches
from trainer.conformance.digests import Bits, Broken, bits_of, difference, outside_of
from trainer.core import checkpoint, models
from trainer.core.determinism import fingerprint, pin_threads
from trainer.core.mistakes import validated
from trainer.core.state import EpochRow, TrainState
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.spec import TrainSpec

GENERATIONS, EPOCHS, SEED = 3, 3, 7
CPU = torch.device("cpu")
FALL = 0.95
"""The loss must fall below this share of its first epoch's value. With frozen weights it varies by 2 %."""


@dataclass(frozen=True)
class Finding:
    """The result of one check. `detail` says what was observed, or what is wrong and what to do about it."""

    name: str
    passed: bool
    detail: str


def check_method(kind: type[Method]) -> list[Finding]:
    """Runs all checks on the method class `kind` and returns their findings in order.

    If one of the first three fails, the checks that build on it are left out.
    """
    threads = torch.get_num_threads()
    pin_threads(1)
    try:
        with TemporaryDirectory(prefix="relearn-check-") as folder:
            return list(_findings(_Bench(kind, Path(folder))))
    finally:
        pin_threads(threads)


def _findings(bench: "_Bench") -> Iterator[Finding]:
    for name, check in (("settings", _settings), ("phases", _phases), ("trains", _trains)):
        finding = _checked(name, check, bench)
        yield finding
        if not finding.passed:
            return
    for name, check in (
        ("deterministic", _deterministic),
        ("resumes", _resumes),
        ("shares", _shares),
        ("forks", _forks),
        ("twins", _twins),
        ("isolated", _isolated),
    ):
        yield _checked(name, check, bench)


def _checked(name: str, check: Callable[["_Bench"], str], bench: "_Bench") -> Finding:
    try:
        return Finding(name, True, check(bench))
    except (Broken, loop.Diverged) as error:
        return Finding(name, False, str(error))
    except Exception as error:  # a method may raise anything; its author needs to see where
        lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
        return Finding(name, False, "\n".join(lines[-6:]))


class _Bench:
    """Trains the method under check on 80 digits. `reference` is its run with default settings.

    The method need not be known to any spec.
    """

    def __init__(self, kind: type[Method], folder: Path) -> None:
        self.kind, self.folder = kind, folder
        train = {"generations": GENERATIONS, "epochs": EPOCHS, "batch_size": 16, "lr": 0.02, "evaluate_every": 1000}
        data = {"name": "digits-noisy", "train_per_class": 8, "label_noise": 0}
        raw = {
            "data": data,
            "model": {"name": "resnet-digits", "width": 4},
            "train": train,
            "method": {"name": "normal"},
        }
        self._spec = TrainSpec.model_validate_json(json.dumps(raw))
        self._dataset = self._spec.data.load()
        self.parameters = [name for name, _ in models.skeleton(self._spec.model, classes=2).named_parameters()]
        self.name: str = kind.model_fields["name"].default
        self.reference: list[_Epoch] = []
        self.outside: tuple[Bits, Bits] = {}, {}
        """The digests of everything but the state, before and after the reference run."""
        self._weights: dict[str, Bits] = {}

    def method(self, settings: dict[str, Any] | None = None) -> Method:
        """Returns a new instance of the method under check, or of the method that `settings` names."""
        settings = {"name": self.name} | (settings or {})
        kind = self.kind if settings["name"] == self.name else METHODS[settings["name"]]
        return validated(kind, settings)

    def start(self, method: Method, seed: int = SEED, after: "_Epoch | None" = None) -> tuple[TrainSpec, TrainState]:
        """Returns the spec and the state before the first epoch, or the state that was saved after the epoch
        `after`."""
        spec = self._spec.model_copy(update={"method": method, "seed": seed})
        state = loop.start(spec, len(self._dataset.classes), CPU)
        if after is not None:
            checkpoint.load(after.folder, state)
        return spec, state

    def train(self, spec: TrainSpec, state: TrainState, epochs: int | None = None) -> Iterator[EpochRow]:
        """Trains `epochs` epochs, or all that are left, and yields their rows."""
        return islice(loop.train(spec, state, DataBatches(self._dataset, spec.train.batch_size)), epochs)

    def epochs(self, method: Method, seed: int = SEED) -> "Iterator[_Epoch]":
        """Trains a whole run and yields its epochs. The first such run saves its state after every epoch."""
        spec, state = self.start(method, seed)
        known = {field.name for field in fields(TrainState)}
        for number, row in enumerate(self.train(spec, state)):
            folder = self.folder / str(number)
            if not folder.exists():
                checkpoint.save(folder, state, "", fingerprint(CPU))
            yield _Epoch(row, bits_of(state), folder, vars(state).keys() - known)

    def weights_after(self, settings: dict[str, Any]) -> Bits:
        """Returns the digests of the weights after a whole run. Equal settings are trained once."""
        key = json.dumps(settings, sort_keys=True)
        if key not in self._weights:
            spec, state = self.start(self.method(settings))
            list(self.train(spec, state))
            self._weights[key] = bits_of(state, "weights")
        return self._weights[key]


@dataclass(frozen=True)
class _Epoch:
    """The outcome of an epoch: its row, the digests of the whole state, and the state itself in `folder`."""

    row: EpochRow
    bits: Bits
    folder: Path
    foreign: set[str]
    """The attributes of the state that are not fields of TrainState and therefore not in `folder`."""

    def __str__(self) -> str:
        return f"epoch {self.row.epoch} of generation {self.row.generation}"


def _settings(bench: _Bench) -> str:
    kind = bench.kind
    if kind.model_config.get("extra") != "forbid" or not kind.model_config.get("frozen"):
        raise Broken(
            'settings must be frozen and refuse unknown fields: keep frozen=True and extra="forbid" in model_config'
        )
    settings = {name: field for name, field in kind.model_fields.items() if name != "name"}
    if required := [name for name, field in settings.items() if field.is_required()]:
        raise Broken(f"{', '.join(required)} must have a default: nothing but the name is needed to try a method")
    if silent := [name for name, field in settings.items() if not field.description]:
        raise Broken(f"{', '.join(silent)} must say what it does: give it Field(..., description=...)")
    if not kind.__doc__:
        raise Broken(f"{kind.__name__} must have a docstring: the catalogue shows it")
    method = bench.method()
    if kind.model_validate_json(method.model_dump_json()) != method:
        raise Broken("the settings written as JSON must read as the same settings: a spec is stored that way")
    if found := method.problems(EPOCHS, bench.parameters):
        raise Broken("; ".join(f"{field}: {message}" for field, message in found) + " (these are the default settings)")
    for generation in range(GENERATIONS):
        identity = method.identity(generation)
        if identity is not None and json.loads(json.dumps(identity)).get("name") != bench.name:
            raise Broken(
                f"identity({generation}) must be None or hold the name: its settings are part of the content key"
            )
    validated(kind, kind.as_released({"name": bench.name}))
    return f"{len(settings)} settings besides the name, all described and with defaults"


def _phases(bench: _Bench) -> str:
    method = bench.method()
    groups = method.groups(bench.parameters)
    if sorted(name for names in groups.values() for name in names) != sorted(bench.parameters):
        raise Broken("groups() must put every parameter into exactly one group; one is missing, unknown or in two")
    for epochs in (1, EPOCHS, 160):
        if method.problems(epochs, bench.parameters):
            continue  # the method itself rejects this number of epochs
        for generation in range(GENERATIONS):
            phases = method.phases(generation, epochs)
            if [epoch for phase in phases for epoch in phase.epochs] != list(range(epochs)):
                shown = ", ".join(str(phase.epochs) for phase in phases)
                raise Broken(
                    f"phases({generation}, {epochs}) must cover range(0, {epochs}) in order, got {shown or 'none'}"
                )
            if unknown := sorted({name for phase in phases for name in phase.scales} - groups.keys()):
                raise Broken(
                    f"phases({generation}, {epochs}) scales {', '.join(unknown)}, "
                    f"but groups() makes {', '.join(groups)}"
                )
    return f"they cover all epochs in order; every parameter is in one of: {', '.join(groups)}"


def _trains(bench: _Bench) -> str:
    method = bench.method()
    before = outside_of(method)
    bench.reference = list(bench.epochs(method))
    bench.outside = before, outside_of(method) | {f"state.{name}": "" for name in bench.reference[-1].foreign}
    first, *later = [epoch.row.metrics["train/loss"] for epoch in bench.reference[:EPOCHS]]
    if min(later) > FALL * first:
        shown = ", ".join(f"{loss:.3f}" for loss in (first, *later))
        raise Broken(f"the loss must fall within generation 0; its epochs had {shown}")
    return f"the loss of generation 0 fell from {first:.3f} to {min(later):.3f}; that of all {GENERATIONS} is finite"


def _deterministic(bench: _Bench) -> str:
    for one, other in zip(bench.reference, bench.epochs(bench.method()), strict=True):
        if changed := difference(one.bits, other.bits):
            raise Broken(
                f"the same spec trained twice differs after {one} in {changed}: "
                "draw from trainer.core.seeding.generator only, and remember in state.memory only"
            )
    return f"the same spec trained twice gives the same bits after each of {len(bench.reference)} epochs"


def _resumes(bench: _Bench) -> str:
    """Trains each epoch again from the checkpoint before it, the latest first, so that only checkpoints carry state."""
    list(bench.epochs(bench.method(), SEED + 1))  # overwrites what a method keeps outside the state
    for before, after in reversed(list(zip(bench.reference, bench.reference[1:], strict=False))):
        spec, state = bench.start(bench.method(), after=before)
        list(bench.train(spec, state, epochs=1))
        if changed := difference(after.bits, bits_of(state)):
            raise Broken(
                f"stopped after {before} and resumed from its checkpoint, {after} differs in {changed}: "
                "what a method must remember belongs into state.memory, as tensors"
            )
    return f"stopped after any of {len(bench.reference)} epochs, it goes on with the same bits, momentum and memory too"


def _shares(bench: _Bench) -> str:
    """Checks that a generation whose identity is None is ordinary training, because it has that content key."""
    method, shared = bench.method(), []
    for generation in range(GENERATIONS):
        if method.identity(generation) is not None:
            continue
        shared.append(str(generation))
        start = bench.reference[generation * EPOCHS - 1] if generation else None
        spec, state = bench.start(bench.method({"name": "normal"}), after=start)
        list(bench.train(spec, state, EPOCHS))
        parts = ("weights", "momentum", "memory", "teacher")
        end = bench.reference[(generation + 1) * EPOCHS - 1].bits
        mine = {name: bits for name, bits in end.items() if name.split("/")[0] in parts}
        if changed := difference(bits_of(state, *parts), mine):
            raise Broken(
                f"identity({generation}) is None, so generation {generation} must be ordinary training bit for bit,"
                f" but it differs in {changed}: return the settings that shape it"
            )
    if not shared:
        return "no generation claims to be ordinary training, so none is shared with other methods"
    return f"ordinary training bit for bit where it says so: generation {', '.join(shared)}"


def _forks(bench: _Bench) -> str:
    method = bench.method()
    if method.needs_own_start():
        return "it must train generation 0 itself, and says so"
    spec, state = bench.start(bench.method({"name": "normal"}))
    list(bench.train(spec, state, EPOCHS))
    checkpoint.save(bench.folder / "normal", state, "", fingerprint(CPU))
    spec, state = bench.start(method)
    checkpoint.load(bench.folder / "normal", state)
    list(bench.train(spec, state, EPOCHS))
    return "it can go on from a generation that another method trained"


def _twins(bench: _Bench) -> str:
    pairs = bench.kind.twins()
    for own, other in pairs:
        if changed := difference(bench.weights_after(own), bench.weights_after(other)):
            raise Broken(f"{json.dumps(own)} must equal {json.dumps(other)} bit for bit, but differs in {changed}")
    return f"{len(pairs)} declared identities hold bit for bit" if pairs else "it declares none"


def _isolated(bench: _Bench) -> str:
    before, after = bench.outside
    if changed := difference(before, after):
        raise Broken(
            f"training changed {changed}: a method may change nothing but the fields of TrainState, and draws from "
            "trainer.core.seeding.generator only"
        )
    return "no global generator was drawn from, and nothing but the state has changed"
