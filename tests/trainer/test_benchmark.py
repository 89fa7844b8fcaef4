"""benchmarks/train_step.py where no GPU and no clock is needed: its float64 comparison, and its GPU part on a CPU."""

import pytest
import torch

from benchmarks import train_step
from tests.trainer.builders import CPU


@pytest.mark.parametrize(("layout", "allowed"), [(torch.channels_last, 0.0), (torch.contiguous_format, 1e-12)])
def test_our_loop_and_the_plain_one_agree_in_float64(layout: torch.memory_format, allowed: float) -> None:
    assert train_step.max_error(CPU, layout, images=10, batch=6) <= allowed


def test_the_part_for_gpus_runs_and_prints_a_row_per_precision(capsys: pytest.CaptureFixture[str]) -> None:
    ratio, floor, enough = train_step.gpu(CPU, epochs=1, steps=1, model="resnet-digits", pixels=16)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["eager", "fp32", "tf32", "bf16"]
    assert enough == (ratio >= floor)
