"""Data parallelism: every worker takes its share of each global batch, and sums run over all workers.

A single worker (the default, without torch.distributed) runs the same code and exchanges nothing.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Workers:
    """The `rank` of this worker, counted from 0, and the number of workers `count`."""

    rank: int = 0
    count: int = 1

    @staticmethod
    def here() -> "Workers":
        """Returns this process's place in its process group, or a single worker if there is no group."""
        if distributed.is_available() and distributed.is_initialized():
            return Workers(distributed.get_rank(), distributed.get_world_size())
        return Workers()

    def share(self, rows_B: Tensor) -> Tensor:
        """Returns this worker's rows of a global batch.

        The result is empty if the batch has fewer rows than there are workers and none is left for this one.
        """
        return rows_B[self.rank :: self.count] if self.count > 1 else rows_B

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sums `tensor` over the workers in place and returns it."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(self, model: nn.Module) -> None:
        """Sums all gradients of `model` over the workers with one all-reduce."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = self.sum_(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, total in zip(
            gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(total.view(gradient.shape))

    def take_statistics_of_first(self, model: nn.Module) -> None:
        """Copies the buffers of `model`, which are its running statistics, from worker 0 to all workers."""
        if self.count > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the global batch, on any device and backend.

    The sums for mean and variance run over all workers.
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_NCHW)
        if x_NCHW.dtype is torch.bfloat16:  # sums of many values need more bits
            x_NCHW = x_NCHW.float()
        count = _sum(x_NCHW.new_tensor(x_NCHW.numel() / x_NCHW.shape[1]))
        if x_NCHW.shape[2:].numel() == 1 and count == 1:
            raise ValueError(
                f"BatchNorm needs more than one value per channel in a batch, got 1 of {x_NCHW.shape[1]} channels"
            )
        mean_C = _sum(x_NCHW.sum((0, 2, 3))) / count
        centred = x_NCHW - mean_C[:, None, None]
        variance_C = _sum(centred.square().sum((0, 2, 3))) / count
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * count / (count - 1), self.momentum)
        scale_C = torch.rsqrt(variance_C + self.eps) * self.weight
        return torch.as_tensor(centred * scale_C[:, None, None] + self.bias[:, None, None])


class _Sum(torch.autograd.Function):
    """A sum over the workers that can be differentiated.

    The loss of every worker depends on the sum, so the gradient is the sum of the workers' gradients.
    """

    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


def _sum(tensor: Tensor) -> Tensor:
    return torch.as_tensor(_Sum.apply(tensor))


def sync_batch_norm(model: nn.Module) -> None:
    """Makes every BatchNorm2d of `model` compute its statistics over all workers. Names and values do not change."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d
