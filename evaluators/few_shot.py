"""Cross-domain few-shot episodes, Linear mode (SEAL section 4.2, Tables 4, 5; CD-FSL, Guo et al. 2020; protocols 7.2).

Legend: E episodes, W ways, S = W * shots support and Q = W * queries query images, class after class, D features
and a constant 1 that carries the bias, T epochs, B a minibatch.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, TransferEvaluator, distinct
from trainer.core.data import AnyData, Dataset
from trainer.core.seeding import generator

Shots = Annotated[int, Field(ge=1, le=10_000)]
CHUNK = 100
"""Episodes whose heads are trained together: enough to hide the cost of a step, few enough to stay in cache."""


class FewShot(TransferEvaluator):
    """Mean query accuracy of linear heads, each trained by SGD on frozen features of an episode's support images.

    The images of an episode come from train and test of the target together. They, the head's start and its
    minibatches depend only on (seed, target, shots, episode), so all checkpoints meet the same episodes. Heads are
    trained in float64.
    """

    needs_test_split: ClassVar[bool] = False

    name: Literal["few-shot"] = "few-shot"
    ways: int = Field(5, ge=2, le=1000, description="classes per episode")
    shots: Annotated[tuple[Shots, ...], AfterValidator(distinct)] = Field(
        (1, 5),
        min_length=1,
        max_length=16,
        strict=False,
        description="support images per class, each a separate set of episodes",
    )
    queries: int = Field(15, ge=1, le=10_000, description="query images per class")
    episodes: int = Field(600, ge=1, le=1_000_000, description="episodes per number of shots; the paper's is 600")
    epochs: int = Field(100, ge=1, le=100_000, description="passes over the support images")
    batch_size: int = Field(4, ge=1, le=100_000, description="support images per step; the last batch may be smaller")
    lr: float = Field(0.01, gt=0, le=100, description="learning rate of the head")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    dampening: float = Field(0.9, ge=0, le=1, description="dampening of the momentum, from the second step on")
    weight_decay: float = Field(0.001, ge=0, le=1, description="L2 term in the gradient of weight and bias")
    seed: int = Field(0, ge=0, le=2**31, description="draws the episodes")

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """Episodes the target cannot fill, as (field, message)."""
        if target is None:
            return []
        return self._unfillable(target.name, len(target.class_names()), target.smallest_class())

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Per number of shots K: the score `<K>shot/acc` (mean over episodes, 1.96 standard errors, n = episodes)
        and the curve `<K>shot/episodes` of accuracies. Raises ValueError where the target cannot fill an
        episode."""
        labels_N = torch.cat([target.train.labels_N, target.test.labels_N]).cpu()
        by_class = [(labels_N == label).nonzero().flatten() for label in range(len(target.classes))]
        for _, message in self._unfillable(target.name, len(by_class), min(map(len, by_class))):
            raise ValueError(message)
        splits = (target.train, target.test)
        found_ND = torch.cat(
            [context.bank.features(model, target, split, progress=context.progress) for split in splits]
        ).double()
        features_ND = torch.cat([found_ND, found_ND.new_ones(len(found_ND), 1)], 1)
        scores, curves = {}, {}
        for shots in self.shots:
            chunks = [range(at, min(at + CHUNK, self.episodes)) for at in range(0, self.episodes, CHUNK)]
            accuracies_E = torch.cat([self._accuracies(features_ND, by_class, target, shots, c) for c in chunks])
            scores[f"{shots}shot/acc"] = intervals.mean(accuracies_E)
            curves[f"{shots}shot/episodes"] = accuracies_E.tolist()
        return EvalResult(scores=scores, curves=curves)

    def draw(self, by_class: list[Tensor], target: str, shots: int, index: int) -> tuple[Tensor, Tensor]:
        """Rows `[S]` and `[Q]` of one episode's support and query images, out of the rows of every class."""
        random = generator(self.seed, "episode", target, shots, index)
        support, query = [], []
        for label in torch.randperm(len(by_class), generator=random)[: self.ways].tolist():
            rows = by_class[label][torch.randperm(len(by_class[label]), generator=random)]
            support.append(rows[:shots])
            query.append(rows[shots : shots + self.queries])
        return torch.cat(support), torch.cat(query)

    def draw_head(self, size: int, target: str, shots: int, index: int) -> tuple[Tensor, Tensor]:
        """Start `[size, W]` of one episode's head, by torch.nn.Linear's law, and a permutation per epoch `[T, S]`."""
        bound = (size - 1) ** -0.5
        random = generator(self.seed, "episode", target, shots, index, "head")
        start_DW = torch.empty(size, self.ways, dtype=torch.float64).uniform_(-bound, bound, generator=random)
        random = generator(self.seed, "episode", target, shots, index, "order")
        return start_DW, torch.rand(self.epochs, self.ways * shots, dtype=torch.float64, generator=random).argsort(1)

    def _accuracies(self, features_ND: Tensor, by_class: list[Tensor], target: Dataset, shots: int, indices: range) -> Tensor:
        device = features_ND.device
        support_ES, query_EQ = zip(*(self.draw(by_class, target.name, shots, index) for index in indices), strict=True)
        D = features_ND.shape[1]
        starts, orders = zip(*(self.draw_head(D, target.name, shots, index) for index in indices), strict=True)
        scores_EQW = head_scores(
            features_ND[torch.stack(support_ES).to(device)],
            features_ND[torch.stack(query_EQ).to(device)],
            torch.stack(starts).to(device),
            torch.stack(orders).to(device),
            self,
        )
        labels_Q = torch.arange(self.ways, device=device).repeat_interleave(self.queries)
        return (scores_EQW.argmax(-1) == labels_Q).double().mean(1).cpu()

    def _unfillable(self, target: str, classes: int, smallest: int) -> list[tuple[str, str]]:
        found = []
        if self.ways > classes:
            found.append(("ways", f"{self.ways} ways need {self.ways} classes; {target!r} has {classes}: use fewer"))
        for index, shots in enumerate(self.shots):
            if (need := shots + self.queries) > smallest:
                message = f"{shots}-shot with {self.queries} queries needs {need} images per class"
                message += f"; the smallest class of {target!r} has {smallest}: use fewer shots or queries"
                found.append((f"shots/{index}", message))
        return found


def head_scores(support_ESD: Tensor, query_EQD: Tensor, start_EDW: Tensor, orders_ETS: Tensor, settings: FewShot) -> Tensor:
    """Query scores `[E, Q, W]` of heads that torch.optim.SGD would train on mean cross-entropy, all episodes at once.

    The weights are never formed. Each gradient is a combination of support rows plus weight decay, so from W_0 =
    `start` the weights stay W_t = c_t W_0 + X^T A_t and the momentum buffer d_t W_0 + X^T M_t, with X = `support`,
    A and M `[S, W]` and the scalars c and d common to all episodes. Support scores are then c_t Z_0 + G A_t, with
    Z_0 = X W_0 and the Gram matrix G = X X^T: a step costs S per support image, not D. The constant feature carries
    the bias, which decays as the weights do.
    """
    gram_ESS, start_scores_ESW = support_ESD @ support_ESD.mT, support_ESD @ start_EDW
    E, S, W = start_scores_ESW.shape
    onehot_SW = torch.eye(W, dtype=gram_ESS.dtype, device=gram_ESS.device).repeat_interleave(S // W, 0)
    A_ESW, M_ESW, c, d = torch.zeros_like(start_scores_ESW), torch.zeros_like(start_scores_ESW), 1.0, 0.0
    # PyTorch fills the buffer with the undampened gradient on the first step, and keeps no buffer without momentum
    fresh, later = 1.0, 1 - settings.dampening if settings.momentum else 1.0
    for order_ES in orders_ETS.unbind(1):
        for rows_EB in torch.split(order_ES, settings.batch_size, 1):
            B = rows_EB.shape[1]
            rows_EBW = rows_EB[..., None].expand(E, B, W)
            gram_EBS = gram_ESS.gather(1, rows_EB[..., None].expand(E, B, S))
            z_EBW = torch.baddbmm(start_scores_ESW.gather(1, rows_EBW), gram_EBS, A_ESW, beta=c)
            slope_EBW = (z_EBW.softmax(-1) - onehot_SW[rows_EB]) * (fresh / B)
            M_ESW.mul_(settings.momentum).add_(A_ESW, alpha=fresh * settings.weight_decay)
            M_ESW.scatter_add_(1, rows_EBW, slope_EBW)
            d = settings.momentum * d + fresh * settings.weight_decay * c
            A_ESW.sub_(M_ESW, alpha=settings.lr)
            c -= settings.lr * d
            fresh = later
    return c * (query_EQD @ start_EDW) + (query_EQD @ support_ESD.mT) @ A_ESW
