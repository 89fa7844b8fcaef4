"""What a replay takes: rows as steps happen, floats without a data set, wrapped weights, and contradictions."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.test_replay import given_batches, given_weights, replayed, written
from trainer.__main__ import main

NORMAL = {"name": "normal"}


def without_dtype(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--dtype")]


def respec(folder: Path, **changes: Any) -> None:
    """Replaces parts of the spec that was written to `folder`."""
    path = folder / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Returns the message on stderr, which is one line."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("bad", [0, 2, 3])
def test_a_loss_that_is_not_finite_in_the_first_epoch_shows_the_steps_before_it(
    bad: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL)
    whole = replayed(arguments, capsys)
    batches = given_batches()
    batches[bad][0][0, 0, 0, 0] = math.nan
    torch.save(batches, tmp_path / "batches.pt")
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert [json.loads(line) for line in captured.out.splitlines()] == whole[:bad]
    assert captured.err == f"the loss became nan in step {bad} of epoch 0 of generation 0 (learning)\n"


def test_rows_are_printed_while_the_epoch_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The observer of a step sees the row of that step on stdout already when the next batch is read."""
    import trainer.__main__ as program
    from trainer.batches import FixedBatches

    seen: list[str] = []
    monkeypatch.setattr(program, "_print", lambda row: seen.append(f"row {row['step']}"))
    plain = FixedBatches.epoch

    def epoch(self: FixedBatches, *address: Any) -> Any:
        for index, batch in enumerate(plain(self, *address)):
            seen.append(f"batch {index}")
            yield batch

    monkeypatch.setattr(FixedBatches, "epoch", epoch)
    assert main(written(tmp_path, NORMAL, generations=1, epochs=1)) == 0
    assert seen == [f"{what} {index}" for index in range(4) for what in ("batch", "row")]


def test_float_batches_need_no_data_set_and_uint8_ones_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = written(tmp_path, NORMAL, generations=1)
    rows = replayed(arguments, capsys)
    respec(tmp_path, data={"name": "cub200"})  # not prepared here
    assert replayed(arguments, capsys) == rows
    pixels = torch.zeros(6, 3, 16, 16, dtype=torch.uint8)
    torch.save([(pixels, torch.arange(6) % 4)], tmp_path / "batches.pt")
    assert "cub200 is not in" in refused(arguments, capsys)


def test_the_precision_is_the_specs_unless_only_dtype_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL, generations=1)
    double = replayed(arguments, capsys)
    assert replayed(without_dtype(arguments), capsys) == double  # the spec says fp64
    train = json.loads((tmp_path / "spec.json").read_text())["train"]
    del train["precision"]
    respec(tmp_path, train=train)
    single = replayed(without_dtype(arguments), capsys)
    assert single != double
    assert replayed([*without_dtype(arguments), "--dtype", "float32"], capsys) == single
    assert replayed(arguments, capsys) == double


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp64", "float32"), ("fp32", "float64"), ("bf16", "float32"), ("tf32", "float64")]
)
def test_a_dtype_that_contradicts_the_spec_is_refused(
    precision: str, dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*without_dtype(written(tmp_path, NORMAL, precision=precision)), "--dtype", dtype]
    told = f"--dtype {dtype} contradicts the spec: the spec's train/precision is {precision}; leave one of them out\n"
    assert refused(arguments, capsys) == told


@pytest.mark.parametrize(
    ("labels", "images", "told"),
    [
        (torch.zeros(2), torch.zeros(2, 3, 16, 16), "batch 0 has labels of torch.float32: write the numbers of the"),
        (torch.zeros(2).half(), torch.zeros(2, 3, 16, 16), "has labels of torch.float16"),
        (torch.zeros(2) > 0, torch.zeros(2, 3, 16, 16), "has labels of torch.bool"),
        (torch.zeros(2, 4), torch.zeros(2, 3, 16, 16), "labels [B], got (2, 3, 16, 16) and (2, 4)"),
        (torch.zeros(2).long(), torch.zeros(2, 3, 16, 16).long(), "has images of torch.int64: write floats, or uint8"),
    ],
)
def test_labels_and_images_of_other_types_are_refused(
    labels: Tensor, images: Tensor, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL)
    torch.save([(images, labels)], tmp_path / "batches.pt")
    assert told in refused(arguments, capsys)


def test_a_batch_of_one_image_is_refused_only_where_a_map_is_1x1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL, generations=1)
    for pixels, code in ((16, 0), (8, 2)):
        torch.save([(torch.randn(1, 3, pixels, pixels), torch.tensor([1]))] * 2, tmp_path / "batches.pt")
        assert main(arguments) == code
    assert "batch 0 holds one image, and BatchNorm cannot normalise" in capsys.readouterr().err


def wrapped(weights: dict[str, Tensor], how: str) -> Any:
    under = {"bare": weights, "state_dict": {"state_dict": weights, "epoch": 3, "optimizer": {"lr": 0.1}}}
    under["theirs"] = {"any_name": weights}
    if how in under:
        return under[how]
    prefixed = {how + name: tensor for name, tensor in weights.items()}
    return {"model_state_dict": prefixed} if how == "module." else prefixed


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("bare", []),
        ("state_dict", ["they are under the key 'state_dict'"]),
        ("theirs", ["they are under the key 'any_name'"]),
        ("module.", ["they are under the key 'model_state_dict'", "the prefix 'module.' was removed from their names"]),
        ("_orig_mod.", ["the prefix '_orig_mod.' was removed from their names"]),
        ("module._orig_mod.net.", ["the prefix 'module._orig_mod.net.' was removed from their names"]),
    ],
)
def test_wrapped_and_prefixed_weights_are_recognised(
    how: str, told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL, generations=1)
    rows = replayed(arguments, capsys)
    torch.save(wrapped(given_weights(), how), tmp_path / "init.pt")
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert [json.loads(line) for line in captured.out.splitlines()] == rows
    assert captured.err == (f"--init {tmp_path}/init.pt: {' and '.join(told)}\n" if told else "")


def test_one_of_several_state_dicts_is_chosen_by_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = written(tmp_path, NORMAL, generations=1)
    rows = replayed(arguments, capsys)
    other = {name: tensor * 2 for name, tensor in given_weights().items()}
    torch.save({"model": given_weights(), "model_ema": other}, tmp_path / "init.pt")
    assert "several state dicts: choose one of model, model_ema by --key" in refused(arguments, capsys)
    assert replayed([*arguments, "--key", "model"], capsys) == rows
    assert replayed([*arguments, "--key", "model_ema"], capsys) != rows
    assert "no state dict under 'ema'; there is one under: model, model_ema" in refused(
        [*arguments, "--key", "ema"], capsys
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"epoch": 3}, "it holds no state dict"),
        (torch.zeros(3), "it holds no state dict"),
        ({"conv1.weight": torch.zeros(4, 3, 3, 3).to_sparse()}, "the weights have no 'fc.weight'"),
        ({"fc.weight": torch.zeros(4)}, "the weights have no 'fc.weight'"),
    ],
    ids=str,
)
def test_what_holds_no_weights_is_refused(
    content: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL)
    torch.save(content, tmp_path / "init.pt")
    error = refused(arguments, capsys)
    assert error.startswith(f"--init {tmp_path}/init.pt")
    assert told in error


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weight: weight.to(torch.int8), "conv1.weight holds torch.int8"),
        (lambda weight: weight.to_sparse(), "conv1.weight holds torch.float64 (torch.sparse_coo)"),
        (lambda weight: weight[:, :1], "conv1.weight is [4, 1, 3, 3], and the network has [4, 3, 3, 3]"),
    ],
    ids=["int8", "sparse", "shape"],
)
def test_tensors_that_are_no_weights_are_refused(
    change: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL)
    weights = given_weights()
    torch.save(weights | {"conv1.weight": change(weights["conv1.weight"])}, tmp_path / "init.pt")
    assert told in refused(arguments, capsys)


@pytest.mark.parametrize("flag", ["--spec", "--init", "--batches"])
@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text"])
def test_files_are_named_with_their_flag(
    flag: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = written(tmp_path, NORMAL)
    path = Path(arguments[arguments.index(flag) + 1])
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "hello")
    error = refused(arguments, capsys)
    assert error.startswith(f"{flag} {path} ")
    assert "weights_only" not in error
