"""`python -m trainer replay` against loops over the same weights and batches written here, in float64."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.trainer.builders import small_spec
from trainer.__main__ import main
from trainer.core import models
from trainer.core.seeding import generator
from trainer.replay import read_batches

Batch = tuple[Tensor, Tensor]


def given_batches() -> list[Batch]:
    """Four batches of sizes 6, 6, 6 and 3, in 4 classes."""
    random = generator(11, "data")
    return [
        (
            torch.randn(size, 3, 16, 16, dtype=torch.float64, generator=random),
            torch.randint(0, 4, (size,), generator=random),
        )
        for size in (6, 6, 6, 3)
    ]


def given_weights() -> dict[str, Tensor]:
    """Returns the weights of a network of width 4 with 4 classes, from a seed that no spec here has."""
    return {
        name: tensor.double()
        for name, tensor in models.build(models.DigitsResNet(width=4), 4, 123).state_dict().items()
    }


def written(folder: Path, method: dict[str, Any], **train: Any) -> list[str]:
    """The command line of a replay of `method` over the given weights and batches."""
    one = small_spec(method, **({"generations": 2, "epochs": 2, "label_smoothing": 0.1} | train))
    (folder / "spec.json").write_text(one.model_dump_json())
    torch.save(given_weights(), folder / "init.pt")
    torch.save(given_batches(), folder / "batches.pt")
    paths = ["--spec", f"{folder}/spec.json", "--init", f"{folder}/init.pt", "--batches", f"{folder}/batches.pt"]
    return ["replay", *paths, "--dtype", "float64"]


def replayed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(arguments) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def by_hand() -> tuple[list[float], dict[str, Tensor]]:
    """SEAL (k = 1 of 2 epochs, S = 0.5) for two generations, with torch's own SGD."""
    model = models.build(models.DigitsResNet(width=4), 4, 0).double().train()
    model.load_state_dict(given_weights())
    losses = []
    for g in range(2):
        for e in range(2):
            eta = 0.05 / 2 * (1 + math.cos(math.pi * e / 2))
            ascends = (g, e) == (1, 0)
            early = [p for name, p in model.named_parameters() if not name.startswith(("layer3", "layer4", "fc"))]
            late = [p for name, p in model.named_parameters() if name.startswith(("layer3", "layer4", "fc"))]
            if e == 0 or g == 1:
                up = torch.optim.SGD(early, lr=0.0, momentum=0.9, weight_decay=5e-4, maximize=ascends)
                down = torch.optim.SGD(late, lr=0.0, momentum=0.9, weight_decay=5e-4)
            up.param_groups[0]["lr"], down.param_groups[0]["lr"] = eta * (0.5 if ascends else 1), eta
            for images, labels in given_batches():
                up.zero_grad()
                down.zero_grad()
                loss = functional.cross_entropy(model(images), labels, label_smoothing=0.1)
                loss.backward()  # type: ignore[no-untyped-call]
                up.step()
                down.step()
                losses.append(loss.item())
    return losses, model.state_dict()


def test_every_step_is_that_of_a_loop_over_the_same_batches(tmp_path: Path) -> None:
    """Run as its users run it. SEAL's flipped decay is SGD's `maximize` with the usual one (protocols 4.3)."""
    method = {"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 1}
    command = [sys.executable, "-m", "trainer", *written(tmp_path, method), "--out", f"{tmp_path}/out"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    rows = [json.loads(line) for line in finished.stdout.splitlines()]
    losses, final = by_hand()
    assert [(row["generation"], row["epoch"], row["step"]) for row in rows] == [
        (g, e, step) for g in range(2) for e in range(2) for step in range(4)
    ]
    assert [row["loss"] for row in rows] == pytest.approx(losses, rel=1e-12)
    ours = torch.load(tmp_path / "out" / "g0001-end.pt", weights_only=True)
    for name, tensor in final.items():
        assert (ours[name] - tensor).abs().max() <= 1e-12 * tensor.abs().max(), name


def test_rates_by_group_of_seals_ascent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = replayed(written(tmp_path, {"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 1}), capsys)
    assert {(row["generation"], row["epoch"], row["phase"]) for row in rows} == {
        (0, 0, "learning"),
        (0, 1, "learning"),
        (1, 0, "forgetting"),
        (1, 1, "relearning"),
    }
    ascent, after = rows[8], rows[12]
    assert ascent["lr"] == pytest.approx({"early": -0.025, "late": 0.05}, rel=1e-12)
    assert ascent["weight_decay"] == {"early": -5e-4, "late": 5e-4}
    assert after["lr"] == pytest.approx({"early": 0.025, "late": 0.025}, rel=1e-12)
    assert after["weight_decay"] == {"early": 5e-4, "late": 5e-4}


@pytest.mark.parametrize(
    ("settings", "lr", "weight_decay"),
    [
        ({"ascent_weight_decay": "zero"}, {"early": -0.025, "late": 0.05}, {"early": 0.0, "late": 5e-4}),
        ({"ascent_weight_decay": "keep"}, {"early": -0.025, "late": 0.05}, {"early": 5e-4, "late": 5e-4}),
        ({"variant": "freeze"}, {"early": -0.025, "late": 0.0}, {"early": -5e-4, "late": 0.0}),
        ({"variant": "reverse"}, {"early": 0.05, "late": -0.025}, {"early": 5e-4, "late": -5e-4}),
        (
            {"variant": "reverse", "reverse_output_layer": False},
            {"early": 0.05, "late": -0.025, "output": 0.05},
            {"early": 5e-4, "late": -5e-4, "output": 5e-4},
        ),
    ],
    ids=str,
)
def test_rates_by_group_of_the_other_variants(
    settings: dict[str, Any],
    lr: dict[str, float],
    weight_decay: dict[str, float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = replayed(written(tmp_path, {"name": "seal", "ascent_scale": 0.5, "ascent_epochs": 1} | settings), capsys)[8]
    assert row["phase"] == "forgetting"
    assert row["lr"] == pytest.approx(lr, rel=1e-12)
    assert row["weight_decay"] == weight_decay


def test_all_ways_to_write_batches_give_the_same_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    even = given_batches()[:3]
    arguments = written(tmp_path, {"name": "normal"}, generations=1)
    rows = []
    for content in (
        even,
        [list(pair) for pair in even],
        [{"images": images, "labels": labels} for images, labels in even],
        {"images": torch.stack([images for images, _ in even]), "labels": torch.stack([labels for _, labels in even])},
        [(images, labels.int()) for images, labels in even],
    ):
        torch.save(content, tmp_path / "batches.pt")
        rows.append(replayed(arguments, capsys))
    assert len(rows[0]) == 6
    assert all(each == rows[0] for each in rows)


def test_uint8_images_are_normalised_as_the_data_set_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = written(tmp_path, {"name": "normal"}, generations=1)
    pixels = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=generator(0, "data"))
    labels = given_batches()[0][1]
    rows = []
    for images in (pixels, (pixels.double() / 255 - 0.3) / 0.37):
        torch.save([(images, labels)], tmp_path / "batches.pt")
        rows.append(replayed(arguments, capsys))
    assert rows[0] == rows[1]


def test_state_dicts_stand_at_the_start_and_the_end_of_every_generation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replayed([*written(tmp_path, {"name": "llf"}, generations=3, epochs=1), "--out", f"{tmp_path}/out"], capsys)
    names = [f"g000{g}-{at}" for g in range(3) for at in ("end", "start")]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == names
    saved = {name: torch.load(tmp_path / "out" / f"{name}.pt", weights_only=True) for name in names}
    assert all(torch.equal(saved["g0000-start"][name], tensor) for name, tensor in given_weights().items())
    changed = {
        name for name, tensor in saved["g0001-start"].items() if not torch.equal(tensor, saved["g0000-end"][name])
    }
    late = {
        name
        for name, tensor in given_weights().items()
        if name.startswith(("layer3", "layer4", "fc")) and tensor.ndim > 1
    }
    assert changed == late


def test_imp_rewinds_to_the_weights_it_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replayed([*written(tmp_path, {"name": "imp", "rate": 0.5}, epochs=1), "--out", f"{tmp_path}/out"], capsys)
    start = torch.load(tmp_path / "out" / "g0001-start.pt", weights_only=True)
    for name, tensor in given_weights().items():
        if tensor.is_floating_point() and "running" not in name:
            assert torch.equal(start[name], tensor * (start[name] != 0) if tensor.ndim > 1 else tensor), name
    assert int((start["layer4.0.conv2.weight"] == 0).sum()) == 32 * 32 * 9 // 2


def test_a_replayed_generations_start_is_where_it_goes_on_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The forgetting is done on a copy for the file, and again by the loop: both must be the same."""
    arguments = [*written(tmp_path, {"name": "llf"}, epochs=1), "--out", f"{tmp_path}/out"]
    second = [row["loss"] for row in replayed(arguments, capsys) if row["generation"] == 1]
    model = models.build(models.DigitsResNet(width=4), 4, 0).double().train()
    model.load_state_dict(torch.load(tmp_path / "out" / "g0001-start.pt", weights_only=True))
    images, labels = given_batches()[0]
    loss = functional.cross_entropy(model(images), labels, label_smoothing=0.1)
    assert second[0] == pytest.approx(loss.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("a weight too few", "the weights are not those of resnet-digits with 4 classes"),
        ("other names", "the weights have no 'fc.weight', the output layer of resnet-digits"),
        ("not a file", "init.pt cannot be read"),
        ("weights that are code", "init.pt cannot be read"),
    ],
)
def test_wrong_weights_are_refused(
    damage: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, {"name": "normal"})
    weights = given_weights()
    match damage:
        case "a weight too few":
            del weights["layer1.0.conv1.weight"]
            torch.save(weights, tmp_path / "init.pt")
        case "other names":
            torch.save({name.replace("fc", "head"): tensor for name, tensor in weights.items()}, tmp_path / "init.pt")
        case "not a file":
            (tmp_path / "init.pt").unlink()
        case "weights that are code":
            torch.save(torch.nn.Linear(2, 2), tmp_path / "init.pt")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "holds no batches"),
        (
            [(torch.zeros(2, 16, 16), torch.zeros(2).long())],
            "batch 0 must hold images [B, C, H, W] and labels [B], got (2, 16, 16)",
        ),
        ([(torch.zeros(2, 3, 16, 16), torch.zeros(3))], "got (2, 3, 16, 16) and (3,)"),
        (
            [(torch.zeros(2, 3, 16, 16), torch.tensor([0, 9]))],
            "labels 0 to 3, as the weights do; got 3 channels and labels 0 to 9",
        ),
        ([(torch.zeros(2, 1, 16, 16), torch.tensor([0, 1]))], "must hold 3 channels"),
        ([torch.zeros(2, 3, 16, 16)], "batch"),
        (torch.zeros(2), "holds no batches: write a list of (images, labels) pairs"),
        ([{"images": torch.zeros(2, 3, 16, 16)}], "KeyError: 'labels'"),
        ({"images": torch.zeros(2, 3, 16, 16)}, "KeyError: 'labels'"),
        ({"images": torch.zeros(2, 5, 3, 16, 16), "labels": torch.zeros(3, 5)}, "holds no batches"),
    ],
    ids=[
        "none",
        "3 axes",
        "lengths",
        "label 9",
        "1 channel",
        "no labels",
        "tensor",
        "no key",
        "no stack",
        "short stack",
    ],
)
def test_wrong_batches_are_refused(
    batches: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, {"name": "normal"})
    torch.save(batches, tmp_path / "batches.pt")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_labels_come_as_int64_whatever_was_written(tmp_path: Path) -> None:
    torch.save([(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1], dtype=torch.uint8))], tmp_path / "batches.pt")
    ((_, labels),) = read_batches(tmp_path / "batches.pt")
    assert labels.dtype == torch.int64
