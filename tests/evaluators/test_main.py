import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from evaluators.__main__ import main
from evaluators.accuracy import Accuracy
from evaluators.few_shot import FewShot
from trainer.core.data import named
from trainer.core.models import DigitsResNet, build

TINY = '{"name": "resnet-digits", "width": 1}'


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pt"
    torch.save(build(DigitsResNet(width=1), classes=10, seed=0).state_dict(), path)
    return path


def arguments(evaluator: str, checkpoint: Path, *more: str) -> list[str]:
    settings = ["--checkpoint", str(checkpoint), "--model", TINY, "--classes", "10", "--source", "digits"]
    return [evaluator, *settings, *more]


def test_few_shot_prints_what_the_evaluator_finds(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["--set", "shots=[1,2]", "--set", "episodes=3", "--set", "epochs=2"]
    assert main(arguments("few-shot", checkpoint, "--target", "digits-edges", *sets)) == 0
    printed = json.loads(capsys.readouterr().out)
    spec = FewShot(targets=("digits-edges",), shots=(1, 2), episodes=3, epochs=2)
    model = build(DigitsResNet(width=1), classes=10, seed=0).eval()
    expected = spec.run(model, named("digits").load(), named("digits-edges").load())
    assert printed["scores"] == expected.model_dump(mode="json")["scores"]
    assert printed["curves"] == expected.curves
    assert printed["evaluator"] == spec.model_dump(mode="json")
    assert printed["target"] == {"name": "digits-edges"}


def test_prefixed_names_under_model_are_read(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.load(checkpoint, weights_only=True)
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, checkpoint)
    assert main(arguments("accuracy", checkpoint, "--strip-prefix", "module.")) == 0
    printed = json.loads(capsys.readouterr().out)
    digits = named("digits").load()
    expected = Accuracy().run(build(DigitsResNet(width=1), classes=10, seed=0), digits, digits)
    assert printed["scores"]["top1"] == expected.scores["top1"].model_dump()


def test_depth_probes_the_models_stage_points_and_fc(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments("prediction-depth", checkpoint, "--set", "pool=avg")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["evaluator"]["layers"] == ["layer1", "layer2", "layer3", "layer4", "fc"]
    assert printed["evaluator"]["pool"] == "avg"
    assert len(printed["curves"]["depth_histogram"]) == 6


@pytest.mark.parametrize(
    ("evaluator", "more", "message"),
    [
        ("few-shot", [], "few-shot judges on other data: name it with --target"),
        (
            "accuracy",
            ["--target", "digits-edges"],
            "accuracy judges on the source's own test images: leave --target out",
        ),
        ("accuracy", ["--set", "k"], "--set 'k' has no value: write field=value"),
        ("accuracy", ["--set", "k=1"], "--set: k: Extra inputs are not permitted"),
        ("accuracy", ["--source", "mnist"], "--source mnist: not a data set; known are digits"),
        ("accuracy", ["--source", "digits-0-4"], "--classes is 10 but 'digits-0-4' has 5 classes"),
        ("few-shot", ["--target", "digits-0-4", "--set", "ways=6"], "ways: 6 ways need 6 classes"),
        ("few-shot", ["--target", "digits-edges", "--set", "shots=[0]"], "shots/0: Input should be greater than or"),
        ("accuracy", ["--model", "resnet18"], "does not fit --model and --classes"),
        ("accuracy", ["--strip-prefix", "conv"], "does not fit --model and --classes"),
        ("accuracy", ["--checkpoint", "/nowhere.pt"], "No such file or directory: '/nowhere.pt'"),
        ("accuracy", ["--device", "abacus"], "--device abacus is not a device of this machine"),
    ],
)
def test_mistakes_are_explained(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], evaluator: str, more: list[str], message: str
) -> None:
    assert main(arguments(evaluator, checkpoint, *more)) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(b"not a checkpoint")
    assert main(arguments("accuracy", path)) == 2
    assert "is not a file of tensors written by torch.save" in capsys.readouterr().err
    torch.save([1, 2], path)
    assert main(arguments("accuracy", path)) == 2
    assert "holds neither a state_dict nor one under 'model'" in capsys.readouterr().err


def test_the_module_runs_as_a_program(checkpoint: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "evaluators", *arguments("accuracy", checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["top1"]["n"] == 896
