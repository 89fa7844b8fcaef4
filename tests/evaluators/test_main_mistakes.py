"""`python -m evaluators` explains wrong names, settings and files in one sentence, without the texts of pydantic."""

from pathlib import Path

import pytest
import torch

from evaluators.__main__ import main
from trainer.core import models


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.pt"
    torch.save(models.build(models.ImageNetResNet(name="resnet18"), 10, 0).state_dict(), path)
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for leak in ("pydantic", "validation error", "Input ", "Traceback", "[Errno", "Extra inputs"):
        assert leak not in captured.err
    return captured.err


ADAPT = ["few-shot", "--model", "resnet18", "--data", "digits", "--set", "mode=linear+affines", "--set", "episodes=1"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["accuracy", "--model", "resnet-18", "--data", "digits"], "--model: name: 'resnet-18' is not known here"),
        (["accuracy", "--model", "resnet-18", "--data", "digits"], "(did you mean resnet18?)"),
        (["accuracy", "--model", '{"name": "resnet18",}', "--data", "digits"], "is not JSON: "),
        (["accuracy", "--model", '{"name": "resnet18",}', "--data", "digits"], " at line 1, column 2"),
        (["accuracy", "--model", '{"nam": "resnet18"}', "--data", "digits"], "--model: name: name is required"),
        (["accuracy", "--model", '{"name": "resnet-digits", "widht": 4}', "--data", "digits"], "(did you mean width?)"),
        (["accuracy", "--model", "", "--data", "digits"], "--model: name: '' is not known here"),
        (["accuracy", "--model", "resnet18", "--data", "folder"], "--data folder needs the name of a tree: write fol"),
        (["accuracy", "--model", "resnet18", "--data", "folder@native"], "write folder:TREE"),
        (["accuracy", "--model", "resnet18", "--data", "digits:cats"], "--data digits:cats: tree: 'tree' is not a fie"),
        (["accuracy", "--model", "resnet18", "--data", "cub200@probe-65"], "recipe: 'probe-65' is not known here"),
        (["accuracy", "--model", "resnet18", "--data", "Digits"], "--data Digits: not a data set; known are digits"),
        (["accuracy", "--model", "resnet18", "--data", '{"name": "folder"}'], "--data: tree: tree is required"),
        (["few-shot", "--model", "resnet18", "--data", "digits", "--set", "shots=[0]"], "shots/0: should be greater"),
        (["few-shot", "--model", "resnet18", "--data", "digits", "--set", "shots=[1,1]"], "1 is listed twice"),
        (["few-shot", "--model", "resnet18", "--data", "digits", "--set", "lr=NaN"], "lr: should be a number, got 'N"),
        (["few-shot", "--model", "resnet18", "--data", "digits", "--set", "mode=linaer"], "(did you mean linear?)"),
        (["few-shot", "--model", "resnet18", "--data", "digits", "--set", "shot=[1]"], "(did you mean shots?)"),
        (ADAPT, "batch_size: batch_size 4 leaves a last minibatch of 1 of 5 support images"),
        ([*ADAPT, "--set", "shots=[1]", "--set", "batch_size=2"], "use batch_size 3, or bn_mode eval"),
        (["prediction-depth", "--model", "resnet18", "--data", "digits", "--set", 'layers=["layer5"]'], "has no layer"),
        (["hessian-spectrum", "--model", "resnet18", "--data", "digits", "--set", "max_steps=1"], "cannot find k 5"),
        (["accuracy", "--model", "resnet18", "--data", "digits", "--out", "/tmp"], "--out /tmp is a folder: name a f"),
        (
            ["accuracy", "--model", "resnet18", "--data", "digits", "--features", "/dev/null"],
            "--features /dev/null can",
        ),
        (["accuracy", "--model", "resnet18", "--data", "digits", "--device", "tpu9"], "--device tpu9 is not a device"),
    ],
    ids=str,
)
def test_mistakes_have_our_words(
    weights: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused([*arguments, "--checkpoint", str(weights)], capsys)


@pytest.mark.parametrize(("name", "meant"), [("few_shot", "few-shot"), ("accurracy", "accuracy"), ("x", None)])
def test_an_unknown_evaluator_is_one_sentence(
    name: str, meant: str | None, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--model", "resnet18", "--checkpoint", str(weights)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{name!r} is not one of accuracy" in error
    assert (f"(did you mean {meant}?)" in error) == (meant is not None)
