"""Tests what every method guarantees.

It trains, is deterministic, resumes bit for bit, and its content key holds every setting that shapes it.
"""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.builders import EVERY_METHOD, NAMES, begin, bits, every_method, run, small_spec
from trainer import loop
from trainer.core import checkpoint
from trainer.core.determinism import fingerprint
from trainer.core.state import TrainState
from trainer.methods import METHODS, PLUGINS


def everything(state: TrainState) -> dict[str, str]:
    """Returns digests of everything that shapes the next step."""
    teacher = {} if state.teacher is None else state.teacher.state_dict()
    parts = {"model": state.model.state_dict(), "momentum": state.momentum, "memory": state.memory, "teacher": teacher}
    return {name: checkpoint.weights_digest(tensors) for name, tensors in parts.items()}


def test_every_method_is_tested() -> None:
    assert {method["name"] for method in EVERY_METHOD} == set(METHODS) - set(PLUGINS)


@every_method
def test_it_learns(method: dict[str, Any]) -> None:
    _, rows = run(small_spec(method, generations=2, epochs=12, batch_size=8))
    assert [(row.generation, row.epoch) for row in rows] == [(g, e) for g in range(2) for e in range(12)]
    assert rows[-1].metrics["train/accuracy_eval"] > 0.2  # chance is 0.1


@every_method
def test_the_same_spec_gives_the_same_bits(method: dict[str, Any]) -> None:
    one = small_spec(method, generations=2, batch_size=20)
    (first, first_rows), (second, second_rows) = run(one), run(one)
    assert bits(first) == bits(second)
    assert first_rows == second_rows


@pytest.mark.parametrize(
    ("method", "resets"),
    [
        *((method, ["generation", "switch"]) for method in EVERY_METHOD),
        ({"name": "normal"}, []),
        ({"name": "seal", "ascent_scale": 0.5, "variant": "freeze"}, []),
        ({"name": "imp", "rewind_epoch": 2}, []),
        ({"name": "born-again"}, ["switch"]),
    ],
    ids=str,
)
def test_stopping_after_any_epoch_and_resuming_gives_the_same_bits(
    method: dict[str, Any], resets: list[str], tmp_path: Path
) -> None:
    """Trains two generations of four epochs. The ascent of SEAL takes two epochs.

    The run is stopped after each epoch, so stop 5 is within the ascent of generation 1 and stop 6 is at its end.
    """
    two_epochs = {"ascent_epochs": 2} if method["name"] == "seal" else {}
    one = small_spec(method | two_epochs, generations=2, batch_size=20, reset_momentum_at=resets)
    whole, batches = begin(one)
    rows, after = [], {}
    for stop, row in enumerate(loop.train(one, whole, batches), 1):
        rows.append(row)
        after[stop] = everything(whole)
        checkpoint.save(tmp_path / f"{stop}", whole, "key", fingerprint(torch.device("cpu")))
    for stop in range(1, 8):
        resumed, batches = begin(one)
        checkpoint.load(tmp_path / f"{stop}", resumed)
        assert everything(resumed) == after[stop]
        # equal states one epoch later suffice, because the next stop continues from there
        ahead = 3 if stop == 5 else 1
        assert list(islice(loop.train(one, resumed, batches), ahead)) == rows[stop : stop + ahead]
        assert everything(resumed) == after[stop + ahead]


def test_a_checkpoint_within_a_generation_holds_momentum_memory_and_teacher() -> None:
    held = {}
    for method in ({"name": "seal"}, {"name": "imp"}, {"name": "sa-gd"}, {"name": "born-again"}):
        one = small_spec(method, generations=2)
        state, batches = begin(one)
        list(islice(loop.train(one, state, batches), 6))
        held[method["name"]] = (
            len(state.momentum),
            len({key.split("/")[0] for key in state.memory}),
            state.teacher is not None,
        )
    assert held == {
        "seal": (len(NAMES), 0, False),
        "imp": (len(NAMES), 1, False),
        "sa-gd": (len(NAMES), 1, False),
        "born-again": (len(NAMES), 0, True),
    }


@every_method
def test_generation_0_is_ordinary_training_or_has_its_own_identity(method: dict[str, Any]) -> None:
    normal, _ = run(small_spec({"name": "normal"}, generations=1))
    one = small_spec(method, generations=1)
    own = one.method.identity(0)
    assert own is None or own["name"] == method["name"]
    shaped_otherwise = method["name"] in ("sa-gd", "tolerant-teacher")
    assert (bits(run(one)[0]) != bits(normal)) == shaped_otherwise
    assert (own is not None) == (shaped_otherwise or "rewind_epoch" in method)


@every_method
def test_the_identity_of_later_generations_holds_all_settings(method: dict[str, Any]) -> None:
    assert small_spec(method).method.identity(1) == method


def test_the_identity_of_generation_0_holds_only_the_settings_that_shape_it() -> None:
    taught = small_spec({"name": "tolerant-teacher", "label_weight": 0.25, "similar_classes": 3}).method
    assert taught.identity(0) == {"name": "tolerant-teacher", "similar_classes": 3}
    assert small_spec({"name": "tolerant-teacher", "patriarch_label_weight": 1.0}).method.identity(0) is None
    assert small_spec({"name": "imp", "rate": 0.5, "rewind_epoch": 2}).method.identity(0) == {
        "name": "imp",
        "rewind_epoch": 2,
    }
    assert small_spec({"name": "sa-gd", "sigma": 2.0}).method.identity(0) == {"name": "sa-gd", "sigma": 2.0}


def test_momentum_is_kept_exactly_where_it_is_not_reset() -> None:
    """Checks each epoch of two generations of three. The phase switches after the first epoch of generation 1."""
    held = {}
    for resets in ([], ["generation"], ["switch"], ["generation", "switch"]):
        one = small_spec({"name": "seal", "ascent_epochs": 1}, generations=2, epochs=3, reset_momentum_at=resets)
        state, batches = begin(one)
        held["+".join(resets)] = "".join("1" if state.momentum else "0" for _ in loop.train(one, state, batches))
    assert held == {"": "111111", "generation": "110110", "switch": "111011", "generation+switch": "110010"}
