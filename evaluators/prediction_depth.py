"""kNN probes of every layer and prediction depth (SEAL section 5, Figures 2, 3; Baldock et al. 2021; protocols 7.4).

Legend: Q test images, S training images, L probed layers from input to output, D flattened outputs of one, k
neighbours, C classes.
"""

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, Evaluator, distinct
from evaluators.features import activations, forward, logits
from trainer.core.data import AnyData, Dataset

SOFTMAX = "fc"


class PredictionDepth(Evaluator):
    """Accuracy of a k-nearest-neighbour vote at each layer, and the layer from which on the votes agree with the
    network.

    Every test image is compared with all training images by L2 distance of the layer's output, both without
    augmentation; the layer `fc` stands for the softmax of the logits. Training images are streamed, so their
    outputs are never held at once.
    """

    name: Literal["prediction-depth"] = "prediction-depth"
    k: int = Field(5, ge=1, le=10_000, description="neighbours that vote")
    layers: Annotated[tuple[str, ...], Field(min_length=1, max_length=200, strict=False), AfterValidator(distinct)] | None = (
        Field(
            None,
            description="probed layers from input to output, `fc` for the softmax; null: the stage points and fc",
        )
    )
    pool: Literal["none", "avg"] = Field("none", description="`none` flattens an output, `avg` averages its pixels")
    query_chunk: int = Field(2048, ge=1, description="test images whose outputs are held at once")
    support_chunk: int = Field(1024, ge=1, description="training images whose outputs are held at once")

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """More neighbours than training images, as (field, message)."""
        found = super().problems(target)
        if target is None or self.k <= (has := sum(target.train_sizes())):
            return found
        return [*found, ("k", self._too_many(has))]

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Scores `<layer>/knn_acc` against the labels (Wilson interval) and `mean_depth` (in layers, 0 to L), n =
        test images; the curve `depth_histogram` counts the images at depth 0..L. Raises ValueError for a layer the
        model lacks or a k beyond the training images."""
        assert self.layers is not None, "the layers are resolved before a run"
        if self.k > len(source.train):
            raise ValueError(self._too_many(len(source.train)))
        final_Q = logits(model, source.test.images_NCHW, source).argmax(1)
        labels_Q = source.test.labels_N.to(final_Q.device)
        chunks = torch.split(source.test.images_NCHW, self.query_chunk)
        votes_LQ = torch.cat([self._votes(model, source, images_NCHW) for images_NCHW in chunks], 1)
        depths_Q = depths(votes_LQ, final_Q)
        scores = {
            f"{layer}/knn_acc": intervals.share(int((votes_Q == labels_Q).sum()), len(labels_Q))
            for layer, votes_Q in zip(self.layers, votes_LQ, strict=True)
        }
        scores["mean_depth"] = intervals.mean(depths_Q)
        histogram = torch.bincount(depths_Q, minlength=len(self.layers) + 1)
        return EvalResult(scores=scores, curves={"depth_histogram": histogram.double().tolist()})

    def _too_many(self, has: int) -> str:
        return f"k {self.k} is more than the {has} training images: use a smaller k"

    def _votes(self, model: nn.Module, source: Dataset, images_NCHW: Tensor) -> Tensor:
        queries = self._outputs(model, source, images_NCHW)
        nearest: dict[str, tuple[Tensor, Tensor]] = {}
        for support_NCHW, labels_S in zip(
            torch.split(source.train.images_NCHW, self.support_chunk),
            torch.split(source.train.labels_N, self.support_chunk),
            strict=True,
        ):
            for layer, support_SD in self._outputs(model, source, support_NCHW).items():
                distances_QS = squared_distances(queries[layer], support_SD)
                labels_QS = labels_S.to(distances_QS.device).expand_as(distances_QS)
                if layer in nearest:
                    distances_QS = torch.cat([nearest[layer][0], distances_QS], 1)
                    labels_QS = torch.cat([nearest[layer][1], labels_QS], 1)
                distances_Qk, columns_Qk = distances_QS.topk(min(self.k, distances_QS.shape[1]), largest=False)
                nearest[layer] = (distances_Qk, labels_QS.gather(1, columns_Qk))
        return torch.stack(
            [knn_predict(squared.sqrt(), labels_Qk, len(source.classes)) for squared, labels_Qk in nearest.values()]
        )

    def _outputs(self, model: nn.Module, source: Dataset, images_NCHW: Tensor) -> dict[str, Tensor]:
        assert self.layers is not None
        pieces: dict[str, list[Tensor]] = {layer: [] for layer in self.layers}
        with activations(model, [layer for layer in self.layers if layer != SOFTMAX]) as outputs:
            for logits_NC in forward(model, images_NCHW, source):
                for layer in self.layers:
                    if layer == SOFTMAX:
                        # a sure network's outputs differ by less than float32 rounds to
                        pieces[layer].append(logits_NC.double().softmax(1))
                    elif self.pool == "avg" and outputs[layer].ndim == 4:
                        pieces[layer].append(outputs[layer].mean((2, 3)))
                    else:
                        pieces[layer].append(outputs[layer].flatten(1))
        return {layer: torch.cat(found) for layer, found in pieces.items()}


def squared_distances(query_QD: Tensor, support_SD: Tensor) -> Tensor:
    """Squared L2 distances `[Q, S]`, from one matrix product."""
    centre_D = query_QD.mean(0)  # outputs of a ReLU lie far from zero, where |q|^2 + |s|^2 - 2qs cancels
    q_QD, s_SD = query_QD - centre_D, support_SD - centre_D
    norms_QS = q_QD.square().sum(1, keepdim=True) + s_SD.square().sum(1)
    return torch.addmm(norms_QS, q_QD, s_SD.T, alpha=-2).clamp_(min=0)


def knn_predict(distances_Qk: Tensor, labels_Qk: Tensor, classes: int) -> Tensor:
    """The majority class `[Q]`; a tie goes to the smaller summed distance, then to the lower class."""
    empty_QC = distances_Qk.new_zeros(len(labels_Qk), classes)
    votes_QC = empty_QC.scatter_add(1, labels_Qk, torch.ones_like(distances_Qk))
    summed_QC = empty_QC.scatter_add(1, labels_Qk, distances_Qk)
    tied_QC = votes_QC == votes_QC.amax(1, keepdim=True)
    return summed_QC.masked_fill(~tied_QC, torch.inf).argmin(1)


def depths(votes_LQ: Tensor, final_Q: Tensor) -> Tensor:
    """The smallest layer index `[Q]` from which on all votes equal the network's prediction; L if the last
    differs."""
    agree_LQ = (votes_LQ == final_Q).long()
    return len(votes_LQ) - agree_LQ.flip(0).cumprod(0).sum(0)
