"""Batch normalisation of many few-shot episodes at once, each with its own gamma, beta and statistics (see affines).

Legend: E episodes, B images of a minibatch, N = B*E rows, C channels, H x W pixels.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class EpisodeNorm(nn.Module):
    """A BatchNorm2d for E episodes at once, with gamma and beta `[E, C]` and running statistics `[E * C]`."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d, episodes: int) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.momentum is not None
        self.episodes, self.momentum, self.eps = episodes, norm.momentum, norm.eps
        self.gamma_EC = nn.Parameter(norm.weight.detach().repeat(episodes, 1))
        self.beta_EC = nn.Parameter(norm.bias.detach().repeat(episodes, 1))
        self.register_buffer("running_mean", norm.running_mean.repeat(episodes))
        self.register_buffer("running_var", norm.running_var.repeat(episodes))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if x_NCHW.is_cuda:
            return normalised(self, x_NCHW)
        N, C, H, W = x_NCHW.shape
        together = x_NCHW.contiguous().view(N // self.episodes, self.episodes * C, H, W)
        statistics = self.running_mean, self.running_var
        affine = self.gamma_EC.flatten(), self.beta_EC.flatten()
        out = functional.batch_norm(together, *statistics, *affine, self.training, self.momentum, self.eps)
        # the next ReLU or sum works in place, and on a view that makes the backward pass copy whole gradients
        seen: Tensor = torch.ops.aten._unsafe_view.default(out, x_NCHW.shape)
        return seen


def normalised(norm: EpisodeNorm, x_NCHW: Tensor) -> Tensor:
    """Returns what `norm` gives on a CPU up to rounding, computed by passes over whole tensors.

    PyTorch's kernels give each of the E*C channels its own threads, and late layers have few numbers per channel. At
    64 px these kernels took most of a GPU's time.
    """
    E, (N, C, H, W) = norm.episodes, x_NCHW.shape
    mean_EC, var_EC = norm.running_mean.view(E, C), norm.running_var.view(E, C)
    if norm.training:
        if (n := N // E * H * W) == 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size {list(x_NCHW.shape)}"
            )
        with torch.no_grad():
            x_BECHW = x_NCHW.contiguous().view(N // E, E, C, H, W)
            var_EC, mean_EC = torch.var_mean(x_BECHW, (0, 3, 4), correction=0)
            norm.running_mean.lerp_(mean_EC.flatten(), norm.momentum)
            norm.running_var.lerp_(var_EC.flatten() * (n / (n - 1)), norm.momentum)
    out_NCHW: Tensor = _Normalise.apply(
        x_NCHW, norm.gamma_EC, norm.beta_EC, mean_EC, (var_EC + norm.eps).rsqrt(), norm.training
    )
    return out_NCHW


class _Normalise(torch.autograd.Function):
    """Computes gamma z + beta with z = (x - mean) / deviation.

    If mean and deviation are those of the minibatch (`own`), the gradient flows through them too.
    """

    @staticmethod
    def forward(
        ctx: Any, x_NCHW: Tensor, gamma_EC: Tensor, beta_EC: Tensor, mean_EC: Tensor, inverse_EC: Tensor, own: bool
    ) -> Tensor:
        x_BECHW = x_NCHW.contiguous().view(-1, *gamma_EC.shape, *x_NCHW.shape[2:])
        z_BECHW = torch.addcmul(_wide(-mean_EC * inverse_EC), x_BECHW, _wide(inverse_EC))
        ctx.save_for_backward(z_BECHW, gamma_EC * inverse_EC)
        ctx.own = own
        out_BECHW = torch.addcmul(_wide(beta_EC), z_BECHW, _wide(gamma_EC))
        # the next ReLU works in place, and on a view that costs copies
        out_NCHW: Tensor = torch.ops.aten._unsafe_view.default(out_BECHW, x_NCHW.shape)
        return out_NCHW

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z_BECHW, scale_EC = ctx.saved_tensors
        g_BECHW = gradients[0].contiguous().view_as(z_BECHW)
        by_beta_EC, by_gamma_EC, by_x = g_BECHW.sum((0, 3, 4)), (g_BECHW * z_BECHW).sum((0, 3, 4)), None
        if ctx.needs_input_grad[0]:
            if ctx.own:  # scale (g - mean g - z mean gz)
                share_EC = -scale_EC * (scale_EC.numel() / z_BECHW.numel())
                by_x = torch.addcmul(_wide(share_EC * by_beta_EC), g_BECHW, _wide(scale_EC))
                by_x.addcmul_(z_BECHW, _wide(share_EC * by_gamma_EC))
            else:
                by_x = g_BECHW * _wide(scale_EC)
            by_x = torch.ops.aten._unsafe_view.default(by_x, gradients[0].shape)
        return by_x, by_gamma_EC, by_beta_EC, None, None, None


def _wide(values_EC: Tensor) -> Tensor:
    """Returns the values as `[E, C, 1, 1]`."""
    return values_EC[:, :, None, None]
