"""Transfer by a linear probe: a new last layer on frozen features (SEAL section 4.2, Tables 1 and 12; protocols 7.1).

Legend: N images, D features including a constant 1 that carries the bias, C classes, R learning rates, E epochs, B
images of a minibatch.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn import functional

from evaluators import intervals
from evaluators.base import CONTEXT, Caveat, Context, EvalResult, TransferEvaluator, distinct
from evaluators.features.extraction import Precision
from evaluators.metrics import IMAGES, Metric
from trainer.core.data import AnyData, Dataset, Split
from trainer.core.seeding import generator

LearningRate = Annotated[float, Field(gt=0, le=100)]
HELD_OUT = 0.2
ALIGNED = 16
"""In training, the features are padded with zeros to a multiple of this number of columns.

The weights of the padding stay zero, and matrix products take a fifth less time.
"""
ROWS = 256
"""Images evaluated in one matrix product: few enough that their logits stay in cache."""
Labelled = tuple[Tensor, Tensor]
"""Features `[N, D]` and labels `[N]`."""


class LinearProbe(TransferEvaluator):
    """SGD on plain cross-entropy at flat learning rates, over features that are computed once, without augmentation.

    `acc` follows the paper: the highest test accuracy over all learning rates and epochs, so it is SELECTED ON THE
    TEST SET and optimistic. `acc_heldout` is not: a second run trains on 80 % of the training images, the learning
    rate and epoch with the most hits on the other 20 % (stratified; ties go to the first rate, then the first
    epoch) are chosen, and the weights of that run at that epoch are tested once. Both intervals are Wilson's for N
    test images; that of `acc` ignores the selection.

    Heads are trained in the dtype of the features, which is the network's: float32 as a rule, as in an ordinary script.
    """

    version: ClassVar[int] = 2
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric.rate("acc", "best of all rates and epochs on the test images", headline=True, n_of=IMAGES),
        Metric.rate("acc_heldout", "rate and epoch chosen on held-out training images", headline=True, n_of=IMAGES),
        Metric.rate("lr<rate>/last", "after the last epoch at one learning rate", n_of=IMAGES),
        Metric.rate("lr<rate>/best", "best of all epochs at one learning rate", n_of=IMAGES),
    )

    name: Literal["linear-probe"] = "linear-probe"
    learning_rates: Annotated[tuple[LearningRate, ...], AfterValidator(distinct)] = Field(
        (0.1, 0.01, 0.001),
        min_length=1,
        max_length=16,
        strict=False,
        description="flat learning rates, each with its own head",
    )
    epochs: int = Field(120, ge=1, le=100_000, description="passes over the target's training images")
    batch_size: int = Field(32, ge=1, le=1_000_000, description="images per step; the last batch may be smaller")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 term in the gradient of weight and bias")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD, without dampening or Nesterov")
    seed: int = Field(0, ge=0, le=2**31, description="draws the head, minibatches, held-out images and subset")
    train_per_class: int | None = Field(None, ge=2, description="training images kept per class; null keeps all")
    features: Precision = Field("exact", description="bf16: NOT equivalent, extraction about twice as fast")

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """Returns (field, message) pairs, also for a `train_per_class` that is more than the target has."""
        found = super().problems(target)
        if target is None or (self.train_per_class or 0) <= (has := min(target.train_sizes())):
            return found
        message = f"train_per_class {self.train_per_class} is more than the {has} training images of the smallest class"
        return [*found, ("train_per_class", f"{message} of {target.name!r}: use fewer")]

    def caveats(self) -> list[Caveat]:
        message = (
            "linear-probe's acc is the best of several rates on the test images; acc_heldout is not chosen on them"
        )
        return [Caveat("TEST_SELECTED", message)]

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Trains the heads on features of `target` and tests them.

        Scores: `acc`, `acc_heldout`, `lr<rate>/last` and `lr<rate>/best`. Curves of accuracy per epoch: `lr<rate>/test`
        of the run on all training images and `lr<rate>/heldout` of the run that selects.

        Raises ValueError if a class has fewer training images than `train_per_class`, or if no class has two.
        """
        whole_N = self._subset(target)
        held_N = self._held_out(target, whole_N)
        kept_N = whole_N[~torch.isin(whole_N, held_N)]
        (x_ND, labels_N), test = (self._read(model, target, split, context) for split in (target.train, target.test))
        whole, kept, held = ((x_ND[rows_N], labels_N[rows_N]) for rows_N in (whole_N, kept_N, held_N))

        test_hits_ER, _ = self._trained(target, "whole", whole, test, context)
        held_hits_ER, best_RCD = self._trained(target, "kept", kept, held, context)
        chosen = int(held_hits_ER.T.flatten().argmax()) // self.epochs
        n = len(target.test)
        scores = {
            "acc": intervals.share(int(test_hits_ER.max()), n),
            "acc_heldout": intervals.share(int(hits(best_RCD[chosen, None], *test)), n),
        }
        curves = {}
        for column, rate in enumerate(self.learning_rates):
            scores[f"lr{rate}/last"] = intervals.share(int(test_hits_ER[-1, column]), n)
            scores[f"lr{rate}/best"] = intervals.share(int(test_hits_ER[:, column].max()), n)
            curves[f"lr{rate}/test"] = (test_hits_ER[:, column].double() / n).tolist()
            curves[f"lr{rate}/heldout"] = (held_hits_ER[:, column].double() / len(held_N)).tolist()
        return EvalResult(scores=scores, curves=curves, notes=self._notes())

    def _notes(self) -> tuple[str, ...]:
        tried = f"{len(self.learning_rates)} learning rates x {self.epochs} epochs"
        selected = (
            f"acc is the best of {tried} on the test images (test-selected); acc_heldout is chosen on training images"
        )
        bf16 = "features were computed in bfloat16, which is NOT equivalent to the network's own precision"
        return (selected, bf16) if self.features == "bf16" else (selected,)

    def _read(self, model: nn.Module, target: Dataset, split: Split, context: Context) -> Labelled:
        found_ND = context.bank.features(model, target, split, self.features, context.progress)
        return torch.cat([found_ND, found_ND.new_ones(len(found_ND), 1)], 1), split.labels_N.to(found_ND.device)

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
        """Returns, for each class, its rows among `rows_N` in random order."""
        labels_N = target.train.labels_N.cpu()[rows_N]
        shuffled = []
        for label in range(len(target.classes)):
            of_class = rows_N[labels_N == label]
            random = generator(self.seed, "probe", target.name, part, label)
            shuffled.append(of_class[torch.randperm(len(of_class), generator=random)])
        return shuffled

    def _trained(
        self, target: Dataset, part: str, train: Labelled, evaluated: Labelled, context: Context
    ) -> tuple[Tensor, Tensor]:
        """Trains heads on `train` and counts their correct predictions on `evaluated`.

        Returns the counts `[E, R]` and, for each learning rate, the first head with the highest count `[R, C, D]`.
        """
        (N, D), C, R = train[0].shape, len(target.classes), len(self.learning_rates)
        random, bound = generator(self.seed, "probe", target.name, "init"), (D - 1) ** -0.5
        start_CD = torch.empty(C, D, dtype=torch.float64).uniform_(-bound, bound, generator=random).to(train[0])
        draws = (generator(self.seed, "probe", target.name, part, epoch) for epoch in range(self.epochs))
        orders = (torch.randperm(N, generator=draw) for draw in draws)
        best_RCD, most_R, found = start_CD.repeat(R, 1, 1), evaluated[1].new_full((R,), -1), []
        for epoch, heads_RCD in enumerate(train_heads(*train, start_CD, orders, self), 1):
            found.append(hits(heads_RCD, *evaluated))
            # selected on the device, because reading the counts would wait for the GPU
            best_RCD = torch.where((found[-1] > most_R)[:, None, None], heads_RCD, best_RCD)
            most_R = torch.maximum(most_R, found[-1])
            done = epoch + (self.epochs if part == "kept" else 0)
            context.progress(f"linear probe of {target.name}", done, 2 * self.epochs)
        return torch.stack(found).cpu(), best_RCD


def train_heads(
    x_ND: Tensor, labels_N: Tensor, start_CD: Tensor, orders: Iterable[Tensor], settings: LinearProbe
) -> Iterator[Tensor]:
    """Yields after each epoch the heads `[R, C, D]` of R runs of torch.optim.SGD on mean cross-entropy.

    The yielded tensor is updated in place later. The runs differ only in their learning rate: all start at `start_CD`
    and see the minibatches of `orders` (one permutation of N per epoch). Therefore they form one matrix `[R*C, D]`, and
    a step is one forward and one backward product for all of them.
    """
    R, (C, D), B = len(settings.learning_rates), start_CD.shape, min(settings.batch_size, len(x_ND))
    x_ND, start_CD = (functional.pad(each, (0, -D % ALIGNED)) for each in (x_ND, start_CD))
    heads = start_CD.repeat(R, 1)
    momentum = torch.zeros_like(heads)
    rates = x_ND.new_tensor(settings.learning_rates).repeat_interleave(C)[:, None]
    onehot_NC = torch.eye(C, dtype=x_ND.dtype, device=x_ND.device)[labels_N]
    # images are gathered once per epoch, and a step allocates nothing
    shuffled_ND, answers_NC = torch.empty_like(x_ND), torch.empty_like(onehot_NC)
    logits, slopes = x_ND.new_empty(B, R * C), x_ND.new_empty(B, R * C)
    for order_N in orders:
        rows_N = order_N.to(x_ND.device)
        torch.index_select(x_ND, 0, rows_N, out=shuffled_ND)
        torch.index_select(onehot_NC, 0, rows_N, out=answers_NC)
        for x_BD, answers_BC in zip(torch.split(shuffled_ND, B), torch.split(answers_NC, B), strict=True):
            n = len(x_BD)
            logits_BRC, slopes_BRC = logits[:n].view(n, R, C), slopes[:n].view(n, R, C)
            torch.mm(x_BD, heads.T, out=logits[:n])
            torch.softmax(logits_BRC, -1, out=slopes_BRC)
            slopes_BRC.sub_(answers_BC[:, None])
            momentum.addmm_(slopes[:n].T, x_BD, beta=settings.momentum, alpha=1 / n)
            momentum.add_(heads, alpha=settings.weight_decay)
            heads.addcmul_(momentum, rates, value=-1)
        yield heads.view(R, C, -1)[..., :D]


def hits(heads_RCD: Tensor, evaluated_ND: Tensor, labels_N: Tensor) -> Tensor:
    """Returns the number of correct predictions `[R]` of each head."""
    R, C, _ = heads_RCD.shape
    columns = heads_RCD.flatten(0, 1).T
    found_R = labels_N.new_zeros(R)
    for rows_BD, labels_B in zip(torch.split(evaluated_ND, ROWS), torch.split(labels_N, ROWS), strict=True):
        predicted_BR = (rows_BD @ columns).view(-1, R, C).argmax(-1)
        found_R += (predicted_BR == labels_B[:, None]).sum(0)
    return found_R
