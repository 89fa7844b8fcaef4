import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evaluators.features.bank import Bank
from evaluators.features.extraction import PENULTIMATE
from trainer.core.data import Dataset, Split


@pytest.fixture
def calls(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batch sizes that pass through any network made by the bank."""
    seen: list[int] = []
    original = type(network).forward

    def counted(module: nn.Module, x_NCHW: Tensor) -> Tensor:
        seen.append(len(x_NCHW))
        return torch.as_tensor(original(module, x_NCHW))

    monkeypatch.setattr(type(network), "forward", counted)
    return seen


def test_features_are_computed_once(network: nn.Module, digits: Dataset, tmp_path: Path, calls: list[int]) -> None:
    fresh = Bank().features(network, digits, digits.test)
    ran = sum(calls)
    first = Bank(tmp_path).features(network, digits, digits.test)
    assert sum(calls) == 2 * ran == 2 * len(digits.test)
    second = Bank(tmp_path).features(network, digits, digits.test)
    assert sum(calls) == 2 * ran
    assert torch.equal(first, second)
    assert torch.equal(first, fresh)
    assert second.dtype == torch.float64


def test_streams_and_features_share_entries(
    network: nn.Module, digits: Dataset, tmp_path: Path, calls: list[int]
) -> None:
    bank = Bank(tmp_path)
    features_ND = bank.features(network, digits, digits.test)
    ran = sum(calls)
    pieces = list(bank.stream(network, digits, digits.test, (PENULTIMATE,), rows=100))
    assert [len(piece[PENULTIMATE]) for piece in pieces] == [100] * 8 + [96]
    assert torch.equal(torch.cat([piece[PENULTIMATE] for piece in pieces]), features_ND)
    assert sum(calls) == ran
    mixed = list(bank.stream(network, digits, digits.test, ("layer4", PENULTIMATE), rows=500))
    assert sum(calls) == 2 * ran  # for layer4, which is new
    assert [list(piece) for piece in mixed] == [["layer4", PENULTIMATE]] * 2
    again = list(bank.stream(network, digits, digits.test, ("layer4",), rows=896))
    assert sum(calls) == 2 * ran
    torch.testing.assert_close(torch.cat([piece["layer4"] for piece in mixed]), again[0]["layer4"], rtol=0, atol=0)


def test_what_changes_the_values_changes_the_entry(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    few = Split(digits.test.images_NCHW[:4], digits.test.labels_N[:4])
    bank = Bank(tmp_path)
    bank.features(network, digits, few)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    bank.features(network, digits, Split(few.images_NCHW, few.labels_N.flip(0)))  # labels decide nothing
    assert len(list(tmp_path.glob("*.npy"))) == 1
    bank.features(network, digits, Split(few.images_NCHW.flip(0), few.labels_N))
    other = copy.deepcopy(network)
    other.get_buffer("bn1.running_mean").add_(1)
    bank.features(other, digits, few)
    bank.features(network, digits, few, "bf16")
    list(bank.stream(network, digits, few, ("layer4",)))
    list(bank.stream(network, digits, few, ("layer4",), pool="avg"))
    assert len(list(tmp_path.glob("*.npy"))) == 6


def test_a_damaged_entry_is_computed_again(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    expected = Bank(tmp_path).features(network, digits, digits.test).clone()
    (file,) = tmp_path.glob("*.npy")
    payload = bytearray(file.read_bytes())
    payload[-5] ^= 1
    file.write_bytes(payload)
    assert torch.equal(Bank(tmp_path).features(network, digits, digits.test), expected)
    file.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(Bank(tmp_path).features(network, digits, digits.test), expected)
    file.write_bytes(b"")
    assert torch.equal(Bank(tmp_path).features(network, digits, digits.test), expected)
    next(tmp_path.glob("*.json")).write_text("{")
    assert torch.equal(Bank(tmp_path).features(network, digits, digits.test), expected)
    file.unlink()
    assert torch.equal(Bank(tmp_path).features(network, digits, digits.test), expected)


def test_a_consumer_that_stops_leaves_nothing(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    stream: Any = Bank(tmp_path).stream(network, digits, digits.test, ("layer4",), rows=10)
    next(stream)
    stream.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large_is_streamed_and_not_kept(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    bank = Bank(tmp_path, entry_bytes=896 * 32 * 8)
    list(bank.stream(network, digits, digits.test, ("layer3", PENULTIMATE)))
    (manifest,) = tmp_path.glob("*.json")
    assert json.loads(manifest.read_text())["layer"] == PENULTIMATE


def test_the_entry_used_longest_ago_makes_room(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    def split(first: int) -> Split:
        return Split(digits.test.images_NCHW[first : first + 100], digits.test.labels_N[first : first + 100])

    bank = Bank(tmp_path, limit_bytes=2 * (100 * 32 * 8 + 128))
    bank.features(network, digits, split(0))
    (first,) = tmp_path.glob("*.json")
    bank.features(network, digits, split(100))
    (second,) = set(tmp_path.glob("*.json")) - {first}
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    bank.features(network, digits, split(0))  # used again: the other one is older now
    bank.features(network, digits, split(200))
    assert first.exists()
    assert not second.exists()
    assert len(list(tmp_path.glob("*.npy"))) == 2
