import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.trainer.builders import CPU, EVERY_METHOD, label, small_spec
from trainer import methods
from trainer.core.data.paper import PaperData
from trainer.methods import Method
from trainer.timing import LEAST, MOST, measure


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that goes on by `seconds` whenever it is read."""
    return itertools.count(0.0, seconds).__next__


@pytest.mark.parametrize("method", EVERY_METHOD, ids=label)
@pytest.mark.parametrize("generation", [0, 1])
def test_steps_of_every_method_are_timed(method: dict[str, Any], generation: int) -> None:
    found = measure(small_spec(method), generation, 10, 16, CPU, 100.0, ticking(0.5))
    assert found.step_s == (0.5,) * MOST
    assert found.judged_image_s == 0.5 / 16


def test_a_budget_ends_it_and_a_few_steps_are_timed_in_any_case() -> None:
    assert len(measure(small_spec({"name": "normal"}), 0, 10, 16, CPU, 3.0, ticking(1.0)).step_s) == 3
    assert len(measure(small_spec({"name": "normal"}), 0, 10, 16, CPU, 0.0, ticking(1.0)).step_s) == LEAST


def test_the_shape_is_what_is_asked_for_and_the_data_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    plain = Method.loss

    def looked_at(self: Method, state: Any, images_BCHW: torch.Tensor, labels_B: torch.Tensor, loss: Any) -> Any:
        seen.add((tuple(images_BCHW.shape), images_BCHW.dtype, int(labels_B.max()) < 7))
        return plain(self, state, images_BCHW, labels_B, loss)

    looking = type("Looking", (methods.SEAL,), {"loss": looked_at})
    spec = small_spec({"name": "normal"}).model_copy(
        update={"data": PaperData(name="tiny-imagenet"), "method": looking(name="seal")}
    )
    measure(spec, 1, 7, 24, CPU, 0.0, ticking(1.0))
    assert seen == {((16, 3, 24, 24), torch.float64, True)}


def test_nothing_of_the_recipe_can_make_it_diverge() -> None:
    assert measure(small_spec({"name": "normal"}, lr=100.0), 0, 10, 16, CPU, 0.0).step_s
    assert measure(small_spec({"name": "normal"}, epochs=1, generations=1), 0, 10, 16, CPU, 0.0).step_s
    seal = small_spec({"name": "seal", "ascent_epochs": 3, "ascent_scale": 100.0}, lr=100.0)
    assert measure(seal, 1, 10, 16, CPU, 0.0).step_s


@pytest.mark.parametrize(
    ("method", "first", "later"),
    [
        ({"name": "normal"}, "ordinary", "ordinary"),
        ({"name": "llf"}, "ordinary", "ordinary"),
        ({"name": "seal"}, "ordinary", "ordinary"),
        ({"name": "ke"}, "ordinary", "ordinary"),
        ({"name": "imp"}, "ordinary", "imp"),
        ({"name": "imp", "rewind_epoch": 1}, "imp", "imp"),
        ({"name": "sa-gd"}, "sa-gd", "sa-gd"),
        ({"name": "born-again"}, "ordinary", "taught"),
        ({"name": "self-distillation"}, "ordinary", "taught"),
        ({"name": "tolerant-teacher"}, "tolerant-teacher", "taught"),
        ({"name": "tolerant-teacher", "patriarch_label_weight": 1.0}, "ordinary", "taught"),
    ],
    ids=lambda each: label(each) if isinstance(each, dict) else None,
)
def test_kinds_of_steps(method: dict[str, Any], first: str, later: str) -> None:
    spec = small_spec(method)
    assert [spec.method.step_kind(generation) for generation in range(3)] == [first, later, later]
