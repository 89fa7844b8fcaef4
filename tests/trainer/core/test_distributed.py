"""Data parallelism: two processes over gloo against one, float64, over batches that do not divide evenly."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

from tests.trainer.builders import begin, small_spec
from trainer import loop
from trainer.core.distributed import SyncedBatchNorm2d, Workers
from trainer.spec import TrainSpec

SPECS: dict[str, TrainSpec] = {
    name: small_spec(method | {"name": name}, generations=2, epochs=2, batch_size=13)  # 40 = 13 + 13 + 13 + 1
    for name, method in {
        "normal": {},
        "seal": {"ascent_scale": 0.5},
        "sa-gd": {"temperature": 1.0},
        "born-again": {},
        "imp": {},
    }.items()
}
BF16 = small_spec({"name": "normal"}, generations=1, epochs=2, batch_size=20, lr=0.01, precision="bf16")
PER_WORKER = small_spec({"name": "normal"}, generations=1, epochs=2, batch_size=8, batch_norm="per-worker")

Outcome = dict[str, Any]


def outcome(one: TrainSpec) -> Outcome:
    state, batches = begin(one)
    rows = list(loop.train(one, state, batches))
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in state.model.state_dict().items()}
    return {
        "losses": [row.metrics["train/loss"] for row in rows],
        "rows": [row.metrics for row in rows],
        "tensors": tensors,
    }


def refusal(norm: nn.BatchNorm2d, images: int) -> str:
    """What `norm` says to a batch with so many values per channel."""
    try:
        norm(torch.ones(images, 3, 1, 1))
    except ValueError as error:
        return str(error)
    return ""


def work(rank: int, rendezvous: str, out: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    found = {name: outcome(one) for name, one in SPECS.items()}
    found |= {"per-worker": outcome(PER_WORKER), "bf16": outcome(BF16)}
    torch.save(found, f"{out}/{rank}.pt")
    for name, images in {"one": 1 - rank, "two": 1}.items():  # of 3 channels of one pixel
        Path(f"{out}/{rank}.{name}").write_text(refusal(SyncedBatchNorm2d(3), images))
    distributed.barrier()
    os._exit(0)  # gloo's threads may abort a process that ends in the usual way


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two workers have left what they found."""
    folder = tmp_path_factory.mktemp("workers")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=work, args=(rank, str(folder / "meet"), str(folder))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return folder


@pytest.fixture(scope="module")
def two_workers(folder: Path) -> list[dict[str, Outcome]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("name", SPECS)
def test_two_workers_give_the_losses_of_one(name: str, two_workers: list[dict[str, Outcome]]) -> None:
    alone = outcome(SPECS[name])
    for found in two_workers:
        assert found[name]["losses"] == pytest.approx(alone["losses"], rel=1e-10)
        for tensor, expected in alone["tensors"].items():
            assert (found[name]["tensors"][tensor] - expected).abs().max() <= 1e-9 * expected.abs().max(), tensor
        for mine, theirs in zip(found[name]["rows"], alone["rows"], strict=True):
            assert mine == pytest.approx(theirs, rel=1e-8)


def test_workers_agree_with_each_other_bit_for_bit(two_workers: list[dict[str, Outcome]]) -> None:
    for name in two_workers[0]:
        first, second = (found[name] for found in two_workers)
        assert first["rows"] == second["rows"]
        assert all(torch.equal(tensor, second["tensors"][key]) for key, tensor in first["tensors"].items())


def test_statistics_per_worker_are_another_training(two_workers: list[dict[str, Outcome]]) -> None:
    """Each worker normalises over its 4 images of 8; written out here with one network per half."""
    state, batches = begin(PER_WORKER)
    losses = []
    velocity = {name: torch.zeros_like(parameter) for name, parameter in state.model.named_parameters()}
    for epoch in range(2):
        lr, total = 0.05 * PER_WORKER.train.schedule.factor(0, epoch, 2, 1), 0.0
        for images, labels, _ in batches.epoch(7, 0, epoch, torch.float64):
            state.model.zero_grad()
            halves = [
                nn.functional.cross_entropy(state.model(images[i::2]), labels[i::2], label_smoothing=0.1)
                for i in (0, 1)
            ]
            loss = (halves[0] + halves[1]) / 2
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item() * len(labels)
            with torch.no_grad():
                for name, parameter in state.model.named_parameters():
                    assert parameter.grad is not None
                    velocity[name] = 0.9 * velocity[name] + parameter.grad + 5e-4 * parameter
                    parameter.sub_(lr * velocity[name])
        losses.append(total / 40)
    assert two_workers[0]["per-worker"]["losses"] == pytest.approx(losses, rel=1e-10)


def test_bf16_on_two_workers_gives_the_losses_of_one_up_to_its_rounding(two_workers: list[dict[str, Outcome]]) -> None:
    """Statistics of each worker's share would move the losses by 1 %."""
    alone, found = outcome(BF16), two_workers[0]["bf16"]
    assert found["losses"] == pytest.approx(alone["losses"], rel=0.004)
    assert {tensor.dtype for tensor in found["tensors"].values()} == {torch.float32, torch.int64}
    in_fp32 = outcome(BF16.model_copy(update={"train": BF16.train.model_copy(update={"precision": "fp32"})}))
    assert found["losses"] != pytest.approx(in_fp32["losses"], rel=1e-5)


def test_synced_batch_norm_refuses_one_value_per_channel_as_batch_norm_does(folder: Path) -> None:
    """However the global batch is split: one worker has the value and the other none, then each has one."""
    assert refusal(nn.BatchNorm2d(3), 1).startswith("Expected more than 1 value per channel")
    assert refusal(nn.BatchNorm2d(3), 2) == ""
    for rank in (0, 1):
        message = (folder / f"{rank}.one").read_text()
        assert message == "BatchNorm needs more than one value per channel in a batch, got 1 of 3 channels"
        assert (folder / f"{rank}.two").read_text() == ""


def test_one_worker_shares_nothing() -> None:
    assert Workers.here() == Workers(0, 1)
    rows = torch.arange(5)
    assert Workers().share(rows) is rows
    assert [Workers(rank, 2).share(rows).tolist() for rank in (0, 1)] == [[0, 2, 4], [1, 3]]
    assert type(begin(SPECS["normal"])[0].model.get_submodule("bn1")) is nn.BatchNorm2d


def test_synced_batch_norm_in_eval_mode_is_batch_norm() -> None:
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(SyncedBatchNorm2d(3).eval()(x), nn.BatchNorm2d(3).eval()(x))
