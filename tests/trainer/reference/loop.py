"""Every method as a plain loop in float64, written from protocols 2 to 5 alone, with momentum computed by hand.

The code of the trainer's methods, masks, reinit, distillation and loop is not used, and every default is repeated here.
Only the network's architecture, the data and the addresses of the random draws come from the trainer, because the draws
must be equal.

`python -m tests.trainer.reference` prints how much the trainer differs.
"""

import copy
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from trainer.core import data, models
from trainer.core.data.augment import random_shift, shift_offsets
from trainer.core.seeding import generator

SEED = 7
MOMENTUM, DECAY, SMOOTHING = 0.9, 5e-4, 0.1
STAGES = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
FIRST_LATE = {"layer2": 3, "layer3": 4, "layer4": 5, "fc": 6, 6: 4, 8: 5}
"""The position in STAGES by threshold. After the stem, each stage has two convs: the 6th is the first of layer3."""

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """The losses of all steps in order, and the final weights and buffers by name."""

    losses: list[float]
    final: Weights


class Reference:
    """The plain loop. `method` and `train` are the settings of `small_spec`.

    Subclasses override single rules with wrong variants (pitfalls).
    """

    def __init__(self, method: dict[str, Any], train: dict[str, Any]) -> None:
        official = train.get("recipe") == "official-code"
        self.method, self.schedule = method, train.get("schedule", {})
        self.epochs: int = train.get("epochs", 4)
        self.generations: int = train.get("generations", 3)
        self.lr: float = train.get("lr", 0.05) or (0.1 if official else 0.01)
        self.warmup: int = self.schedule.get("warmup_epochs", 20 if official else 0)
        self.resets = train.get("reset_momentum_at", ["generation", "switch"])
        self.decay_while_ascending = method.get("ascent_weight_decay", "zero" if official else "flip")
        fraction = method.get("ascent_fraction", 0.25)
        k = method.get("ascent_epochs", 40 if official and "ascent_fraction" not in method else None)
        self.k: int = math.ceil(Fraction(str(fraction)) * self.epochs) if k is None else k
        self.variant = method.get("variant", "descent")
        self.late = STAGES[FIRST_LATE[method.get("layer_threshold", "layer3")] :]
        digits = data.digits.DigitsNoisy(train_per_class=4).load().train
        self.images, self.labels = digits.images_NCHW, digits.labels_N
        self.model = models.build(models.DigitsResNet(width=4), 10, SEED).double().train()
        self.first = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.velocity = {name: torch.zeros_like(p) for name, p in self.model.named_parameters()}
        self.alive = {name: torch.ones_like(p) for name, p in self.model.named_parameters()}
        self.teacher: nn.Module | None = None
        self.loss_before, self.losses = 0.0, list[float]()

    def train(self) -> Outcome:
        """Trains all generations."""
        for g in range(self.generations):
            if g > 0:
                self.boundary(g)
                self.zero_momentum(g, 0)
            self.loss_before = 0.0
            for e in range(self.epochs):
                if self.method["name"] == "seal" and g > 0 and 0 < e == self.k:
                    self.zero_momentum(g, e)
                if self.method["name"] == "imp" and g == 0 and e == self.method.get("rewind_epoch", 0):
                    self.first = {name: p.detach().clone() for name, p in self.model.named_parameters()}
                self.epoch(g, e)
        return Outcome(self.losses, {name: tensor.clone() for name, tensor in self.model.state_dict().items()})

    def epoch(self, g: int, e: int) -> None:
        eta = self.eta(g, e)
        order = torch.randperm(40, generator=generator(SEED, "order", g, e))
        offsets = shift_offsets(40, 2, generator(SEED, "augment", g, e))
        self.set_modes(g, e)
        for step, rows in enumerate(torch.split(order, 16)):
            uint8 = random_shift(self.images[rows], offsets[rows], 2)
            loss = self.loss((uint8.double() / 255 - 0.3) / 0.37, self.labels[rows])
            names, parameters = zip(*self.model.named_parameters(), strict=True)
            gradients = dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))
            sign = self.annealed(g, e, step, eta, loss.item()) if self.method["name"] == "sa-gd" else 1.0
            with torch.no_grad():
                for name, theta in self.model.named_parameters():
                    rates = self.rates(name, eta, g, e)
                    if rates is None:
                        continue
                    move, decay = rates
                    v = self.velocity[name] = MOMENTUM * self.velocity[name] + sign * gradients[name] + decay * theta
                    theta.copy_((theta + move * v) * self.alive[name])
            self.losses.append(loss.item())

    # The rules that differ between methods.

    def eta(self, g: int, e: int) -> float:
        epochs = self.epochs
        if self.schedule.get("scope") == "run":
            e, epochs = e + g * epochs, epochs * self.generations
        if e < self.warmup:
            return self.lr * (e + 1) / self.warmup
        shape = self.schedule.get("shape", "cosine")
        if shape == "cosine":
            return self.lr / 2 * (1 + math.cos(math.pi * (e - self.warmup) / (epochs - self.warmup)))
        passed = [milestone for milestone in self.schedule.get("milestones", []) if e >= milestone]
        return float(self.lr * math.prod(self.schedule.get("decay", 0.1) for _ in passed))

    def zero_momentum(self, g: int, e: int) -> None:
        if ("generation" if e == 0 else "switch") in self.resets:
            self.velocity = {name: torch.zeros_like(v) for name, v in self.velocity.items()}

    def set_modes(self, g: int, e: int) -> None:
        """Does nothing. A wrong variant changes the modes of modules here."""

    def is_late(self, name: str) -> bool:
        return name.split(".")[0] in self.late

    def is_layer_weight(self, name: str) -> bool:
        """Returns whether `name` is a conv or linear weight. Other tensors have one dimension."""
        return self.first[name].ndim > 1

    def in_ascent(self, g: int, e: int) -> bool:
        return self.method["name"] == "seal" and g > 0 and e < self.k

    def ascends(self, name: str) -> bool:
        if self.variant != "reverse":
            return not self.is_late(name)
        return self.is_late(name) and (self.method.get("reverse_output_layer", True) or not name.startswith("fc."))

    def rates(self, name: str, eta: float, g: int, e: int) -> tuple[float, float] | None:
        """Returns the factor with which the buffer is added to the weight, and the weight decay.

        The result is None if the weight is frozen.
        """
        if self.in_ascent(g, e):
            if self.ascends(name):
                return self.ascent_rate(eta), {"flip": -DECAY, "zero": 0.0, "keep": DECAY}[self.decay_while_ascending]
            if self.variant == "freeze":
                return None
        return -eta, DECAY

    def ascent_rate(self, eta: float) -> float:
        return float(self.method.get("ascent_scale", 0.01) * eta)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        negative_log = -logits.log_softmax(1)
        true_class = negative_log.gather(1, labels[:, None])[:, 0]
        return ((1 - SMOOTHING) * true_class + SMOOTHING * negative_log.mean(1)).mean()

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        hard = self.cross_entropy(logits, labels)
        name = self.method["name"]
        if name == "tolerant-teacher" and self.teacher is None:
            w: float = self.method.get("patriarch_label_weight", 0.6)
            classes: int = self.method.get("similar_classes", 5)
            scores = logits.softmax(1).sort(1, descending=True).values
            gap = scores[:, 0] - scores[:, 1:classes].sum(1) / (classes - 1)
            return w * hard + (1 - w) * gap.mean()
        if self.teacher is None:
            return hard
        if name == "self-distillation":
            a: float = self.method.get("teacher_weight", 0.5)
            tau: float = self.method.get("temperature", 4.0)
            return (1 - a) * hard + a * tau**2 * self.divergence(logits, images, tau)
        w = self.method.get("label_weight", 0.5)
        return w * hard + (1 - w) * self.divergence(logits, images, 1.0)

    def divergence(self, logits: Tensor, images: Tensor, tau: float) -> Tensor:
        """Returns the mean KL(teacher || student) at temperature `tau`."""
        assert self.teacher is not None
        teacher: Tensor = (self.teacher(images) / tau).softmax(1).detach()
        return (teacher * (teacher.log() - (logits / tau).log_softmax(1))).sum(1).mean()

    def annealed(self, g: int, e: int, step: int, eta: float, loss: float) -> float:
        """Returns the factor by which SA-GD multiplies the gradient."""
        dE, self.loss_before = abs(loss - self.loss_before), loss
        T, log = self.method.get("temperature", 15.0) * eta, math.log(e + 2)
        if self.method.get("annealing", "single") == "single":
            descend = math.exp(-dE / (T * log))
        else:
            descend = math.exp(-((dE ** (log ** (-1 / math.e)) / (T * log)) ** (0.5772 * log)))
        ascend = min(1 - descend, self.method.get("most_ascent", 0.33))
        drawn = torch.rand((), dtype=torch.float64, generator=generator(SEED, "anneal", g, e, step)).item()
        return float(-self.method.get("sigma", 1.0)) if drawn < ascend else 1.0

    def boundary(self, g: int) -> None:
        name = self.method["name"]
        if name == "llf":
            self.forget_late(g)
        elif name == "seal" and self.variant == "reinit":
            for each in filter(self.is_redrawn, self.first):
                self.draw_uniform(each, each, g)
        elif name == "ke":
            self.forget_outside_hypothesis(g)
        elif name == "imp":
            self.prune()
        elif name in ("born-again", "tolerant-teacher", "self-distillation"):
            self.teacher = copy.deepcopy(self.model).eval()
            self.start_afresh(g)

    def is_redrawn(self, name: str) -> bool:
        return self.is_late(name) and self.is_layer_weight(name)

    def draw_uniform(self, name: str, weight: str, g: int) -> None:
        """Draws a parameter again from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), with the fan-in of `weight`."""
        bound = 1 / math.sqrt(self.first[weight][0].numel())
        random = generator(SEED, "forget", g, name)
        self.model.get_parameter(name).data.copy_(
            torch.empty(self.first[name].shape).uniform_(-bound, bound, generator=random)
        )

    def draw_he(self, name: str, random: torch.Generator) -> None:
        """Draws a weight again from the normal law with mean 0 and variance 2/fan_in."""
        std = math.sqrt(2 / self.first[name][0].numel())
        self.model.get_parameter(name).data.copy_(torch.empty(self.first[name].shape).normal_(0, std, generator=random))

    def forget_late(self, g: int) -> None:
        for name in filter(self.is_redrawn, self.first):
            if self.method.get("redraw_law") == "same_as_init":
                self.draw_he(name, generator(SEED, "forget", g, name))
            else:
                self.draw_uniform(name, name, g)
        if self.method.get("redraw_bias"):
            self.draw_uniform("fc.bias", "fc.weight", g)
        for name, module in self.model.named_modules():
            if isinstance(module, nn.BatchNorm2d) and self.is_late(name):
                self.reset_norm(
                    module, affine=self.method.get("redraw_bn"), statistics=self.method.get("reset_statistics")
                )

    def reset_norm(self, norm: nn.BatchNorm2d, affine: object, statistics: object) -> None:
        if affine:
            norm.weight.data.fill_(1)
            norm.bias.data.fill_(0)
        if statistics:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert norm.num_batches_tracked is not None
            norm.running_mean.fill_(0)
            norm.running_var.fill_(1)
            norm.num_batches_tracked.fill_(0)

    def forget_outside_hypothesis(self, g: int) -> None:
        rate = Fraction(str(self.method.get("split_rate", 0.5)))
        for name, before in [(name, p.detach().clone()) for name, p in self.model.named_parameters() if p.ndim > 1]:
            if self.method.get("split", "kels") == "wels":
                address = [g, name] if self.method.get("redraw_mask") else [name]
                kept = torch.rand(before.shape, generator=generator(SEED, "mask", *address)) >= 1 - float(rate)
            else:
                outputs = 10 if name == "fc.weight" else math.ceil(rate * before.shape[0])
                inputs = 3 if name == "conv1.weight" else math.ceil(rate * before.shape[1])
                kept = torch.zeros_like(before)
                kept[:outputs, :inputs] = 1
            self.draw_uniform(name, name, g)
            theta = self.model.get_parameter(name).data
            theta.copy_(torch.where(kept.bool(), before, theta))

    def prune(self) -> None:
        rate = self.method.get("rate", 0.2)
        rate_of = {name: rate for name in self.first if self.is_layer_weight(name)}
        rate_of["fc.weight"] = self.method.get("output_rate", rate / 2)
        inner = [name for name in rate_of if name != "fc.weight"]
        together = [inner] if self.method.get("ranking") == "global" else [[name] for name in inner]
        for names in [*together, ["fc.weight"]]:
            candidates = [
                (abs(value), name, index)
                for name in names
                for index, value in enumerate(self.model.get_parameter(name).flatten().tolist())
                if self.alive[name].flatten()[index]
            ]
            for _, name, index in sorted(candidates)[: int(Fraction(str(rate_of[names[0]])) * len(candidates))]:
                self.alive[name].view(-1)[index] = 0
        for name, parameter in self.model.named_parameters():
            parameter.data.copy_(self.first[name] * self.alive[name])
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                self.reset_norm(module, affine=False, statistics=True)

    def start_afresh(self, g: int) -> None:
        for name, module in self.model.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                self.reset_norm(module, affine=True, statistics=True)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                random = generator(SEED, "init", name, g)
                self.draw_he(f"{name}.weight", random)
                if module.bias is not None:
                    bound = 1 / math.sqrt(module.weight.shape[1])
                    module.bias.data.copy_(torch.empty(module.bias.shape).uniform_(-bound, bound, generator=random))
