"""Normal, LLF and SEAL against a plain loop written here from protocols 2 to 4.3: float64, three generations."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.small import begin, run, small_spec
from trainer.core.data.augment import random_shift, shift_offsets
from trainer.core.seeding import generator
from trainer.methods import SEAL
from trainer.spec import TrainSpec


def reference(one: TrainSpec) -> tuple[list[float], nn.Module]:
    """One batch after another with hand-written momentum; returns each epoch's mean loss and the model."""
    state, dataset = begin(one)
    model, train, method = state.model, one.train, one.method
    early_blocks = ("conv1", "bn1", "layer1", "layer2")
    losses = []
    for g in range(train.generations):
        if g > 0 and method.name == "llf":
            redraw(model, g)
        for e in range(train.epochs):
            k = math.ceil(train.epochs / 4) if method.name == "seal" and g > 0 else 0
            if isinstance(method, SEAL) and method.ascent_epochs is not None and g > 0:
                k = method.ascent_epochs
            if e == 0 or e == k:
                velocity = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
            warmup = train.schedule.warmup_epochs
            if e < warmup:
                eta = train.lr * (e + 1) / warmup
            else:
                eta = train.lr / 2 * (1 + math.cos(math.pi * (e - warmup) / (train.epochs - warmup)))
            order = torch.randperm(40, generator=generator(7, "order", g, e))
            offsets = shift_offsets(40, 2, generator(7, "augment", g, e))
            total = 0.0
            for start in range(0, 40, train.batch_size):
                rows = order[start : start + train.batch_size]
                images = random_shift(dataset.train.images_NCHW[rows], offsets[rows], 2).double() / 255
                model.zero_grad()
                loss = smoothed(model((images - 0.3) / 0.37), dataset.train.labels_N[rows], train.label_smoothing)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item() * len(rows)
                with torch.no_grad():
                    for name, parameter in model.named_parameters():
                        assert parameter.grad is not None
                        ascending = e < k and g > 0 and name.startswith(early_blocks)
                        decay, step = 5e-4, -eta
                        if ascending and isinstance(method, SEAL):
                            decay = {"flip": -5e-4, "zero": 0.0, "keep": 5e-4}[method.ascent_weight_decay]
                            step = method.ascent_scale * eta
                        velocity[name] = 0.9 * velocity[name] + parameter.grad + decay * parameter
                        parameter.add_(step * velocity[name])
            losses.append(total / 40)
    return losses, model


def smoothed(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    negative_log = -logits.log_softmax(1)
    true_class = negative_log.gather(1, labels[:, None])[:, 0]
    return ((1 - alpha) * true_class + alpha * negative_log.mean(1)).mean()


def redraw(model: nn.Module, g: int) -> None:
    for name, parameter in model.named_parameters():
        if name.startswith(("layer3", "layer4", "fc")) and parameter.ndim > 1:
            bound = 1 / math.sqrt(parameter[0].numel())
            parameter.data.uniform_(-bound, bound, generator=generator(7, "forget", g, name))


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "normal"}, {}),
    ({"name": "llf"}, {}),
    ({"name": "seal", "ascent_scale": 0.5}, {}),
    ({"name": "seal", "ascent_scale": 0.5, "ascent_weight_decay": "keep"}, {}),
    ({"name": "seal", "ascent_scale": 0.1, "ascent_epochs": 2}, {"recipe": "official-code", "schedule": {"warmup_epochs": 1}}),
    ({"name": "llf"}, {"recipe": "official-code", "schedule": {"warmup_epochs": 1}}),
]


@pytest.mark.parametrize(("method", "train"), CASES)
def test_losses_and_weights_agree_with_a_plain_loop(method: dict[str, Any], train: dict[str, Any]) -> None:
    one = small_spec(method, **train)
    state, rows = run(one)
    losses, model = reference(one)
    ours = torch.tensor([row.metrics["train/loss"] for row in rows], dtype=torch.float64)
    theirs = torch.tensor(losses, dtype=torch.float64)
    assert len(rows) == 12
    assert ((ours - theirs).abs() / theirs).max() < 1e-12
    for (name, mine), other in zip(state.model.named_parameters(), model.parameters(), strict=True):
        assert (mine - other).abs().max() <= 1e-11 * other.abs().max(), name


def test_the_recipe_official_code_fills_what_was_not_given() -> None:
    one = small_spec({"name": "seal"}, recipe="official-code", epochs=60, lr=0.05)
    assert (one.train.lr, one.train.schedule.warmup_epochs) == (0.05, 20)
    assert one.method.model_dump() == {
        "name": "seal",
        "layer_threshold": "layer3",
        "ascent_scale": 0.01,
        "ascent_fraction": 0.25,
        "ascent_epochs": 40,
        "ascent_weight_decay": "zero",
    }
    half = small_spec({"name": "seal", "ascent_fraction": 0.5}, recipe="official-code", epochs=60).method
    assert isinstance(half, SEAL)
    assert half.k(60) == 30
