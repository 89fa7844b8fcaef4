"""The settings of the stochastic gradient descent that trains the head of an episode."""

from typing import Protocol


class SGD(Protocol):
    """The settings of the head's optimizer."""

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
