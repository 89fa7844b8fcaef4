"""Cross-domain few-shot episodes (SEAL section 4.2, Tables 4, 5; CD-FSL, Guo et al. 2020; protocols 7.2).

Legend: E episodes, W ways, S = W * shots support images and Q = W * queries query images, both class after class,
D features, T epochs.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, TransferEvaluator, distinct
from evaluators.episodes import affines, heads
from evaluators.episodes.ledger import Ledger, draw, imported, labels_of
from evaluators.features.extraction import Precision
from evaluators.metrics import EPISODES, Metric
from trainer.core.data import AnyData, Dataset
from trainer.core.last_batch import cannot, fitting_size, single_pixel_norm, too_small
from trainer.core.models import AnyModel
from trainer.core.seeding import generator

Shots = Annotated[int, Field(ge=1, le=10_000)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PAPER_EPISODES = 600


class FewShot(TransferEvaluator):
    """Mean query accuracy over episodes, in each of which a new linear head is trained by SGD on the support images.

    Mode `linear` trains the head alone, on features of the frozen network, in float64. Mode `linear+affines` also
    trains gamma and beta of every BatchNorm by plain SGD, in the network's own precision.

    The images of an episode come from train and test of the target together. They are drawn from the address (seed,
    target, shots, episode), or read from imported ledgers. The head's start and its minibatches are drawn from the same
    address. So all checkpoints meet the same episodes, and two of them can be compared episode by episode.
    """

    version: ClassVar[int] = 2
    needs_test_split: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric.rate("<K>shot/acc", "query accuracy of a linear head, mean over episodes", headline=True, n_of=EPISODES),
        Metric.rate(
            "<K>shot-affines/acc", "the same with gamma and beta of BatchNorm adapted too", headline=True, n_of=EPISODES
        ),
    )

    name: Literal["few-shot"] = "few-shot"
    mode: Literal["linear", "linear+affines"] = Field(
        "linear", description="what adapts to an episode: the head, or gamma and beta of every BatchNorm as well"
    )
    ways: int = Field(5, ge=2, le=1000, description="classes per episode")
    shots: Annotated[tuple[Shots, ...], AfterValidator(distinct)] = Field(
        (1, 5),
        min_length=1,
        max_length=16,
        strict=False,
        description="support images per class, each a separate set of episodes",
    )
    queries: int = Field(15, ge=1, le=10_000, description="query images per class")
    episodes: int = Field(
        PAPER_EPISODES, ge=1, le=1_000_000, description="episodes per number of shots; the paper's is 600"
    )
    epochs: int = Field(100, ge=1, le=100_000, description="passes over the support images")
    batch_size: int = Field(4, ge=1, le=100_000, description="support images per step; the last batch may be smaller")
    lr: float = Field(0.01, gt=0, le=100, description="learning rate of the head")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    dampening: float = Field(0.9, ge=0, le=1, description="dampening of the momentum, from the second step on")
    weight_decay: float = Field(0.001, ge=0, le=1, description="L2 term in the gradient of weight and bias")
    affine_lr: float = Field(
        0.01,
        gt=0,
        le=100,
        description="learning rate of gamma and beta; the sources fix none for them (CD-FSL fine-tunes at 0.01)",
    )
    bn_mode: affines.BnMode = Field(
        "train",
        description="BatchNorm while gamma and beta adapt: statistics of the minibatch (as CD-FSL) or the stored ones",
    )
    features: Precision = Field(
        "exact", description="bf16 extracts about twice as fast and is NOT equivalent; mode linear only"
    )
    seed: int = Field(0, ge=0, le=2**31, description="draws the episodes, heads and minibatches")
    ledgers: tuple[Digest, ...] | None = Field(
        None,
        strict=False,
        description="sha256 of imported ledgers to use, one per number of shots; null draws from the seed",
    )

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """Returns (field, message) pairs for episodes that the target cannot fill and for unusable ledgers.

        A ledger is unusable if it is not imported or has another shape than the settings.
        """
        found = []
        if self.ledgers is not None and len(self.ledgers) != len(self.shots):
            found.append(
                ("ledgers", f"{len(self.ledgers)} ledgers for {len(self.shots)} numbers of shots: give one for each")
            )
        if self.features != "exact" and self.mode != "linear":
            found.append(("features", "bf16 features are for mode linear: leave them exact"))
        if target is None or found:
            return found
        for index, (digest, shots) in enumerate(zip(self.ledgers or (), self.shots, strict=False)):
            try:
                self._imported(digest, shots).check(labels_of(target.load()))
            except ValueError as error:
                found.append((f"ledgers/{index}", str(error)))
        return [*found, *self._unfillable(target.name, len(target.class_names()), target.smallest_class())]

    def unfit(self, model: AnyModel, target: AnyData) -> list[tuple[str, str]]:
        """Returns a (field, message) pair if BatchNorm cannot normalise a minibatch of one support image."""
        if self.mode == "linear" or self.bn_mode == "eval":
            return []
        if (norm := single_pixel_norm(model, target.pixels())) is None:
            return []
        counts = [self.ways * shots for shots in self.shots]
        found = [images for images in counts if too_small(images, self.batch_size, 2) is not None]
        if not found:
            return []
        works = fitting_size(counts, self.batch_size, 2)
        last = "minibatches of 1" if self.batch_size == 1 else "a last minibatch of 1"
        message = f"batch_size {self.batch_size} leaves {last} of {found[0]} support images"
        message += f", {cannot(model, target.pixels(), norm)}: use batch_size {works}, or bn_mode eval"
        return [("batch_size", message)]

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Adapts to the episodes of every number of shots K and tests on their queries.

        Scores: `<K>shot/acc`, the mean over episodes with 1.96 standard errors and n = episodes. Curves:
        `<K>shot/episodes`, the accuracies. Digests: `<K>shot`, that of the ledger. With mode `linear+affines`,
        `<K>shot` becomes `<K>shot-affines` in all names. Raises ValueError if the target cannot fill an episode.
        """
        labels_N = labels_of(target)
        smallest = int(labels_N.bincount(minlength=len(target.classes)).min())
        for _, message in self._unfillable(target.name, len(target.classes), smallest):
            raise ValueError(message)
        ledgers = {shots: self._ledger(index, target.name, labels_N) for index, shots in enumerate(self.shots)}
        scores, curves, digests = {}, {}, {}
        features_ND = self._features(model, target, context) if self.mode == "linear" else None
        for shots, ledger in ledgers.items():
            if features_ND is not None:
                scored = self._linear(features_ND, ledger)
            else:
                scored = self._affines(model, target, ledger, context)
            hits: list[Tensor] = []
            for scores_EQW in scored:
                if not torch.isfinite(scores_EQW).all():
                    message = f"the scores of {shots}-shot episodes of {target.name!r} are not all finite"
                    raise ValueError(
                        f"{message}: the network or an episode diverged; "
                        "evaluate an earlier checkpoint, or use a smaller lr or affine_lr"
                    )
                labels_Q = torch.arange(self.ways, device=scores_EQW.device).repeat_interleave(self.queries)
                hits += (scores_EQW.argmax(-1) == labels_Q).double().mean(1).cpu()
                context.progress(f"{shots}-shot episodes of {target.name}", len(hits), self.episodes)
            name = f"{shots}shot" if self.mode == "linear" else f"{shots}shot-affines"
            scores[f"{name}/acc"] = intervals.mean(torch.stack(hits))
            curves[f"{name}/episodes"] = torch.stack(hits).tolist()
            digests[name] = ledger.digest
        return EvalResult(scores=scores, curves=curves, digests=digests, notes=tuple(self._notes()))

    def draw_head(self, features: int, target: str, shots: int, index: int) -> tuple[Tensor, Tensor]:
        """Draws the start of one episode's head and its minibatches.

        Returns the weights `[features + 1, W]`, with the bias as the last row, by the default law of torch.nn.Linear,
        and a permutation of the support images per epoch `[T, S]`.
        """
        bound = features**-0.5
        random = generator(self.seed, "episode", target, shots, index, "head")
        start_DW = torch.empty(features + 1, self.ways, dtype=torch.float64).uniform_(-bound, bound, generator=random)
        random = generator(self.seed, "episode", target, shots, index, "order")
        return start_DW, torch.rand(self.epochs, self.ways * shots, dtype=torch.float64, generator=random).argsort(1)

    def _features(self, model: nn.Module, target: Dataset, context: Context) -> Tensor:
        splits = [split for split in (target.train, target.test) if len(split)]
        pieces = [context.bank.features(model, target, split, self.features, context.progress) for split in splits]
        return torch.cat(pieces)

    def _linear(self, features_ND: Tensor, ledger: Ledger) -> Iterator[Tensor]:
        """Yields the query scores `[E, Q, W]` of some episodes at a time, after training only heads."""
        size = heads.chunk(ledger.support_ES.shape[1], features_ND.shape[1], self.ways, self.epochs, features_ND.device)
        for indices, support_ES, query_EQ in pieces(ledger, size):
            starts_EDW, orders_ETS = self.draw_heads(features_ND.shape[1], ledger, indices)
            yield heads.query_scores(features_ND, support_ES, query_EQ, starts_EDW, orders_ETS, self)

    def _affines(self, model: nn.Module, target: Dataset, ledger: Ledger, context: Context) -> Iterator[Tensor]:
        """Yields the query scores `[E, Q, W]` of some episodes at a time, after adapting heads, gamma and beta."""
        parameter = next(model.parameters())
        size = affines.chunk(model, target, min(self.batch_size, ledger.support_ES.shape[1]))
        features = int(model.get_parameter("fc.weight").shape[1])
        what, E = f"epochs of {ledger.facts.shots}-shot episodes of {target.name}", len(ledger.support_ES)
        for indices, support_ES, query_EQ in pieces(ledger, size):
            starts_EDW, orders_ETS = self.draw_heads(features, ledger, indices)
            support, query = gather(target, support_ES), gather(target, query_EQ)

            def tell(epochs: int, done: int = indices.start, at_once: int = len(indices)) -> None:
                context.progress(what, done * self.epochs + at_once * epochs, E * self.epochs)

            yield affines.query_scores(model, target, support, query, starts_EDW.to(parameter), orders_ETS, self, tell)

    def draw_heads(self, features: int, ledger: Ledger, indices: range) -> tuple[Tensor, Tensor]:
        """Returns the results of `draw_head` for the episodes `indices`: `[E, features + 1, W]` and `[E, T, S]`."""
        drawn = [self.draw_head(features, ledger.facts.target, ledger.facts.shots, index) for index in indices]
        starts, orders = zip(*drawn, strict=True)
        return torch.stack(starts), torch.stack(orders)

    def _ledger(self, index: int, target: str, labels_N: Tensor) -> Ledger:
        shots = self.shots[index]
        if self.ledgers is None:
            return draw(target, labels_N, self.ways, shots, self.queries, self.episodes, self.seed)
        ledger = self._imported(self.ledgers[index], shots)
        ledger.check(labels_N)
        # heads are drawn by the name of the data set here; the digest covers only the tasks and not the name
        return replace(ledger, facts=replace(ledger.facts, target=target))

    def _imported(self, digest: str, shots: int) -> Ledger:
        ledger = imported(digest)
        has = (ledger.facts.ways, ledger.facts.shots, ledger.facts.queries, len(ledger.support_ES))
        if has != (wanted := (self.ways, shots, self.queries, self.episodes)):
            names = "(ways, shots, queries, episodes)"
            raise ValueError(f"ledger {digest[:12]} has {names} {has}, the settings say {wanted}: make them agree")
        return ledger

    def _notes(self) -> Iterator[str]:
        if self.episodes < PAPER_EPISODES:
            yield f"reduced run: {self.episodes} of the protocol's {PAPER_EPISODES} episodes"
        if self.mode != "linear":
            settings = f"BatchNorm in {self.bn_mode} mode, lr {self.affine_lr}"
            yield f"gamma and beta adapted with {settings}: no source fixes either"
        if self.features == "bf16":
            yield "features extracted in bf16: NOT equivalent to the network's own precision"

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


def pieces(ledger: Ledger, size: int) -> Iterator[tuple[range, Tensor, Tensor]]:
    """Yields the indices, support rows and query rows of `size` episodes at a time."""
    rows = zip(torch.split(ledger.support_ES, size), torch.split(ledger.query_EQ, size), strict=True)
    at = 0
    for support_ES, query_EQ in rows:
        yield range(at, at := at + len(support_ES)), support_ES, query_EQ


def gather(target: Dataset, rows_ER: Tensor) -> Tensor:
    """Returns uint8 images `[E, R, 3, H, W]`. A row counts the training images, followed by the test images."""
    rows_M, n = rows_ER.flatten(), len(target.train)
    images_MCHW = target.train.images_NCHW.new_empty(len(rows_M), *target.train.images_NCHW.shape[1:])
    in_train_M = rows_M < n
    images_MCHW[in_train_M] = target.train.images_NCHW[rows_M[in_train_M]]
    images_MCHW[~in_train_M] = target.test.images_NCHW[rows_M[~in_train_M] - n]
    return images_MCHW.view(*rows_ER.shape, *images_MCHW.shape[1:])
