"""Transfer by a linear probe: a new last layer on frozen features (SEAL section 4.2, Tables 1 and 12; protocols 7.1).

Legend: N images, D features and a constant 1 that carries the bias, C classes, R learning rates, E epochs, B a
minibatch.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, TransferEvaluator, distinct
from trainer.core.data import AnyData, Dataset
from trainer.core.seeding import generator

LearningRate = Annotated[float, Field(gt=0, le=100)]
HELD_OUT = 0.2


class LinearProbe(TransferEvaluator):
    """SGD on plain cross-entropy at flat learning rates, over features that are computed once, without augmentation.

    `acc` follows the paper: the highest test accuracy over all learning rates and epochs, so it is SELECTED ON THE
    TEST SET and optimistic. `acc_heldout` is not: a second run trains on 80 % of the training images, the learning
    rate and epoch with the most hits on the other 20 % (stratified; ties go to the first rate, then the first
    epoch) are chosen, and the weights of that run at that epoch are tested once. Both intervals are Wilson's for N
    test images; that of `acc` ignores the selection.
    """

    name: Literal["linear-probe"] = "linear-probe"
    learning_rates: Annotated[tuple[LearningRate, ...], AfterValidator(distinct)] = Field(
        (0.1, 0.01, 0.001), min_length=1, max_length=16, strict=False, description="flat learning rates, each with its own head"
    )
    epochs: int = Field(120, ge=1, le=100_000, description="passes over the target's training images")
    batch_size: int = Field(32, ge=1, le=1_000_000, description="images per step; the last batch may be smaller")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 term in the gradient of weight and bias")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD, without dampening or Nesterov")
    seed: int = Field(0, ge=0, le=2**31, description="draws the head, minibatches, held-out images and subset")
    train_per_class: int | None = Field(None, ge=2, description="training images kept per class; null keeps all")

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """`train_per_class` beyond what the target has, as (field, message)."""
        found = super().problems(target)
        if target is None or (self.train_per_class or 0) <= (has := min(target.train_sizes())):
            return found
        message = f"train_per_class {self.train_per_class} is more than the {has} training images of the smallest class"
        return [*found, ("train_per_class", f"{message} of {target.name!r}: use fewer")]

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Scores `acc`, `acc_heldout`, `lr<rate>/last` and `lr<rate>/best`; curves of accuracy per epoch,
        `lr<rate>/test` of the whole run and `lr<rate>/heldout` of the one that selects.

        Raises ValueError where a class has fewer training images than `train_per_class`, or no class has two.
        """
        whole_N = self._subset(target)
        held_N = self._held_out(target, whole_N)
        kept_N = whole_N[~torch.isin(whole_N, held_N)]
        pool_ND = _with_constant(context.bank.features(model, target, target.train, progress=context.progress))
        test_ND = _with_constant(context.bank.features(model, target, target.test, progress=context.progress))
        labels_N, test_labels_N = (split.labels_N.to(pool_ND.device) for split in (target.train, target.test))
        test, held = (test_ND, test_labels_N), (pool_ND[held_N], labels_N[held_N])

        [test_hits_ER] = self._hits(target, "whole", (pool_ND[whole_N], labels_N[whole_N]), [test])
        held_hits_ER, honest_ER = self._hits(target, "kept", (pool_ND[kept_N], labels_N[kept_N]), [held, test])
        n = len(test_labels_N)
        column, epoch = divmod(int(held_hits_ER.T.flatten().argmax()), self.epochs)
        scores = {
            "acc": intervals.share(int(test_hits_ER.max()), n),
            "acc_heldout": intervals.share(int(honest_ER[epoch, column]), n),
        }
        curves = {}
        for column, rate in enumerate(self.learning_rates):
            scores[f"lr{rate}/last"] = intervals.share(int(test_hits_ER[-1, column]), n)
            scores[f"lr{rate}/best"] = intervals.share(int(test_hits_ER[:, column].max()), n)
            curves[f"lr{rate}/test"] = (test_hits_ER[:, column].double() / n).tolist()
            curves[f"lr{rate}/heldout"] = (held_hits_ER[:, column].double() / len(held_N)).tolist()
        return EvalResult(scores=scores, curves=curves)

    def _subset(self, target: Dataset) -> Tensor:
        everything = torch.arange(len(target.train))
        if self.train_per_class is None:
            return everything
        kept = []
        for label, rows in enumerate(self._shuffled(target, "subset", everything)):
            if len(rows) < self.train_per_class:
                has = f"class {target.classes[label]!r} of {target.name!r} has {len(rows)} training images"
                raise ValueError(f"train_per_class is {self.train_per_class} but {has}: use at most that many")
            kept.append(rows[: self.train_per_class])
        return torch.cat(kept)

    def _held_out(self, target: Dataset, whole_N: Tensor) -> Tensor:
        held = [
            rows[: max(round(HELD_OUT * len(rows)), min(1, len(rows) - 1))]
            for rows in self._shuffled(target, "heldout", whole_N)
        ]
        if not sum(map(len, held)):
            raise ValueError(f"no class of {target.name!r} has two training images: none can be held out")
        return torch.cat(held)

    def _shuffled(self, target: Dataset, part: str, rows_N: Tensor) -> list[Tensor]:
        """Of each class, those of `rows_N`, in an order of their own."""
        labels_N = target.train.labels_N.cpu()[rows_N]
        shuffled = []
        for label in range(len(target.classes)):
            of_class = rows_N[labels_N == label]
            random = generator(self.seed, "probe", target.name, part, label)
            shuffled.append(of_class[torch.randperm(len(of_class), generator=random)])
        return shuffled

    def _hits(
        self, target: Dataset, part: str, train: tuple[Tensor, Tensor], judged: list[tuple[Tensor, Tensor]]
    ) -> list[Tensor]:
        """Right predictions `[E, R]` on each of `judged` (features, labels), while heads are trained on `train`."""
        (N, D), C = train[0].shape, len(target.classes)
        bound = (D - 1) ** -0.5
        random = generator(self.seed, "probe", target.name, "init")
        start_CD = torch.empty(C, D, dtype=torch.float64).uniform_(-bound, bound, generator=random).to(train[0])
        draws = (generator(self.seed, "probe", target.name, part, epoch) for epoch in range(self.epochs))
        orders = (torch.randperm(N, generator=draw) for draw in draws)
        hits: list[list[Tensor]] = [[] for _ in judged]
        for heads_RCD in train_heads(*train, start_CD, orders, self):
            for of_set, (judged_ND, labels_N) in zip(hits, judged, strict=True):
                predicted_NR = (judged_ND @ heads_RCD.flatten(0, 1).T).view(len(judged_ND), -1, C).argmax(-1)
                of_set.append((predicted_NR == labels_N[:, None]).sum(0))
        return [torch.stack(of_set).cpu() for of_set in hits]


def train_heads(
    x_ND: Tensor, labels_N: Tensor, start_CD: Tensor, orders: Iterable[Tensor], settings: LinearProbe
) -> Iterator[Tensor]:
    """After each epoch, the heads `[R, C, D]` (updated in place later) of R runs of torch.optim.SGD on mean
    cross-entropy.

    The runs differ only in their learning rate: they start at `start_CD` and see the minibatches of `orders` (one
    permutation of N per epoch). So they are one matrix `[R*C, D]`, and a step is one product forward and one back
    for all of them.
    """
    R, (C, D) = len(settings.learning_rates), start_CD.shape
    heads, buffer = start_CD.repeat(R, 1), x_ND.new_zeros(R * C, D)
    rates = x_ND.new_tensor(settings.learning_rates).repeat_interleave(C)[:, None]
    onehot_NC = torch.eye(C, dtype=x_ND.dtype, device=x_ND.device)[labels_N]
    for order_N in orders:
        for rows_B in torch.split(order_N.to(x_ND.device), settings.batch_size):
            x_BD = x_ND[rows_B]
            p_BRC = (x_BD @ heads.T).view(-1, R, C).softmax(-1)
            slope_BRC = (p_BRC - onehot_NC[rows_B, None]) / len(x_BD)
            buffer.addmm_(slope_BRC.flatten(1).T, x_BD, beta=settings.momentum)
            buffer.add_(heads, alpha=settings.weight_decay)
            heads.addcmul_(buffer, rates, value=-1)
        yield heads.view(R, C, D)


def _with_constant(features_ND: Tensor) -> Tensor:
    return torch.cat([features_ND, features_ND.new_ones(len(features_ND), 1)], 1)
