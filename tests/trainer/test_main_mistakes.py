"""`python -m trainer` explains every mistake in one sentence, with code 2 and nothing on stdout."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainer.__main__ import main

GOOD: dict[str, Any] = {
    "data": {"name": "digits"},
    "model": {"name": "resnet-digits", "width": 2},
    "train": {"generations": 1, "epochs": 1, "batch_size": 300},
    "method": {"name": "normal"},
}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for leak in ("pydantic", "validation error", "Input should", "Traceback", "type=", "[Errno"):
        assert leak not in captured.err
    return captured.err.rstrip("\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": {"name": "resnet-18"}}, "model/name: 'resnet-18' is not known here; expected "),
        ({"model": {"name": "resnet-18"}}, "(did you mean resnet18?)"),
        ({"method": {"name": "sael"}}, "(did you mean seal?)"),
        ({"data": {"name": "digit"}}, "(did you mean digits?)"),
        ({"data": {"name": "folder"}}, "data/tree: tree is required"),
        ({"data": {"name": "folder", "tree": "A B"}}, "data/tree: should have the form "),
        ({"method": {"name": "seal", "ascent_scal": 1}}, "'ascent_scal' is not a field here (did you mean ascent_sc"),
        ({"train": {"epochs": 0}}, "train/epochs: should be greater than or equal to 1, got 0"),
        ({"train": {"epochs": 1.5}}, "train/epochs: should be a whole number, got 1.5"),
        ({"train": {"epochs": "3"}}, "train/epochs: should be a whole number, got '3'"),
        ({"train": {"lr": "fast"}}, "train/lr: should be a number, got 'fast'"),
        ({"train": []}, "train: should be an object"),
        ({"seeds": [1]}, "'seeds' is not a field here (did you mean seed?)"),
        ({"method": None}, "method: should be an object"),
        ({"train": {"lr": 0, "epochs": 0}}, "train/epochs: should be greater than or equal to 1, got 0; train/lr: "),
        ({"model": {"name": "resnet18"}, "train": {"batch_size": 100}}, "train/batch_size: batch_size 100 leaves a"),
        ({"model": {"name": "resnet18"}, "train": {"batch_size": 100}}, "use batch_size 99"),
        ({"data": {"name": "cub200"}}, "cub200"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_with_its_path(
    change: dict[str, Any], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(GOOD | change))
    assert told in refused([str(path)], capsys)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b'{"data": {},\n  "seed" 3}', "is not JSON: Expecting ':' delimiter at line 2, column 10"),
        (b'{"a": "NaN",\n "train": {"lr": NaN}}', "is not JSON: NaN at line 2, column 18 is not a number of JSON"),
        (b'{"lr": -Infinity}', "is not JSON: -Infinity at line 1, column 8"),
        (b'{"lr": 1e999}', "is not JSON: 1e999 is too large"),
        (b'{"seed": 1, "seed": 2}', "is not JSON: 'seed' appears twice in one object"),
        (b'{"a": "\xff"}', "is not UTF-8 text (byte 7): save it as UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[1]", "should be an object"),
        (b"null", "should be an object"),
    ],
    ids=range(12),
)
def test_a_file_that_is_no_json_object_is_refused(
    content: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(content)
    error = refused([str(path)], capsys)
    assert error.startswith(f"SPEC.json {path}")
    assert told in error


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert main([str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("field", ["arms", "preset", "evaluations", "search", "relearn_capsule"])
@pytest.mark.parametrize("command", ["train", "replay", "slim"])
def test_an_experiment_is_sent_to_relearn_run(
    field: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "digits.json"
    path.write_text(json.dumps({"name": "x", "data": {"name": "digits"}, field: []}))
    arguments = {
        "train": [str(path)],
        "replay": ["replay", "--spec", str(path), "--init", "i", "--batches", "b"],
        "slim": ["slim", "--spec", str(path), "--checkpoint", "c", "--out", "o"],
    }[command]
    error = refused(arguments, capsys)
    assert f"{path} is an experiment (it has {field}): use `relearn run {path}`" in error


def test_the_example_of_the_service_is_an_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert "use `relearn run examples/digits.json`" in refused(["examples/digits.json"], capsys)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--device", "gpu"], "--device gpu is not a device of this machine"),
        (["--device", "cuda:9"], "--device cuda:9 is not a device of this machine"),
        (["--fork", "/nowhere/g0001"], "--fork /nowhere/g0001: there is no such folder of a checkpoint"),
        (["--out", "{spec}"], "--out {spec}/spec cannot be a folder: Not a directory"),
        (["/nowhere/b.json"], "SPEC.json /nowhere/b.json cannot be read: there is no such file"),
        (["/tmp"], "SPEC.json /tmp is a folder: name a file"),
    ],
)
def test_files_and_devices_are_named_with_their_flag(
    more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(GOOD))
    filled = [each.replace("{spec}", str(path)) for each in more]
    assert told.replace("{spec}", str(path)) in refused([str(path), *filled], capsys)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: SPEC.json"),
        (["a.json", "--threads", "0"], "argument --threads: '0' is not a whole number of at least 1"),
        (["a.json", "--checkpoint-every", "nan"], "'nan' is not a number of seconds of at least 0"),
        (["a.json", "--ot", "x"], "unrecognized arguments: --ot x"),
        (["replay"], "the following arguments are required: --spec, --init, --batches"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(GOOD | {"train": GOOD["train"] | {"epochs": 3, "batch_size": 901}}))
    command = f"{sys.executable} -m trainer {path} | true"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
