"""The only training loop. It reads a spec, asks the method, and yields after every epoch, when the state is whole.

Shapes: B batch, N data set, C channels, H and W pixels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from trainer.core import models
from trainer.core.data import Dataset
from trainer.core.data.augment import random_shift, shift_offsets
from trainer.core.seeding import generator
from trainer.core.state import EpochRow, TrainState, evaluate
from trainer.methods import Method, Phase
from trainer.monitors import ascent_dose, note_forgetting
from trainer.spec import TrainSpec


class Diverged(ArithmeticError):  # noqa: N818  names the outcome DIVERGED
    """The loss became NaN or infinite; the run ends here, nothing is clipped."""


def start(spec: TrainSpec, dataset: Dataset, device: torch.device) -> TrainState:
    """The state before the first epoch of generation 0."""
    model = models.build(spec.model, len(dataset.classes), spec.seed)
    model = model.to(device=device).to(memory_format=torch.channels_last)
    return TrainState(model.train(), spec.seed)


def train(spec: TrainSpec, state: TrainState, dataset: Dataset, generations: int | None = None) -> Iterator[EpochRow]:
    """Trains on from wherever `state` stands until `generations` (default: all of the spec's) are finished.

    Yields each epoch's row. While suspended, `state` may be saved; training on from the saved state gives the same bits.
    Raises Diverged.
    """
    last = spec.train.generations if generations is None else generations
    while state.generation < last:
        yield from _generation(spec, state, dataset)
        if state.generation == last - 1:
            return
        begin_generation(state)


def begin_generation(state: TrainState) -> None:
    """Steps a finished generation's state to the start of the next one; weights and BN statistics carry over."""
    state.generation, state.epoch = state.generation + 1, 0
    state.momentum, state.history = {}, []
    state.monitors = {"train_accuracy_at_start": state.monitors["train_accuracy"]}


def _generation(spec: TrainSpec, state: TrainState, dataset: Dataset) -> Iterator[EpochRow]:
    epochs, chance = spec.train.epochs, 1 / len(dataset.classes)
    forgotten_scalars = 0
    if state.epoch == 0 and state.generation > 0:
        forgotten_scalars = spec.method.forget(state)
    for phase in spec.method.phases(state.generation, epochs):
        if state.epoch not in phase.epochs:
            continue
        optimizer = _optimizer(spec, spec.method, phase, state)
        for epoch in range(state.epoch, phase.epochs.stop):
            accuracy_after_forget = None
            if forgotten_scalars:
                accuracy_after_forget, _ = evaluate(state.model, dataset, dataset.train)
            row = _epoch(spec, phase, optimizer, state, dataset)
            if accuracy_after_forget is not None:
                row.metrics["forgetting/scalars_changed"] = forgotten_scalars
                note_forgetting(row, state, accuracy_after_forget, chance)
                forgotten_scalars = 0
            ends_phase, ends_generation = epoch + 1 == phase.epochs.stop, epoch + 1 == epochs
            if (ends_phase and phase.forgets) or ends_generation:
                accuracy, _ = evaluate(state.model, dataset, dataset.train)
                if ends_phase and phase.forgets:
                    note_forgetting(row, state, accuracy, chance)
                if ends_generation:
                    state.monitors["train_accuracy"] = row.metrics["train/accuracy_eval"] = accuracy
            if (epoch + 1) % spec.train.evaluate_every == 0 or ends_generation:
                row.metrics["test/accuracy"], row.metrics["test/loss"] = evaluate(state.model, dataset, dataset.test)
            state.epoch = epoch + 1
            state.momentum = {} if ends_phase else _momentum(state, optimizer)
            state.history.append(row)
            yield row


def _epoch(spec: TrainSpec, phase: Phase, optimizer: torch.optim.SGD, state: TrainState, dataset: Dataset) -> EpochRow:
    train, g, e = spec.train, state.generation, state.epoch
    lr = train.lr * train.schedule.factor(g, e, train.epochs, train.generations)
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
    device, dtype = state.device, next(state.model.parameters()).dtype
    order_N = torch.randperm(len(dataset.train), generator=generator(state.seed, "order", g, e)).to(device)
    offsets_N2 = None
    if dataset.shift:
        offsets_N2 = shift_offsets(len(dataset.train), dataset.shift, generator(state.seed, "augment", g, e)).to(device)
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    steps = 0
    for rows_B in torch.split(order_N, train.batch_size):
        images_BCHW = dataset.train.images_NCHW[rows_B]
        if offsets_N2 is not None:
            images_BCHW = random_shift(images_BCHW, offsets_N2[rows_B], dataset.shift)
        labels_B = dataset.train.labels_N[rows_B]
        logits_BK = state.model(dataset.floats(images_BCHW, dtype))
        loss = functional.cross_entropy(logits_BK, labels_B, label_smoothing=train.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum += loss.detach() * len(rows_B)
        correct += (logits_BK.detach().argmax(1) == labels_B).sum()
        steps += 1
    mean_loss = loss_sum.item() / len(dataset.train)
    if not torch.isfinite(loss_sum):
        raise Diverged(f"the loss became {mean_loss} in epoch {e} of generation {g} ({phase.name}): lower lr or ascent_scale")
    state.monitors["ascent_dose"] = state.monitors.get("ascent_dose", 0.0) + ascent_dose(phase, lr, steps)
    accuracy = correct.item() / len(dataset.train)
    return EpochRow(g, e, phase.name, {"train/loss": mean_loss, "train/accuracy": accuracy, "train/lr": lr})


def _optimizer(spec: TrainSpec, method: Method, phase: Phase, state: TrainState) -> torch.optim.SGD:
    """A fresh optimizer for `phase`, or the one that `state.momentum` was taken from in the middle of it."""
    parameters = dict(state.model.named_parameters())
    optimizer = torch.optim.SGD(
        [
            # lr is set every epoch: torch refuses a negative one here but applies it as ascent
            {"params": [parameters[name] for name in names], "lr": 0.0, **_scaled(spec, phase, group)}
            for group, names in method.groups(list(parameters)).items()
        ],
        momentum=spec.train.momentum,
    )
    for group in optimizer.param_groups:
        group["weight_decay"] = spec.train.weight_decay * group["weight_decay_scale"]
    for name, buffer in state.momentum.items():
        optimizer.state[parameters[name]]["momentum_buffer"] = buffer
    return optimizer


def _scaled(spec: TrainSpec, phase: Phase, group: str) -> dict[str, float]:
    scale = phase.scales.get(group)
    return {"lr_scale": scale.lr if scale else 1.0, "weight_decay_scale": scale.weight_decay if scale else 1.0}


def _momentum(state: TrainState, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    return {
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in state.model.named_parameters()
        if "momentum_buffer" in optimizer.state[parameter]
    }
