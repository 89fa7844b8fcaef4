"""The settings of the stochastic gradient descent that trains the head of an episode."""

from typing import Protocol


class SGD(Protocol):
    """The settings of the head's optimizer, by the names that torch.optim.SGD uses."""

    @property
    def lr(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def dampening(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
