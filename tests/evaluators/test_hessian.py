import copy

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from evaluators.base import Context
from evaluators.curvature.lanczos import Spectrum
from evaluators.hessian import HessianSpectrum
from tests.evaluators.builders import batches_of, full_hessian
from trainer.core.data import Dataset, Split

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch.func's own


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
