"""The trace and the spectral density of the Hessian evaluator, against dense Hessians."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from evaluators.base import Score
from evaluators.hessian import HessianSpectrum
from tests.evaluators.builders import batches_of, full_hessian, objective
from trainer.core.data import Dataset, Split
from trainer.core.seeding import generator

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch.func's own


def test_the_trace_is_that_of_the_full_hessians_within_its_error(small: nn.Module, digits: Dataset) -> None:
    full = torch.stack([full_hessian(small, *batch, 0.1, 0.0) for batch in batches_of(digits, 32, 16)])
    exact = full.diagonal(dim1=1, dim2=2).sum(1)
    variance = 2 * (full.square().sum((1, 2)) - full.diagonal(dim1=1, dim2=2).square().sum(1))

    def trace(examples: int, decay: float = 0.0) -> Score:
        spec = HessianSpectrum(
            examples=examples,
            k=1,
            max_steps=1,
            weight_decay=decay,
            trace_probes=60,
        )
        return spec.run(small, digits, digits).scores["trace"]

    both, first = trace(32), trace(16)
    assert (both.n, first.n) == (2, 60)
    assert abs(both.value - float(exact.mean())) < 3 * math.sqrt(float(variance.mean()) / 120)
    assert abs(first.value - float(exact[0])) < 3 * math.sqrt(float(variance[0]) / 60)
    # of one batch the interval is of the probes, whose spread is known
    assert first.low is not None
    assert first.high is not None
    assert (first.high - first.low) / 2 == pytest.approx(1.96 * math.sqrt(float(variance[0]) / 60), rel=0.3)
    # of several it is of the batches: here of two, whose mean and first give the second
    assert both.low is not None
    assert both.value - both.low == pytest.approx(1.96 * abs(both.value - first.value), rel=1e-9)
    parameters = sum(value.numel() for value in small.parameters())
    assert trace(16, 0.01).value - first.value == pytest.approx(0.01 * parameters, abs=1e-9)


def test_every_batch_has_probes_of_its_own(small: nn.Module, digits: Dataset) -> None:
    same = Split(digits.train.images_NCHW[:1].repeat(8, 1, 1, 1), digits.train.labels_N[:1].repeat(8))
    alike = Dataset(
        "alike",
        digits.classes,
        same,
        digits.test,
        digits.mean,
        digits.std,
    )
    spec = HessianSpectrum(batch_size=4, k=1, max_steps=1, trace_probes=1)
    found = spec.run(small, alike, alike).scores["trace"]
    assert found.low is not None
    assert found.low < found.value - 1e-3


def test_the_density_is_that_of_the_mean_loss_of_all_images_drawn(small: nn.Module, digits: Dataset) -> None:
    # 144 images are more than one pass; the moments of the density are those of its start vectors
    spec = HessianSpectrum(
        examples=144,
        k=1,
        max_steps=1,
        density_probes=2,
        density_steps=10,
        density_width=0.02,
    )
    curves = spec.run(small, digits, digits).curves
    grid, values = (torch.tensor(curves[f"density/{name}"], dtype=torch.float64) for name in ("grid", "values"))
    [(images, labels)] = batches_of(digits, 144, 144)
    value_at, flat = objective(small, images, labels, 0.1, 5e-4)
    truth = torch.zeros(3, dtype=torch.float64)
    for probe in range(2):
        start = torch.randn(
            len(flat), dtype=torch.float64, generator=generator(0, "hessian", "digits", "density", probe)
        )
        start /= start.norm()
        product = torch.func.jvp(torch.func.grad(value_at), (flat,), (start,))[1]
        truth += torch.stack([start @ start, start @ product, product @ product]) / 2
    sigma = float(grid[-1] - grid[0]) * 0.02 / (1 + 10 * 0.02)  # the grid goes five of them beyond the range
    truth[2] += sigma**2
    found = [float((values * grid**degree).sum() * (grid[1] - grid[0])) for degree in range(3)]
    assert found == pytest.approx(truth.tolist(), rel=1e-5)


def test_the_ends_of_the_density_are_those_of_the_spectrum(small: nn.Module, digits: Dataset) -> None:
    [batch] = batches_of(digits, 32, 32)
    truth = torch.linalg.eigvalsh(full_hessian(small, *batch, 0.1, 5e-4))
    spec = HessianSpectrum(
        examples=32,
        k=1,
        max_steps=1,
        density_probes=1,
        density_steps=60,
    )
    grid = spec.run(small, digits, digits).curves["density/grid"]
    sigma = 0.01 * float(truth[-1] - truth[0])
    assert [grid[0], grid[-1]] == pytest.approx([float(truth[0]) - 5 * sigma, float(truth[-1]) + 5 * sigma], rel=1e-6)


def test_the_weight_decay_moves_the_grid_of_the_density_and_nothing_else(small: nn.Module, digits: Dataset) -> None:
    def curves(decay: float) -> dict[str, list[float]]:
        spec = HessianSpectrum(
            examples=32,
            k=1,
            max_steps=1,
            density_probes=1,
            density_steps=10,
            weight_decay=decay,
        )
        return spec.run(small, digits, digits).curves

    plain, shifted = curves(0.0), curves(0.25)
    assert shifted["density/values"] == plain["density/values"]
    assert shifted["density/grid"] == [value + 0.25 for value in plain["density/grid"]]


def test_without_probes_there_is_neither_trace_nor_density(small: nn.Module, digits: Dataset) -> None:
    result = HessianSpectrum(examples=16, k=1, max_steps=1).run(small, digits, digits)
    assert "trace" not in result.scores
    assert set(result.curves) == {"eigenvalues", "max_algebraic"}


@pytest.mark.parametrize("field", ["density_steps", "density_width"])
def test_settings_of_a_density_that_is_left_out_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=f"{field} is for the density, which density_probes 0 leaves out"):
        HessianSpectrum.model_validate({field: 0.5 if field == "density_width" else 50})
    assert HessianSpectrum(density_probes=1, density_steps=50, density_width=0.5).density_steps == 50
    assert HessianSpectrum(density_steps=80) == HessianSpectrum()
