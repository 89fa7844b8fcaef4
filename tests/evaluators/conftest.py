"""What the evaluators' tests share: one thread, and a small trained float64 network."""

import pytest
import torch
from torch import nn

from tests.evaluators.builders import trained_network
from trainer.core.data import Dataset, named
from trainer.core.models import DigitsResNet, build


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """A resnet-digits of width 4, trained for three epochs on the digits, in eval mode."""
    model = build(DigitsResNet(width=4), classes=10, seed=3).double().train()
    digits = named("digits").load()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for epoch in range(3):
        order = torch.randperm(901, generator=torch.Generator().manual_seed(epoch))
        for rows in torch.split(order, 50):
            logits = model(digits.floats(digits.train.images_NCHW[rows], torch.float64))
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(logits, digits.train.labels_N[rows]))
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return named("digits").load()


@pytest.fixture(scope="session")
def edges() -> Dataset:
    return named("digits-edges").load()


@pytest.fixture(scope="session")
def small() -> nn.Module:
    """A convolutional network with batch norm, float64, trained a little so that its Hessian has a shape."""
    return trained_network()
