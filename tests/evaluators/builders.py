"""Objects for tests of the Hessian: a small trained network, its minibatches and their dense Hessians."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainer.core.data import Dataset, named
from trainer.core.data.augment import random_shift, shift_offsets
from trainer.core.seeding import generator


def trained_network() -> nn.Module:
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
