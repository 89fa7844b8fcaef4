"""Hessian eigenvalues of the training objective (SEAL section 5, Table 6, after Park and Kim 2022; protocols 7.3).

Legend: N training images, B batches, k eigenvalues of each, P parameters.
"""

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, Evaluator, Score
from evaluators.curvature import Spectrum, hvp, lanczos
from trainer.core.data import AnyData, Dataset
from trainer.core.data.augment import Augmentation
from trainer.core.seeding import generator


class HessianSpectrum(Evaluator):
    """The k eigenvalues of largest magnitude of each minibatch's Hessian, pooled.

    The objective is the training one: label-smoothed cross-entropy averaged over the minibatch, training
    augmentation from a fixed seed, and L2 over all parameters, which adds exactly `weight_decay` to every
    eigenvalue; batch norm is in eval mode. A batch is counted whole: the images beyond the last full batch are left
    out, as the spectrum depends on the batch size.
    """

    needs_test_split: ClassVar[bool] = False

    name: Literal["hessian-spectrum"] = "hessian-spectrum"
    examples: int = Field(10_000, ge=1, description="training images drawn; at most all of them are")
    batch_size: int = Field(16, ge=1, description="images per Hessian")
    k: int = Field(5, ge=1, le=100, description="eigenvalues per Hessian, by magnitude")
    max_steps: int = Field(100, ge=1, description="Hessian-vector products per batch at most; not fewer than k")
    tolerance: float = Field(1e-6, gt=0, lt=1, description="residual at which an eigenvalue counts as found, relative")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="the L2 coefficient of the training objective")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="the smoothing of the training objective")
    seed: int = Field(0, ge=0, le=2**31, description="draws the images, their augmentation and the start vectors")

    @model_validator(mode="after")
    def _steps_suffice(self) -> Self:
        if self.max_steps < self.k:
            raise ValueError(f"max_steps {self.max_steps} cannot find k {self.k} eigenvalues: use at least k")
        return self

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """A batch that the images drawn do not fill, as (field, message)."""
        drawn = self.examples if target is None else min(self.examples, sum(target.train_sizes()))
        name = "the training data" if target is None else target.name
        return [] if self.batch_size <= drawn else [("batch_size", self._too_large(drawn, name))]

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Scores over B batches, n = B: `max` (largest of the pool; an extreme, so no interval), `negative_share`
        and `positive_mean` (NEP and APE over the pool; the latter only if a value is positive), `top1_mean` and
        `top1_median` (of each batch's value of largest magnitude) and `converged_share`. The curve `eigenvalues` is
        the pool, batch by batch.

        Raises ValueError where the training images drawn do not fill one batch.
        """
        batches = min(self.examples, len(source.train)) // self.batch_size
        if not batches:
            raise ValueError(self._too_large(min(self.examples, len(source.train)), source.name))
        images_NCHW, labels_N = self._sample(source, batches * self.batch_size)
        found = [
            self._spectrum(model, source, batch_images, batch_labels, index)
            for index, (batch_images, batch_labels) in enumerate(
                zip(torch.split(images_NCHW, self.batch_size), torch.split(labels_N, self.batch_size), strict=True)
            )
        ]
        pool_Bk = torch.stack([spectrum.values_k for spectrum in found])
        positive_Bk = pool_Bk > 0
        scores = {
            "max": Score(value=float(pool_Bk.max()), n=batches),
            "negative_share": intervals.share(float((pool_Bk < 0).double().mean(1).sum()), batches),
            "top1_mean": intervals.mean(pool_Bk[:, 0]),
            "top1_median": intervals.median(pool_Bk[:, 0]),
            "converged_share": intervals.share(sum(spectrum.converged for spectrum in found), batches),
        }
        if positive_Bk.any():
            scores["positive_mean"] = intervals.ratio((pool_Bk * positive_Bk).sum(1), positive_Bk.sum(1))
        return EvalResult(scores=scores, curves={"eigenvalues": pool_Bk.flatten().tolist()})

    def _sample(self, source: Dataset, n: int) -> tuple[Tensor, Tensor]:
        rows = torch.randperm(len(source.train), generator=generator(self.seed, "hessian", source.name, "rows"))[:n]
        rows = rows.to(source.train.labels_N.device)
        random = generator(self.seed, "hessian", source.name, "augment")
        augmentation = Augmentation.draw(n, source.shift, source.flip, random).to(rows.device)
        images_NCHW = augmentation.apply(source.train.images_NCHW[rows], torch.arange(n, device=rows.device))
        return images_NCHW, source.train.labels_N[rows]

    def _too_large(self, drawn: int, data: str) -> str:
        return f"batch_size {self.batch_size} is more than the {drawn} images drawn from {data!r}: use a smaller one"

    def _spectrum(self, model: nn.Module, source: Dataset, images_NCHW: Tensor, labels_N: Tensor, index: int) -> Spectrum:
        model.eval()
        # copies that require gradients: whether the network's own are frozen does not matter
        parameters = {name: value.detach().requires_grad_() for name, value in model.named_parameters()}
        weights = list(parameters.values())
        device, dtype = weights[0].device, weights[0].dtype
        images = source.floats(images_NCHW.to(device), dtype)
        logits_NC = torch.func.functional_call(model, parameters, (images,))
        loss = functional.cross_entropy(logits_NC, labels_N.to(device), label_smoothing=self.label_smoothing)
        data_term = hvp(loss, weights)
        return lanczos(
            lambda v_P: data_term(v_P) + self.weight_decay * v_P,
            sum(weight.numel() for weight in weights),
            self.k,
            generator(self.seed, "hessian", source.name, "start", index),
            self.max_steps,
            self.tolerance,
            dtype,
            device,
        )
