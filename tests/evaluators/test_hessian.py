from collections import OrderedDict

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

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


def full_hessian(model: nn.Module, images: Tensor, labels: Tensor, smoothing: float, weight_decay: float) -> Tensor:
    """All second derivatives, by forward over reverse mode, of the objective written out."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [value.shape for value in model.parameters()]
    sizes = [value.numel() for value in model.parameters()]

    def objective(flat: Tensor) -> Tensor:
        pieces = torch.split(flat, sizes)
        parameters = {n: p.view(s) for n, p, s in zip(names, pieces, shapes, strict=True)}
        logits = torch.func.functional_call(model, parameters, (images,))
        minus_log = logits.logsumexp(1, keepdim=True) - logits
        true = minus_log.gather(1, labels[:, None])[:, 0]
        loss = ((1 - smoothing) * true + smoothing * minus_log.mean(1)).mean()
        return torch.as_tensor(loss + weight_decay / 2 * flat.square().sum())

    flat = torch.cat([value.detach().flatten() for value in model.parameters()])
    return torch.as_tensor(torch.func.hessian(objective)(flat))


def batches_of(digits: Dataset, n: int, size: int) -> list[tuple[Tensor, Tensor]]:
    rows = torch.randperm(901, generator=generator(0, "hessian", "digits", "rows"))[:n]
    offsets = shift_offsets(n, 2, generator(0, "hessian", "digits", "augment"))
    images = digits.floats(random_shift(digits.train.images_NCHW[rows], offsets, 2), torch.float64)
    return list(zip(torch.split(images, size), torch.split(digits.train.labels_N[rows], size), strict=True))


def test_a_run_pools_the_largest_eigenvalues_of_full_hessians(small: nn.Module, digits: Dataset) -> None:
    spec = HessianSpectrum(examples=55, batch_size=16)
    result = spec.run(small, digits, digits)
    pool = []
    for images, labels in batches_of(digits, 48, 16):
        values = torch.linalg.eigvalsh(full_hessian(small, images, labels, 0.1, 5e-4))
        pool.append(values[values.abs().argsort(descending=True)[:5]])
    truth = torch.stack(pool)
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
    assert scores["converged_share"].value == 1
    assert {score.n for score in scores.values()} == {3}


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


def test_label_smoothing_is_part_of_the_objective(small: nn.Module, digits: Dataset) -> None:
    [(images, labels)] = batches_of(digits, 16, 16)
    truth = torch.linalg.eigvalsh(full_hessian(small, images, labels, 0.0, 5e-4)).max()
    found = HessianSpectrum(examples=16, label_smoothing=0.0).run(small, digits, digits).scores["max"].value
    assert found == pytest.approx(float(truth), rel=1e-8)
    assert found != pytest.approx(HessianSpectrum(examples=16).run(small, digits, digits).scores["max"].value, rel=1e-3)


def test_a_frozen_network_is_judged_alike_and_left_alone(small: nn.Module, digits: Dataset) -> None:
    spec = HessianSpectrum(examples=16)
    first = spec.run(small, digits, digits)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    second = spec.run(small.requires_grad_(False), digits, digits)
    assert first == second
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in small.parameters())


def test_few_steps_show_in_the_converged_share(small: nn.Module, digits: Dataset) -> None:
    scores = HessianSpectrum(examples=32, max_steps=6).run(small, digits, digits).scores
    assert scores["converged_share"].value == 0


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
