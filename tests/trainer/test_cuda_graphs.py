"""The steps that a GPU replays from a graph, run here without one and compared with torch.optim.SGD in float64."""

import copy
from typing import Any, ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainer.builders import begin, bits, small_spec
from trainer import loop
from trainer.core.state import EpochRow, TrainState
from trainer.cuda_graphs import GraphedSteps, descend, graphable
from trainer.methods.base import Method
from trainer.spec import TrainSpec

FROZEN = {"name": "seal", "variant": "freeze", "ascent_scale": 0.5, "ascent_epochs": 2}


def _run(one: TrainSpec, graphed: bool) -> tuple[TrainState, list[EpochRow]]:
    state, batches = begin(one)
    return state, list(loop.train(one, state, batches, graphed=graphed))


def _apart(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - other).abs().max() / other.abs().max()) for name, other in theirs.items())


def _optimizer(state: TrainState, rates: dict[str, tuple[float, float]]) -> torch.optim.SGD:
    """The first convolution is group early, everything else late; groups that `rates` does not name are frozen."""
    first, *rest = state.model.parameters()
    members = {"early": [first], "late": rest}
    optimizer = torch.optim.SGD([{"params": members[name], "name": name} for name in rates], lr=0.0, momentum=0.9)
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = rates[group["name"]]
    return optimizer


@pytest.mark.parametrize(("lr", "weight_decay"), [(0.1, 0.01), (-0.05, -0.01), (-0.05, 0.0), (-0.05, 0.01)])
def test_an_update_is_that_of_torchs_sgd(lr: float, weight_decay: float) -> None:
    torch.manual_seed(0)
    ours = [torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]
    theirs = [torch.nn.Parameter(each.clone()) for each in ours]
    optimizer = torch.optim.SGD(theirs, lr=0.0, momentum=0.9)
    optimizer.param_groups[0] |= {"lr": lr, "weight_decay": weight_decay}
    momentum = [torch.zeros_like(each) for each in ours]
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, dtype=torch.float64)
            other.grad = mine.grad.clone()
        descend(ours, momentum, torch.tensor([lr, weight_decay], dtype=torch.float64), 0.9)
        optimizer.step()
    for mine, buffer, other in zip(ours, momentum, theirs, strict=True):
        assert (mine - other).abs().max() < 1e-15
        assert (buffer - optimizer.state[other]["momentum_buffer"]).abs().max() < 1e-14


@pytest.mark.parametrize(
    ("method", "train"),
    [
        ({"name": "seal", "ascent_scale": 0.5}, {}),
        ({"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 2}, {"reset_momentum_at": []}),
        (FROZEN, {"reset_momentum_at": []}),
        (FROZEN, {"batch_size": 20}),
        ({"name": "born-again"}, {"reset_momentum_at": ["switch"]}),
    ],
)
def test_a_training_is_that_of_the_eager_loop(method: dict[str, Any], train: dict[str, Any]) -> None:
    """Ascent, freezing, descent, a smaller last batch, a teacher; losses, weights, BN statistics and momentum."""
    one = small_spec(method, **train)
    (ours, rows), (theirs, expected) = _run(one, True), _run(one, False)
    for mine, other in zip(rows, expected, strict=True):
        assert mine.metrics == pytest.approx(other.metrics, rel=1e-12)
    assert _apart(ours.model.state_dict(), theirs.model.state_dict()) < 1e-12
    assert bool(theirs.momentum) == (train.get("reset_momentum_at") in ([], ["switch"]))
    if theirs.momentum:
        assert _apart(ours.momentum, theirs.momentum) < 1e-12


def test_stopping_inside_a_phase_and_resuming_gives_the_same_bits() -> None:
    one = small_spec({"name": "seal", "ascent_epochs": 3})
    whole, _ = _run(one, True)
    state, batches = begin(one)
    for row in loop.train(one, state, batches, graphed=True):
        if (row.generation, row.epoch) == (1, 1):
            break
    resumed = copy.deepcopy(state)
    list(loop.train(one, resumed, batches, graphed=True))
    assert bits(resumed) == bits(whole)


class _Counted(GraphedSteps):
    captures = 0

    def _capture(self, *arguments: Any) -> Any:
        self.captures += 1
        return super()._capture(*arguments)


def test_ascent_and_descent_share_a_graph_and_frozen_weights_keep_their_bits() -> None:
    one = small_spec({"name": "normal"})
    state, batches = begin(one)
    images, labels, _ = next(batches.epoch(0, 0, 0, torch.float64))
    steps = _Counted(one, state)
    moving = [{"early": (-0.05, -5e-4), "late": (0.1, 5e-4)}, {"early": (0.1, 5e-4), "late": (0.1, 5e-4)}]
    places = set()
    for rates in moving:
        optimizer = _optimizer(state, rates)
        steps.begin_epoch(optimizer)
        steps.step(images, labels)
        places.add(tuple(optimizer.state[each]["momentum_buffer"].data_ptr() for each in state.model.parameters()))
    assert steps.captures == len(places) == 1
    before, weights = copy.deepcopy(state.model), state.model.state_dict(keep_vars=True)
    for rates in ({"early": (-0.05, 0.0)}, {"early": (-0.01, 0.0)}):
        steps.begin_epoch(_optimizer(state, rates))
        steps.step(images, labels)
    assert steps.captures == 2
    moved = [name for name, was in before.named_parameters() if not torch.equal(weights[name], was)]
    assert moved == ["conv1.weight"]


class _Ops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operator that runs while it is on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.name().split("::")[1].split(".")[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", [{"name": "seal"}, {"name": "born-again"}, {"name": "tolerant-teacher"}])
def test_an_epoch_never_asks_the_device_for_a_number(method: dict[str, Any]) -> None:
    """lift_fresh makes a tensor of a Python number, which a GPU copies from the host; the others wait for a result."""
    one = small_spec(method)
    state, batches = begin(one)
    steps = GraphedSteps(one, state)
    steps.begin_epoch(_optimizer(state, {"early": (0.1, 0.0), "late": (0.1, 0.0)}))
    epoch = batches.epoch(0, 0, 0, torch.float64)
    steps.step(*next(epoch)[:2])  # the first one makes what the data set keeps, such as its mean on the device
    with _Ops() as ran:
        for images, labels, _ in epoch:
            steps.step(images, labels)
    assert {"convolution", "_foreach_mul", "index_select"} <= ran.names
    assert not ran.names & {"_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal", "is_nonzero"}


@pytest.mark.parametrize(
    ("name", "graphed"),
    [("normal", True), ("seal", True), ("llf", True), ("born-again", True), ("imp", False), ("sa-gd", False)],
)
def test_methods_that_stand_around_a_step_run_eagerly(name: str, graphed: bool) -> None:
    assert graphable(small_spec({"name": name}).method, 1) == graphed


def test_a_loss_that_is_not_finite_ends_a_graphed_run_too() -> None:
    with pytest.raises(loop.Diverged, match="the loss became nan in epoch 0 of generation 0"):
        _run(small_spec({"name": "normal"}, lr=100.0, generations=1, epochs=1, batch_size=1, weight_decay=1.0), True)


def test_a_generation_that_is_ordinary_training_is_graphed_under_every_method() -> None:
    """IMP's and Normal's generation 0 have one content key, so they must take one path."""
    assert graphable(small_spec({"name": "imp"}).method, 0)
    assert not graphable(small_spec({"name": "imp", "rewind_epoch": 1}).method, 0)
    assert not graphable(small_spec({"name": "sa-gd"}).method, 0)


def test_a_loss_of_a_packages_own_is_graphed_only_if_it_says_that_it_is_static() -> None:
    class Own(Method):
        name: str = "own"

        def loss(self, *arguments: Any) -> Any:
            return super().loss(*arguments)

    class Static(Own):
        static_loss: ClassVar[bool] = True

    assert not graphable(Own(), 1)
    assert graphable(Static(), 1)
