"""The GPU path of batch norm, run here on a CPU and compared with torch's own batch norm in float64."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.episodes.batch_norm import EpisodeNorm, normalised

E, C = 3, 5


def _norm(training: bool) -> EpisodeNorm:
    random = torch.Generator().manual_seed(0)
    norm = EpisodeNorm(nn.BatchNorm2d(C).double(), E).train(training)
    with torch.no_grad():
        for each in (norm.gamma_EC, norm.beta_EC, norm.running_mean, norm.running_var):
            each.copy_(torch.rand(each.shape, generator=random, dtype=torch.float64) + 0.5)
    return norm


def _gradients(norm: EpisodeNorm, out: Tensor, x: Tensor) -> list[Tensor]:
    """Returns the gradients of a loss behind an in-place ReLU by the input (if it requires one), gamma and beta."""
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    loss = (functional.relu_(out).square() * weights).sum()
    return list(torch.autograd.grad(loss, [each for each in (x, norm.gamma_EC, norm.beta_EC) if each.requires_grad]))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("of_the_input", [True, False])
def test_outputs_gradients_and_statistics_are_those_of_the_library(
    training: bool, layout: torch.memory_format, images: int, of_the_input: bool
) -> None:
    x = torch.randn(images * E, C, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3 + 2
    x = x.contiguous(memory_format=layout).requires_grad_(of_the_input)
    ours = _norm(training)
    theirs = copy.deepcopy(ours)
    found, expected = normalised(ours, x), theirs(x)
    assert (found - expected).abs().max() < 1e-14
    for mine, other in zip(_gradients(ours, found, x), _gradients(theirs, expected, x), strict=True):
        assert (mine - other).abs().max() < 1e-12
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert (mine - other).abs().max() < 1e-14


def test_a_single_value_per_channel_is_refused_as_by_the_library() -> None:
    x, norm = torch.zeros(E, C, 1, 1, dtype=torch.float64), _norm(True)
    for way in (normalised, EpisodeNorm.forward):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
            way(norm, x)
    assert normalised(norm.eval(), x).shape == x.shape
