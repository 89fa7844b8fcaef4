"""The only training loop. It trains a spec with its method, and yields after every epoch, when the state is complete.

Shapes: B batch, C classes (channels in BCHW), H and W pixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from trainer.batches import Batches
from trainer.core import models
from trainer.core.determinism import pin_precision
from trainer.core.distributed import Workers, sync_batch_norm
from trainer.core.state import EpochRow, TrainState
from trainer.cuda_graphs import GraphedSteps, graphable
from trainer.methods.base import Phase, Scale, Step
from trainer.monitors import Probe, ascent_dose
from trainer.spec import TrainSpec


class Diverged(ArithmeticError):  # noqa: N818  names the outcome DIVERGED
    """The loss became NaN or infinite, which ends the run. Nothing is clipped."""


@dataclass(frozen=True)
class StepTaken:
    """The report of a single step to an observer.

    `lr` and `weight_decay` are by optimizer group. `loss` is the mean loss of the batch before the step.
    """

    generation: int
    epoch: int
    step: int
    phase: str
    lr: dict[str, float]
    weight_decay: dict[str, float]
    loss: Tensor


Observer = Callable[[StepTaken], None]


def start(spec: TrainSpec, classes: int, device: torch.device) -> TrainState:
    """Returns the state before the first epoch of generation 0."""
    # CUDA streams and graphs belong to the current device; "cuda" without an index is that one, and cannot be set
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    model = models.build(spec.model, classes, spec.seed)
    dtype = torch.float64 if spec.train.precision == "fp64" else torch.float32
    model = model.to(device=device, dtype=dtype).to(memory_format=models.memory_format(model))
    if spec.train.batch_norm == "synced" and Workers.here().count > 1:
        sync_batch_norm(model)
    return TrainState(model.train(), spec.seed, spec.model.init_law)


def train(
    spec: TrainSpec,
    state: TrainState,
    batches: Batches,
    generations: int | None = None,
    observer: Observer | None = None,
    graphed: bool | None = None,
) -> Iterator[EpochRow]:
    """Trains from `state` until `generations` (default: all of the spec's) are finished, and yields each epoch's row.

    While the iterator is suspended, `state` may be saved. Training from the saved state continues with the same bits.
    `graphed` (default: on a GPU) selects whether CUDA graphs replay the steps. Steps are never replayed if the method
    does not allow it or if there is an observer. Raises Diverged.
    """
    pin_precision(spec.train.precision)
    last = spec.train.generations if generations is None else generations
    graphed = (state.device.type == "cuda" if graphed is None else graphed) and observer is None
    while state.generation < last:
        yield from _generation(spec, state, batches, observer, graphed)
        if state.generation == last - 1:
            return
        begin_generation(state)


def begin_generation(state: TrainState) -> None:
    """Moves the state of a finished generation to the start of the next one. Weights and BN statistics carry over."""
    state.generation, state.epoch = state.generation + 1, 0
    state.history = []
    state.monitors = {"train_accuracy_at_start": state.monitors["train_accuracy"]}


def _generation(
    spec: TrainSpec, state: TrainState, batches: Batches, observer: Observer | None, graphed: bool
) -> Iterator[EpochRow]:
    """Trains the remaining epochs of the current generation, and yields each epoch's row when the state is complete."""
    method = spec.method
    forgotten = method.forget(state) if state.generation > 0 and state.epoch == 0 else None
    # a graph is valid for one generation only, because forgetting may replace the teacher
    steps = GraphedSteps(spec, state) if graphed and graphable(method, state.generation) else None
    probe = Probe(spec, state, batches, forgotten)
    for phase in method.phases(state.generation, spec.train.epochs):
        if state.epoch not in phase.epochs:
            continue
        optimizer = _optimizer(spec, phase, state)
        while state.epoch < phase.epochs.stop:
            row = _epoch(spec, phase, optimizer, state, batches, observer, steps)
            probe.after_epoch(row, phase)
            _advance(spec, phase, optimizer, state)
            state.history.append(row)
            yield row


def _epoch(
    spec: TrainSpec,
    phase: Phase,
    optimizer: torch.optim.SGD,
    state: TrainState,
    batches: Batches,
    observer: Observer | None,
    steps: GraphedSteps | None,
) -> EpochRow:
    """Trains one epoch and returns its row. Raises Diverged."""
    train, g, e, workers = spec.train, state.generation, state.epoch, Workers.here()
    lr = train.lr * train.schedule.factor(g, e, train.epochs, train.generations)
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
    totals = torch.zeros(2, dtype=torch.float64, device=state.device)  # sum of losses, count of correct predictions
    if steps is not None:
        totals = steps.begin_epoch(optimizer)
    index = -1
    for index, (images_BCHW, labels_B, size) in enumerate(batches.epoch(state.seed, g, e, state.dtype)):
        if steps is not None:
            steps.step(images_BCHW, labels_B)
            continue
        loss, right = _step(spec, optimizer, state, index, lr, images_BCHW, labels_B, size)
        totals[0] += loss * size
        totals[1] += right
        if observer is not None:
            observer(StepTaken(g, e, index, phase.name, *_rates(spec, state, optimizer), loss))
    workers.sum_(totals[1])
    if train.batch_norm == "per-worker":
        workers.take_statistics_of_first(state.model)
    mean_loss, accuracy = (totals / batches.samples).tolist()
    if not torch.isfinite(totals[0]):
        ascends = any(scale.lr < 0 for scale in phase.scales.values())
        remedy = "lower lr or the ascent's scale" if ascends else "lower lr"
        raise Diverged(f"the loss became {mean_loss} in epoch {e} of generation {g} ({phase.name}): {remedy}")
    state.monitors["ascent_dose"] = state.monitors.get("ascent_dose", 0.0) + ascent_dose(phase, lr, index + 1)
    metrics = {"train/loss": mean_loss, "train/accuracy": accuracy, "train/lr": lr}
    return EpochRow(g, e, phase.name, metrics | spec.method.measures(state))


def _step(
    spec: TrainSpec,
    optimizer: torch.optim.SGD,
    state: TrainState,
    index: int,
    lr: float,
    images_BCHW: Tensor,
    labels_B: Tensor,
    size: int,
) -> tuple[Tensor, Tensor]:
    """Takes one optimizer step on this worker's share of a batch of `size` images.

    Returns the mean loss of the whole batch before the step, and how many images of the share were classified
    correctly.
    """
    method, workers, share = spec.method, Workers.here(), len(labels_B) / size
    optimizer.zero_grad()
    with torch.autocast(state.device.type, torch.bfloat16, enabled=spec.train.precision == "bf16"):
        if len(labels_B):
            cross_entropy = partial(functional.cross_entropy, label_smoothing=spec.train.label_smoothing)
            loss, logits_BC = method.loss(state, images_BCHW, labels_B, cross_entropy)
        else:  # the last batch has fewer images than there are workers, but every worker has to join each all-reduce
            logits_BC = state.model(images_BCHW)
            loss = logits_BC.sum()
    (loss if share == 1 else loss * share).backward()  # type: ignore[no-untyped-call]
    workers.sum_gradients(state.model)
    batch_loss = loss.detach().double()
    if workers.count > 1:
        batch_loss = workers.sum_(batch_loss * share)
    method.before_step(state, Step(index, lr, batch_loss))
    optimizer.step()
    method.after_step(state)
    return batch_loss, (logits_BC.detach().argmax(1) == labels_B).sum()


def _advance(spec: TrainSpec, phase: Phase, optimizer: torch.optim.SGD, state: TrainState) -> None:
    """Moves `state` to the next epoch.

    Keeps or resets the momentum, and drops the teacher at the end of a generation.
    """
    state.epoch += 1
    ends_phase, ends_generation = state.epoch == phase.epochs.stop, state.epoch == spec.train.epochs
    resets = spec.train.reset_momentum_at
    reset = ends_phase and ("generation" in resets if ends_generation else "switch" in resets)
    state.momentum = {} if reset else state.momentum | _momentum(state, optimizer)
    if ends_generation:
        state.teacher = None


def _optimizer(spec: TrainSpec, phase: Phase, state: TrainState) -> torch.optim.SGD:
    """Returns the optimizer of `phase`, with the momentum of `state`. It leaves frozen groups out."""
    parameters = dict(state.model.named_parameters())
    groups = []
    for name, names in spec.method.groups(list(parameters)).items():
        scale = phase.scales.get(name, Scale())
        if scale.lr != 0 and names:
            scales = {"lr_scale": scale.lr, "weight_decay_scale": scale.weight_decay}
            groups.append({"params": [parameters[each] for each in names], "name": name, **scales})
    # lr is set every epoch. Weight decay is set here, because torch refuses a negative one only at construction.
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=spec.train.momentum)
    for group in optimizer.param_groups:
        group["weight_decay"] = spec.train.weight_decay * group["weight_decay_scale"]
    for name, buffer in state.momentum.items():
        optimizer.state[parameters[name]]["momentum_buffer"] = buffer
    return optimizer


def _momentum(state: TrainState, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """Returns the momentum buffers of `optimizer` by parameter name."""
    return {
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in state.model.named_parameters()
        if "momentum_buffer" in optimizer.state[parameter]
    }


def _rates(spec: TrainSpec, state: TrainState, optimizer: torch.optim.SGD) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the learning rates and the weight decays by group. Both are 0 for a frozen group."""
    frozen = dict.fromkeys(spec.method.groups([name for name, _ in state.model.named_parameters()]), 0.0)
    lr, decay = ({group["name"]: group[key] for group in optimizer.param_groups} for key in ("lr", "weight_decay"))
    return frozen | lr, frozen | decay
