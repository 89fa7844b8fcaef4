import copy
import math
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from evaluators.base import Context, Score
from evaluators.curvature.lanczos import Spectrum
from evaluators.hessian import HessianSpectrum
from trainer.core.data import Dataset, Split, named
from trainer.core.data.augment import random_shift, shift_offsets
from trainer.core.seeding import generator

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch.func's own


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """A convolutional network with batch norm, float64, trained a little so that its Hessian has a shape."""
    torch.manual_seed(0)
    model = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 4, 3, stride=2, bias=False),
            bn1=nn.BatchNorm2d(4),
            relu1=nn.ReLU(inplace=True),
            conv2=nn.Conv2d(4, 5, 3, stride=2, bias=False),
            bn2=nn.BatchNorm2d(5),
            relu2=nn.ReLU(inplace=True),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            fc=nn.Linear(5, 10),
        )
    ).double()
    digits = named("digits").load()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for rows in torch.split(torch.arange(320), 32):
        loss = nn.functional.cross_entropy(
            model(digits.floats(digits.train.images_NCHW[rows], torch.float64)), digits.train.labels_N[rows]
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def objective(
    model: nn.Module, images: Tensor, labels: Tensor, smoothing: float, weight_decay: float
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The objective written out, as a function of all parameters in one vector, and that vector."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [value.shape for value in model.parameters()]
    sizes = [value.numel() for value in model.parameters()]

    def value_at(flat: Tensor) -> Tensor:
        pieces = torch.split(flat, sizes)
        parameters = {n: p.view(s) for n, p, s in zip(names, pieces, shapes, strict=True)}
        logits = torch.func.functional_call(model, parameters, (images,))
        minus_log = logits.logsumexp(1, keepdim=True) - logits
        true = minus_log.gather(1, labels[:, None])[:, 0]
        loss = ((1 - smoothing) * true + smoothing * minus_log.mean(1)).mean()
        return torch.as_tensor(loss + weight_decay / 2 * flat.square().sum())

    return value_at, torch.cat([value.detach().flatten() for value in model.parameters()])


def full_hessian(model: nn.Module, images: Tensor, labels: Tensor, smoothing: float, weight_decay: float) -> Tensor:
    """All second derivatives, by forward over reverse mode."""
    value_at, flat = objective(model, images, labels, smoothing, weight_decay)
    return torch.as_tensor(torch.func.hessian(value_at)(flat))


def batches_of(digits: Dataset, n: int, size: int) -> list[tuple[Tensor, Tensor]]:
    rows = torch.randperm(901, generator=generator(0, "hessian", "digits", "rows"))[:n]
    offsets = shift_offsets(n, 2, generator(0, "hessian", "digits", "augment"))
    images = digits.floats(random_shift(digits.train.images_NCHW[rows], offsets, 2), torch.float64)
    return list(zip(torch.split(images, size), torch.split(digits.train.labels_N[rows], size), strict=True))


def test_a_run_pools_the_largest_eigenvalues_of_full_hessians(small: nn.Module, digits: Dataset) -> None:
    spec = HessianSpectrum(examples=55, batch_size=16)
    result = spec.run(small, digits, digits)
    full = torch.stack(
        [torch.linalg.eigvalsh(full_hessian(small, *batch, 0.1, 5e-4)) for batch in batches_of(digits, 48, 16)]
    )
    truth = full.gather(1, full.abs().argsort(descending=True)[:, :5])
    found = torch.tensor(result.curves["eigenvalues"], dtype=torch.float64).view(3, 5)
    assert ((found - truth) / truth).abs().max() < 1e-8
    assert (truth < 0).any()
    flat = truth.flatten()
    scores = result.scores
    assert scores["max"].value == pytest.approx(float(flat.max()), rel=1e-8)
    assert scores["max"].low is None
    assert scores["negative_share"].value == pytest.approx(float((flat < 0).double().mean()), abs=1e-12)
    assert scores["positive_mean"].value == pytest.approx(float(flat[flat > 0].mean()), rel=1e-8)
    assert scores["top1_mean"].value == pytest.approx(float(truth[:, 0].mean()), rel=1e-8)
    assert scores["top1_median"].value == pytest.approx(float(truth[:, 0].median()), rel=1e-8)
    largest = full.max(1).values
    assert result.curves["max_algebraic"] == pytest.approx(largest.tolist(), rel=1e-8)
    assert scores["max_algebraic"].value == pytest.approx(float(largest.max()), rel=1e-8)
    assert scores["max_algebraic"].low is None
    assert scores["max_algebraic_mean"].value == pytest.approx(float(largest.mean()), rel=1e-8)
    assert scores["max_algebraic_median"].value == pytest.approx(float(largest.median()), rel=1e-8)
    assert scores["converged_share"].value == 1
    assert {score.n for score in scores.values()} == {3}
    assert result.notes == ()


def test_weight_decay_shifts_every_eigenvalue(small: nn.Module, digits: Dataset) -> None:
    without = HessianSpectrum(examples=16, weight_decay=0.0).run(small, digits, digits)
    shifted = HessianSpectrum(examples=16, weight_decay=0.01).run(small, digits, digits)
    for before, after in zip(without.curves["eigenvalues"], shifted.curves["eigenvalues"], strict=True):
        assert after - before == pytest.approx(0.01, abs=1e-9)


def test_magnitude_is_ranked_with_the_weight_decay(small: nn.Module, digits: Dataset) -> None:
    # decay beyond the most negative eigenvalue leaves none: the ranking is that of the whole objective
    plain = HessianSpectrum(examples=16, weight_decay=0.0).run(small, digits, digits)
    decayed = HessianSpectrum(examples=16, weight_decay=1.0).run(small, digits, digits)
    assert min(plain.curves["eigenvalues"]) < 0
    assert min(decayed.curves["eigenvalues"]) > 1


def test_the_objective_may_be_plain_cross_entropy(small: nn.Module, digits: Dataset) -> None:
    [(images, labels)] = batches_of(digits, 16, 16)
    truth = torch.linalg.eigvalsh(full_hessian(small, images, labels, 0.0, 0.0)).max()
    found = (
        HessianSpectrum(examples=16, label_smoothing=0.0, weight_decay=0.0)
        .run(small, digits, digits)
        .scores["max"]
        .value
    )
    assert found == pytest.approx(float(truth), rel=1e-8)
    assert found != pytest.approx(HessianSpectrum(examples=16).run(small, digits, digits).scores["max"].value, rel=1e-3)


def test_which_scores_go_by_magnitude_and_which_by_sign() -> None:
    def batch(values: list[float], largest: float, converged: bool = True) -> Spectrum:
        return Spectrum(
            torch.tensor(values).double(),
            torch.zeros(2).double(),
            largest,
            0.0,
            converged,
            9,
        )

    spec = HessianSpectrum(k=2)
    scores = spec.scores_of([batch([-9, -8], 7), batch([-5, 4], 4), batch([3, 2], 3), batch([-1, -1], -1, False)])
    assert {name: score.value for name, score in scores.items()} == {
        "max": 4, "negative_share": 0.625, "top1_mean": -3, "top1_median": -3, "positive_mean": 3, "max_algebraic": 7,
        "max_algebraic_mean": 3.25, "max_algebraic_median": 3.5, "converged_share": 0.75,
    }  # fmt: skip


def test_a_frozen_network_is_judged_alike_and_left_alone(small: nn.Module, digits: Dataset) -> None:
    spec = HessianSpectrum(examples=16)
    first = spec.run(small, digits, digits)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    second = spec.run(small.requires_grad_(False), digits, digits)
    assert first == second
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in small.parameters())


def test_batches_that_did_not_converge_are_counted_and_said(small: nn.Module, digits: Dataset) -> None:
    result = HessianSpectrum(examples=32, max_steps=6).run(small, digits, digits)
    assert result.scores["converged_share"].value == 0
    assert result.notes == ("2 of 2 batches did not reach the residual 1e-06 in 6 products",)


def test_progress_is_told_per_batch_and_per_product_of_the_density(small: nn.Module, digits: Dataset) -> None:
    reported: list[tuple[str, int, int]] = []
    spec = HessianSpectrum(
        examples=32,
        k=1,
        max_steps=2,
        density_probes=2,
        density_steps=2,
    )
    spec.run(small, digits, digits, Context(progress=lambda *each: reported.append(each)))
    products = [("Hessian density", done, 4) for done in (1, 2, 3, 4)]
    assert reported == [("Hessian spectra", 1, 2), ("Hessian spectra", 2, 2), *products]


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


def test_a_diverged_network_is_refused(small: nn.Module, digits: Dataset) -> None:
    broken = copy.deepcopy(small)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="the training diverged: evaluate an earlier network"):
        HessianSpectrum(examples=16).run(broken, digits, digits)


def test_all_training_images_are_the_most_that_is_drawn(small: nn.Module, digits: Dataset) -> None:
    few = Dataset(
        "digits", digits.classes, Split(digits.train.images_NCHW[:20], digits.train.labels_N[:20]), digits.test,
        digits.mean, digits.std,
    )  # fmt: skip
    assert HessianSpectrum(batch_size=8, k=1).run(small, few, few).scores["max"].n == 2


def test_a_batch_the_images_do_not_fill_is_refused(small: nn.Module, digits: Dataset) -> None:
    with pytest.raises(ValueError, match="batch_size 16 is more than the 10 images drawn from 'digits': use a smaller"):
        HessianSpectrum(examples=10).run(small, digits, digits)


def test_steps_must_reach_k() -> None:
    with pytest.raises(ValidationError, match="max_steps 4 cannot find k 5 eigenvalues: use at least k"):
        HessianSpectrum(max_steps=4)


@pytest.mark.parametrize("field", ["density_steps", "density_width"])
def test_settings_of_a_density_that_is_left_out_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=f"{field} is for the density, which density_probes 0 leaves out"):
        HessianSpectrum.model_validate({field: 0.5 if field == "density_width" else 50})
    assert HessianSpectrum(density_probes=1, density_steps=50, density_width=0.5).density_steps == 50
    assert HessianSpectrum(density_steps=80) == HessianSpectrum()
