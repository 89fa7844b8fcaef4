"""Hessian eigenvalues of the training objective (SEAL section 5, Table 6, after Park and Kim 2022; protocols 7.3).

Legend: N training images, B batches, k eigenvalues per batch, P parameters, S probes, G grid points.
"""

from itertools import count
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from evaluators import intervals
from evaluators.base import CONTEXT, Context, EvalResult, Evaluator, Score
from evaluators.curvature.density import broadened, hutchinson, quadrature
from evaluators.curvature.lanczos import Matvec, Spectrum, hvp, lanczos
from evaluators.metrics import BATCHES, SHARE, Metric
from trainer.core.data import AnyData, Dataset
from trainer.core.data.augment import Augmentation
from trainer.core.determinism import pin_precision
from trainer.core.seeding import generator

TOGETHER = 128
"""Images per pass for the density. With batch norm in eval mode, the objective is a sum over images, however they are
grouped."""


class HessianSpectrum(Evaluator):
    """The k eigenvalues of largest magnitude of each minibatch's Hessian, pooled, and the largest one by sign.

    The objective is the training one: label-smoothed cross-entropy averaged over the minibatch, training
    augmentation from a fixed seed, and L2 over all parameters, which adds exactly `weight_decay` to every
    eigenvalue; batch norm is in eval mode. A batch is counted whole: the images beyond the last full batch are left
    out, as the spectrum depends on the batch size.

    The spectral density is that of one Hessian, of the objective over all the images drawn (Ghorbani et al. 2019), not
    a mean over minibatches, whose noise would widen it. The trace is the same of both.
    """

    version: ClassVar[int] = 2
    needs_test_split: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("max", "largest eigenvalue of the pool", headline=True, n_of=BATCHES),
        Metric("negative_share", "share of negative eigenvalues in the pool", unit=SHARE, headline=True, n_of=BATCHES),
        Metric("positive_mean", "mean of the pool's positive eigenvalues", n_of=BATCHES),
        Metric("top1_mean", "mean over batches of the eigenvalue of largest magnitude", n_of=BATCHES),
        Metric("top1_median", "median over batches of the eigenvalue of largest magnitude", n_of=BATCHES),
        Metric("max_algebraic", "largest eigenvalue by sign of all batches", n_of=BATCHES),
        Metric("max_algebraic_mean", "mean over batches of the largest eigenvalue by sign", n_of=BATCHES),
        Metric("max_algebraic_median", "median over batches of the largest eigenvalue by sign", n_of=BATCHES),
        Metric("converged_share", "share of batches that reached the tolerance", unit=SHARE, n_of=BATCHES),
        Metric("trace", "trace of the Hessian by Hutchinson's estimate"),
    )

    name: Literal["hessian-spectrum"] = "hessian-spectrum"
    examples: int = Field(10_000, ge=1, description="training images drawn; at most all of them are")
    batch_size: int = Field(16, ge=1, description="images per Hessian")
    k: int = Field(5, ge=1, le=100, description="eigenvalues per Hessian, by magnitude")
    max_steps: int = Field(
        100,
        ge=1,
        description="Hessian-vector products per batch at most, not fewer than k; each step taken keeps one vector "
        "as large as the parameters on their device: "
        "100 steps of a ResNet-50 in fp32 need 9.6 GB, most batches take under 50",
    )
    tolerance: float = Field(1e-6, gt=0, lt=1, description="residual at which an eigenvalue counts as found, relative")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="the L2 coefficient of the training objective")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="the smoothing of the training objective")
    seed: int = Field(0, ge=0, le=2**31, description="draws the images, their augmentation and the random vectors")
    trace_probes: int = Field(0, ge=0, le=1000, description="random vectors per batch for the trace; 0 leaves it out")
    density_probes: int = Field(0, ge=0, le=100, description="random vectors for the spectral density; 0 leaves it out")
    density_steps: int = Field(80, ge=1, le=1000, description="Lanczos steps per vector, memory as for max_steps")
    density_width: float = Field(
        0.01,
        ge=1e-3,
        lt=1,
        description="standard deviation of the density's Gaussians, as a share of the spectrum's range",
    )

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.max_steps < self.k:
            raise ValueError(f"max_steps {self.max_steps} cannot find k {self.k} eigenvalues: use at least k")
        for field in ("density_steps", "density_width"):
            if not self.density_probes and getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(
                    f"{field} is for the density, which density_probes 0 leaves out: set density_probes too"
                )
        return self

    def problems(self, target: AnyData | None) -> list[tuple[str, str]]:
        """Returns a (field, message) pair if the images drawn do not fill a batch."""
        drawn = self.examples if target is None else min(self.examples, sum(target.train_sizes()))
        name = "the training data" if target is None else target.name
        return [] if self.batch_size <= drawn else [("batch_size", self._too_large(drawn, name))]

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        """Computes scores over B batches, with n = B.

        The pool holds the k values of largest magnitude of every batch, as in the paper. Its scores are `max` (the
        largest by sign; an extreme, so without interval), `negative_share` and `positive_mean` (NEP and APE; the latter
        only if a value is positive), and `top1_mean` and `top1_median` of each batch's value of largest magnitude,
        whatever its sign. `max_algebraic`, `max_algebraic_mean` and `max_algebraic_median` are scores of the largest
        eigenvalue by sign of every batch, which the pool lacks if k others are larger in magnitude. `converged_share`
        is the share of batches in which all of these reached the tolerance. With `trace_probes`, `trace` is the mean of
        Hutchinson's estimates. Its interval is over the batches, or for a single batch over the S probes, with n = S.

        Curves: `eigenvalues` is the pool, batch by batch, and `max_algebraic` has one value per batch. With
        `density_probes` there are also `density/grid` and `density/values`, which integrate to 1.

        Raises ValueError if the training images drawn do not fill one batch, and if the network has diverged.
        """
        drawn = min(self.examples, len(source.train))
        batches = drawn // self.batch_size
        if not batches:
            raise ValueError(self._too_large(drawn, source.name))
        pin_precision("fp32")  # products rounded to TF32 do not belong to a symmetric matrix to 1e-6
        objective = _Objective(
            model.eval(), source, *self._sample(source, batches * self.batch_size), self.label_smoothing
        )
        found, traces = [], []
        for index in range(batches):
            spectrum, trace_S = self._of_batch(objective, index)
            found.append(spectrum)
            traces.append(trace_S)
            context.progress("Hessian spectra", index + 1, batches)
        scores = self.scores_of(found)
        curves = {
            "eigenvalues": torch.cat([spectrum.values_k for spectrum in found]).tolist(),
            "max_algebraic": [spectrum.largest for spectrum in found],
        }
        if self.trace_probes:
            scores["trace"] = intervals.mean(torch.stack(traces).mean(1) if batches > 1 else traces[0])
        if self.density_probes:
            grid_G, values_G = self._density(objective, context)
            curves |= {"density/grid": grid_G.tolist(), "density/values": values_G.tolist()}
        missed, reach = sum(not spectrum.converged for spectrum in found), f"the residual {self.tolerance:g}"
        note = f"{missed} of {batches} batches did not reach {reach} in {self.max_steps} products"
        return EvalResult(scores=scores, curves=curves, notes=(note,) if missed else ())

    def scores_of(self, found: list[Spectrum]) -> dict[str, Score]:
        """Returns the scores of B batches, which `run` describes, without the trace."""
        pool_Bk = torch.stack([spectrum.values_k for spectrum in found])
        largest_B = torch.tensor([spectrum.largest for spectrum in found], dtype=torch.float64)
        positive_Bk, batches = pool_Bk > 0, len(found)
        scores = {
            "max": Score(value=float(pool_Bk.max()), n=batches),
            "negative_share": intervals.share(float((pool_Bk < 0).double().mean(1).sum()), batches),
            "top1_mean": intervals.mean(pool_Bk[:, 0]),
            "top1_median": intervals.median(pool_Bk[:, 0]),
            "max_algebraic": Score(value=float(largest_B.max()), n=batches),
            "max_algebraic_mean": intervals.mean(largest_B),
            "max_algebraic_median": intervals.median(largest_B),
            "converged_share": intervals.share(sum(spectrum.converged for spectrum in found), batches),
        }
        if positive_Bk.any():
            scores["positive_mean"] = intervals.ratio((pool_Bk * positive_Bk).sum(1), positive_Bk.sum(1))
        return scores

    def _sample(self, source: Dataset, n: int) -> tuple[Tensor, Tensor]:
        rows = torch.randperm(len(source.train), generator=generator(self.seed, "hessian", source.name, "rows"))[:n]
        rows = rows.to(source.train.labels_N.device)
        random = generator(self.seed, "hessian", source.name, "augment")
        augmentation = Augmentation.draw(n, source.shift, source.flip, random).to(rows.device)
        images_NCHW = augmentation.apply(source.train.images_NCHW[rows], torch.arange(n, device=rows.device))
        return images_NCHW, source.train.labels_N[rows]

    def _too_large(self, drawn: int, data: str) -> str:
        return f"batch_size {self.batch_size} is more than the {drawn} images drawn from {data!r}: use a smaller one"

    def _of_batch(self, objective: "_Objective", index: int) -> tuple[Spectrum, Tensor]:
        """Returns the spectrum of one batch and the estimates `[S]` of its trace, both with the L2 term."""
        at = index * self.batch_size
        data_term, P, decay = objective.hessian(at, at + self.batch_size), objective.size, self.weight_decay
        start = generator(self.seed, "hessian", objective.source.name, "start", index)
        signs = generator(self.seed, "hessian", objective.source.name, "trace", index)
        spectrum = lanczos(
            lambda v_P: data_term(v_P) + decay * v_P, P, self.k, start, self.max_steps, self.tolerance, *objective.where
        )
        return spectrum, hutchinson(data_term, P, signs, self.trace_probes, *objective.where) + decay * P

    def _density(self, objective: "_Objective", context: Context) -> tuple[Tensor, Tensor]:
        """Returns grid and density `[G]`, averaged over the probes. The L2 term only shifts the grid."""
        nodes, weights, products = [], [], count(1)

        def product(v_P: Tensor) -> Tensor:
            context.progress("Hessian density", next(products), self.density_probes * self.density_steps)
            return objective.whole(v_P)

        for probe in range(self.density_probes):
            start = generator(self.seed, "hessian", objective.source.name, "density", probe)
            found = quadrature(product, objective.size, start, self.density_steps, *objective.where)
            nodes.append(found[0])
            weights.append(found[1] / self.density_probes)
        grid_G, values_G = broadened(torch.cat(nodes), torch.cat(weights), self.density_width)
        return grid_G + self.weight_decay, values_G


class _Objective:
    """The mean loss of images `[N, C, H, W]` as a function of P parameters.

    The parameters are detached from the network's, so it does not matter whether those are frozen.
    """

    def __init__(
        self, model: nn.Module, source: Dataset, images_NCHW: Tensor, labels_N: Tensor, label_smoothing: float
    ) -> None:
        self.source = source
        self._model, self._images_NCHW, self._labels_N, self._smoothing = model, images_NCHW, labels_N, label_smoothing
        self._parameters = {name: value.detach().requires_grad_() for name, value in model.named_parameters()}
        self._weights = list(self._parameters.values())
        self.size = sum(weight.numel() for weight in self._weights)
        self.where = self._weights[0].dtype, self._weights[0].device

    def hessian(self, begin: int, end: int) -> Matvec:
        """Returns the map v -> Hv for the mean loss of the images from `begin` to `end`. The map keeps their graph."""
        dtype, device = self.where
        images = self.source.floats(self._images_NCHW[begin:end].to(device), dtype)
        labels = self._labels_N[begin:end].to(device)
        logits_NC = torch.func.functional_call(self._model, self._parameters, (images,))
        return hvp(functional.cross_entropy(logits_NC, labels, label_smoothing=self._smoothing), self._weights)

    def whole(self, v_P: Tensor) -> Tensor:
        """Returns Hv for the mean loss of all N images, with one graph in memory at a time."""
        total_P, N = torch.zeros_like(v_P), len(self._labels_N)
        for begin in range(0, N, TOGETHER):
            end = min(begin + TOGETHER, N)
            total_P += self.hessian(begin, end)(v_P) * ((end - begin) / N)
        return total_P
