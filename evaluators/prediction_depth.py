"""k-NN probes of every layer and prediction depth (SEAL section 5, Figures 2, 3; Baldock et al. 2021; protocols 7.4).

Legend: Q test images, S training images, L probed layers from input to output, D flattened outputs of one layer,
k neighbours, C classes.
"""

import copy
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, Evaluator, ModelProblem, distinct
from evaluators.features.extraction import PENULTIMATE, PIXELS
from evaluators.knn import Nearest, Search, Ties, knn_predict
from evaluators.metrics import IMAGES, Metric
from evaluators.progress import Progress, silent
from trainer.core.data import AnyData, Dataset, Split
from trainer.core.models import AnyModel, skeleton

SOFTMAX = "fc"
ROWS = 1024
EMPIRICAL = "neighbours are re-ranked bfloat16 candidates: that they are the nearest is empirical, not guaranteed"


class PredictionDepth(Evaluator):
    """Accuracy of a k-nearest-neighbour vote at each layer, and the layer from which the votes agree with the network.

    Every test image is compared with all training images by L2 distance of the layer's output, both without
    augmentation. The layer `fc` stands for the softmax of the logits. Training images are streamed past as many test
    images as fit into `memory_mb`, so their outputs are never held in memory at once.
    """

    version: ClassVar[int] = 2
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric.rate(
            "<layer>/knn_acc",
            "accuracy of the vote of the nearest neighbours at a layer",
            headline=True,
            n_of=IMAGES,
        ),
        Metric("mean_depth", "mean prediction depth, in layers", headline=True, n_of=IMAGES),
    )

    name: Literal["prediction-depth"] = "prediction-depth"
    k: int = Field(5, ge=1, le=10_000, description="neighbours that vote")
    layers: (
        Annotated[tuple[str, ...], Field(min_length=1, max_length=200, strict=False), AfterValidator(distinct)] | None
    ) = Field(
        None,
        description="probed layers from input to output, `fc` for the softmax; null: the stage points and fc",
    )
    pool: Literal["none", "avg"] = Field("none", description="`none` flattens an output, `avg` averages its pixels")
    search: Search = Field(
        "exact",
        description="`rerank` finds candidates in bfloat16, faster where the processor has it; "
        "not guaranteed to be exact",
    )
    ties: Ties = Field(
        "smaller-distance",
        description="which of the classes with most votes wins: that of the smaller summed distance (then the lower "
        "label), or the lowest label, as in scikit-learn's KNeighborsClassifier",
    )
    memory_mb: int = Field(4096, ge=1, description="MiB of test images' outputs held at once; changes no score")

    def for_model(self, model: AnyModel) -> Self:
        """Probes the network's stage points and the softmax where no layers are given."""
        if self.layers is not None:
            return self
        return self.model_copy(update={"layers": (*model.stage_points(), SOFTMAX)})

    def model_problems(self, model: AnyModel) -> list[ModelProblem]:
        """The probed layers that `model` lacks."""
        if self.layers is None:
            return []
        known = [name for name, _ in skeleton(model, classes=2).named_modules() if name]
        return [
            ModelProblem(
                f"layers/{index}",
                f"{model.name} has no layer {layer!r}",
                next(iter(get_close_matches(layer, known, n=1)), None),
            )
            for index, layer in enumerate(self.layers)
            if layer not in known
        ]

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """Returns (field, message) pairs, also for more neighbours than there are training images."""
        found = super().problems(target)
        if target is None or self.k <= (has := sum(target.train_sizes())):
            return found
        return [*found, ("k", self._too_many(has))]

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Compares the votes of every layer with the labels and with the network's predictions.

        Scores: `<layer>/knn_acc` against the labels (Wilson interval) and `mean_depth` (in layers, 0 to L), both with
        n = test images. Curves: `depth_histogram` and `depth/share`, the images at depth 0..L as counts and as shares,
        and `depth/examples`, the depth of each image. Raises ValueError for a layer that the model lacks, outputs that
        are not finite, or a k that is more than the training images.
        """
        assert self.layers is not None, "the layers are resolved before a run"
        if self.k > len(source.train):
            raise ValueError(self._too_many(len(source.train)))
        votes, final = [], []
        for held in _groups(
            self._points(model, source, source.test, context, context.progress), self.memory_mb * 2**20
        ):
            final.append(held[SOFTMAX].argmax(1))
            votes.append(self._votes(held, model, source, context))
        votes_LQ, final_Q = torch.cat(votes, 1), torch.cat(final)
        labels_Q = source.test.labels_N.to(final_Q.device)
        depths_Q = depths(votes_LQ, final_Q)
        scores = {
            f"{layer}/knn_acc": intervals.share(int((votes_Q == labels_Q).sum()), len(labels_Q))
            for layer, votes_Q in zip(self.layers, votes_LQ, strict=True)
        }
        scores["mean_depth"] = intervals.mean(depths_Q)
        histogram = torch.bincount(depths_Q, minlength=len(self.layers) + 1).double()
        curves = {
            "depth_histogram": histogram,
            "depth/share": histogram / len(depths_Q),
            "depth/examples": depths_Q.double(),
        }
        notes = (EMPIRICAL,) if self.search == "rerank" else ()
        return EvalResult(scores=scores, curves={name: each.tolist() for name, each in curves.items()}, notes=notes)

    def _too_many(self, has: int) -> str:
        return f"k {self.k} is more than the {has} training images: use a smaller k"

    def _points(
        self, model: nn.Module, source: Dataset, split: Split, context: Context, progress: Progress
    ) -> Iterator[dict[str, Tensor]]:
        """Yields, for some images at a time, the outputs `[N, D]` of each probed layer, and always those of SOFTMAX."""
        assert self.layers is not None
        layers = dict.fromkeys((*self.layers, SOFTMAX))
        streamed = dict.fromkeys(PENULTIMATE if layer == SOFTMAX else layer for layer in layers)
        # softmax outputs of a confident network differ by less than the rounding error of float32
        head = copy.deepcopy(model.get_submodule("fc")).double().requires_grad_(False)
        rows = max(1, min(ROWS, PIXELS // split.images_NCHW[0, 0].numel()))
        for piece in context.bank.stream(model, source, split, streamed, self.pool, rows, progress=progress):
            logits_NC = head(piece[PENULTIMATE].double())
            if not torch.isfinite(logits_NC).all():
                raise ValueError(
                    "the network's logits are not all finite, its training diverged: evaluate an earlier one"
                )
            piece[SOFTMAX] = logits_NC.softmax(1)
            yield {layer: piece[layer] for layer in layers}

    def _votes(self, held: dict[str, Tensor], model: nn.Module, source: Dataset, context: Context) -> Tensor:
        """Returns the votes `[L, Q]` for the test images whose outputs are in `held`, which is emptied."""
        assert self.layers is not None
        train, done = source.train, 0
        # bfloat16 is too coarse for the softmax, which has so few outputs that an exact search is fast
        search: dict[str, Search] = {layer: "exact" if layer == SOFTMAX else self.search for layer in self.layers}
        nearest = {layer: Nearest(held.pop(layer), self.k, search[layer]) for layer in self.layers}
        for piece in self._points(model, source, train, context, silent):
            for layer, each in nearest.items():
                each.add(piece[layer])
            done += len(piece[SOFTMAX])
            context.progress(f"neighbours among the training images of {source.name}", done, len(train))
        return torch.stack(
            [
                knn_predict(
                    each.distances_Qk,
                    train.labels_N.to(each.index_Qk.device)[each.index_Qk],
                    len(source.classes),
                    self.ties,
                )
                for each in nearest.values()
            ]
        )


def _groups(pieces: Iterable[dict[str, Tensor]], limit_bytes: int) -> Iterator[dict[str, Tensor]]:
    """Joins consecutive pieces into groups of at most `limit_bytes`. A single piece may exceed the limit."""
    held: list[dict[str, Tensor]] = []
    free = limit_bytes
    for piece in pieces:
        needs = sum(values_ND.nbytes for values_ND in piece.values())
        if held and needs > free:
            yield _joined(held)
            held, free = [], limit_bytes
        held.append(piece)
        free -= needs
    yield _joined(held)


def _joined(pieces: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    # layer by layer, so that only one layer is in memory twice
    return {layer: torch.cat([piece.pop(layer) for piece in pieces]) for layer in list(pieces[0])}


def depths(votes_LQ: Tensor, final_Q: Tensor) -> Tensor:
    """Returns the smallest layer index `[Q]` from which on all votes equal the network's prediction.

    It is L if the vote of the last layer differs.
    """
    agree_LQ = (votes_LQ == final_Q).long()
    return len(votes_LQ) - agree_LQ.flip(0).cumprod(0).sum(0)
