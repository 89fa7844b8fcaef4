"""Linear+Affines: gamma and beta of BatchNorm and a new head adapt to each episode (SEAL Table 5; protocols 7.2).

Legend: E episodes, B images of a minibatch, S support and Q query images, W ways, D features, T epochs, C channels.

Many episodes form one batch. Image b of episode e is row b*E + e, so `[B*E, C, H, W]` is also `[B, E*C, H, W]` without
a copy, and PyTorch's batch norm over E*C channels normalises each episode separately, with its own gamma, beta and
statistics. All episodes share the frozen convs, whose gradients are not computed. The losses are summed, and none
depends on another episode's parameters, so one backward pass gives every episode its own gradient.
"""

import copy
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.episodes.batch_norm import EpisodeNorm
from evaluators.episodes.sgd import SGD
from trainer.core.data import Dataset

BnMode = Literal["train", "eval"]
CPU_EPISODES = 10
"""Episodes per batch on a CPU: enough for efficient convolutions, few enough that their outputs stay in cache."""


class Adaptation(SGD, Protocol):
    """The settings of both optimizers and of BatchNorm."""

    @property
    def affine_lr(self) -> float: ...
    @property
    def bn_mode(self) -> BnMode: ...


def backbone(model: nn.Module, episodes: int) -> nn.Module:
    """Returns a copy of `model` for batches of `episodes` episodes, which outputs features.

    EpisodeNorm replaces BatchNorm2d, and everything else is frozen. Raises ValueError for a model without BatchNorm.
    """
    network = copy.deepcopy(model).requires_grad_(False)
    norms = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        raise ValueError("the network has no BatchNorm whose gamma and beta could adapt: use mode linear")
    for name, norm in norms:
        network.set_submodule(name, EpisodeNorm(norm, episodes))
    network.set_submodule("fc", nn.Identity())
    return network


def query_scores(
    model: nn.Module,
    dataset: Dataset,
    support_ESCHW: Tensor,
    query_EQCHW: Tensor,
    start_EDW: Tensor,
    orders_ETS: Tensor,
    settings: Adaptation,
    report: Callable[[int], None] = lambda epochs: None,
) -> Tensor:
    """Returns the query scores `[E, Q, W]` after adapting to each episode's support images.

    The result equals that of a plain loop over episodes. The gradient of a minibatch's mean cross-entropy moves gamma
    and beta by plain SGD at `affine_lr` and the head by the SGD of `settings`, with BatchNorm in `bn_mode`. Queries are
    evaluated in eval mode. Images are uint8, the support class after class. `start` holds the heads' weights in the
    network's dtype and on its device, with the bias as the last row. `orders` holds a permutation of the support per
    epoch. `report` receives the number of finished epochs. Raises ValueError if `bn_mode` train meets a single value
    per channel.
    """
    (E, S), W = support_ESCHW.shape[:2], start_EDW.shape[2]
    device, dtype = start_EDW.device, start_EDW.dtype
    network = backbone(model, E).train(settings.bn_mode == "train")
    affines = [parameter for parameter in network.parameters() if parameter.requires_grad]
    head = [part.clone().requires_grad_() for part in (start_EDW[:, :-1], start_EDW[:, -1:])]
    by_head = torch.optim.SGD(
        head, settings.lr, settings.momentum, settings.dampening, weight_decay=settings.weight_decay
    )
    by_affines = torch.optim.SGD(affines, settings.affine_lr)
    # moved as a whole, because a GPU would wait for the copy of every minibatch gathered elsewhere
    support_ESCHW, orders_ETS = support_ESCHW.to(device), orders_ETS.to(device)
    labels_S = torch.arange(W, device=device).repeat_interleave(S // W)
    episodes_E1 = torch.arange(E, device=device)[:, None]

    def scores(images_EBCHW: Tensor) -> Tensor:
        """Returns the scores `[E, B, W]` of uint8 images `[E, B, C, H, W]`."""
        images_NCHW = images_EBCHW.transpose(0, 1).flatten(0, 1).to(device)
        features_BED = network(dataset.floats(images_NCHW, dtype)).view(-1, E, start_EDW.shape[1] - 1)
        return torch.baddbmm(head[1], features_BED.transpose(0, 1), head[0])

    for epoch, order_ES in enumerate(orders_ETS.unbind(1)):
        for rows_EB in torch.split(order_ES, settings.batch_size, 1):
            try:
                z_EBW = scores(support_ESCHW[episodes_E1, rows_EB])
            except ValueError as error:
                reason = f"bn_mode train cannot normalise a minibatch of {rows_EB.shape[1]}: {error}"
                raise ValueError(f"{reason}; use bn_mode eval, another batch_size or larger images") from error
            labels_M = labels_S[rows_EB].flatten()
            loss = functional.cross_entropy(z_EBW.flatten(0, 1), labels_M, reduction="sum") / rows_EB.shape[1]
            for parameter, gradient in zip(
                [*head, *affines], torch.autograd.grad(loss, [*head, *affines]), strict=True
            ):
                parameter.grad = gradient
            by_head.step()
            by_affines.step()
        report(epoch + 1)
    network.eval()
    with torch.no_grad():
        return torch.cat([scores(piece) for piece in torch.split(query_EQCHW, settings.batch_size, 1)], 1)


def chunk(model: nn.Module, dataset: Dataset, batch_size: int) -> int:
    """Returns how many episodes to adapt together: on a GPU, as many as fit into half its free memory."""
    parameter = next(model.parameters())
    if parameter.device.type == "cpu":
        return CPU_EPISODES
    outputs: list[int] = []
    handles = [
        module.register_forward_hook(lambda _module, _arguments, output: outputs.append(output.nbytes))
        for module in model.modules()
        if not any(module.children())
    ]
    with torch.no_grad():
        model(dataset.floats(dataset.train.images_NCHW[:1].to(parameter.device), parameter.dtype))
    for handle in handles:
        handle.remove()
    free, _ = torch.cuda.mem_get_info(parameter.device)
    return max(1, free // 2 // (2 * batch_size * sum(outputs)))  # every output, and about as much for its gradient
