import io
import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluators.__main__ import main
from evaluators.accuracy import Accuracy
from evaluators.evaluate import evaluate
from evaluators.linear_probe import LinearProbe
from trainer.core import checkpoint as checkpoints
from trainer.core.data import named
from trainer.core.determinism import fingerprint
from trainer.core.models import DigitsResNet, build
from trainer.core.state import TrainState

TINY = '{"name": "resnet-digits", "width": 1}'
CPU = torch.device("cpu")


def weights() -> dict[str, Tensor]:
    return build(DigitsResNet(width=1), classes=10, seed=0).state_dict()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pt"
    torch.save(weights(), path)
    return path


def arguments(evaluator: str, checkpoint: Path, *more: str) -> list[str]:
    return [evaluator, "--checkpoint", str(checkpoint), "--model", TINY, *more]


def printed(capsys: pytest.CaptureFixture[str], *given: str) -> dict[str, Any]:
    """What a command that succeeds prints."""
    assert main(list(given)) == 0, capsys.readouterr().err
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return record


def test_the_record_is_that_of_the_judge_with_what_was_judged(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--set", "learning_rates=[0.1]", "--set", "epochs=2", "--set", "train_per_class=5"]
    given = arguments("linear-probe", checkpoint, "--source", "digits", "--data", "digits-edges", *sets)
    spec = LinearProbe(targets=("digits-edges",), learning_rates=(0.1,), epochs=2, train_per_class=5)
    model = build(DigitsResNet(width=1), classes=10, seed=0)
    record = printed(capsys, *given)
    assert record == {
        "model": {"name": "resnet-digits", "width": 1},
        "classes": 10,
        "weights_sha256": checkpoints.weights_digest(weights()),
        **evaluate(spec, model, named("digits"), named("digits-edges")),
    }
    assert record["details"]["source"].startswith("digits#")
    assert record["details"]["target"].startswith("digits-edges#")


def test_an_evaluator_of_the_target_alone_needs_no_source(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even as many classes as the network has outputs."""
    sets = ["--set", "shots=[1]", "--set", "episodes=2", "--set", "epochs=1"]
    record = printed(capsys, *arguments("few-shot", checkpoint, "--data", "digits-0-4", *sets))
    assert record["scores"]["1shot/acc"]["n"] == 2
    assert record["details"]["source"] is None
    assert record["details"]["target"].startswith("digits-0-4#")


@pytest.mark.parametrize(
    "options", [["--source", "digits"], ["--data", "digits"], ["--source", "digits", "--data", "digits"]]
)
def test_the_networks_own_data_may_be_named_either_way(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    record = printed(capsys, *arguments("accuracy", checkpoint, "--classes", "10", *options))
    digits = named("digits").load()
    expected = Accuracy().run(build(DigitsResNet(width=1), classes=10, seed=0), digits, digits)
    assert record["scores"]["top1"] == expected.scores["top1"].model_dump()


@pytest.mark.parametrize("nest", [None, "model", "state_dict", "net"])
def test_a_state_dict_is_found_where_people_put_it(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], nest: str | None
) -> None:
    state = OrderedDict(weights())
    torch.save(state if nest is None else {nest: state, "epoch": 7, "optimizer": {"lr": 0.1}}, checkpoint)
    record = printed(capsys, *arguments("accuracy", checkpoint, "--data", "digits"))
    assert record["weights_sha256"] == checkpoints.weights_digest(weights())


def test_names_are_mapped_by_prefix_and_the_first_that_fits_counts(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = {
        "module." + name.replace("layer1.", "backbone.one.").replace("fc.", "head."): value
        for name, value in weights().items()
    }
    torch.save(foreign, checkpoint)
    renames = ["--rename", "backbone.one.=layer1.", "--rename", "backbone.=nothing.", "--rename", "head=fc"]
    given = arguments("accuracy", checkpoint, "--data", "digits", "--strip-prefix", "module.", *renames)
    assert printed(capsys, *given)["weights_sha256"] == checkpoints.weights_digest(weights())


def test_counters_of_batch_norm_may_be_missing(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(
        {name: value for name, value in weights().items() if not name.endswith("num_batches_tracked")}, checkpoint
    )
    record = printed(capsys, *arguments("accuracy", checkpoint, "--data", "digits"))
    assert record["weights_sha256"] == checkpoints.weights_digest(weights())


def test_a_checkpoint_folder_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "g0000"
    state = TrainState(build(DigitsResNet(width=1), classes=10, seed=0), seed=0)
    manifest = checkpoints.save(folder, state, "key", fingerprint(CPU))
    record = printed(capsys, *arguments("accuracy", folder, "--data", "digits"))
    assert record["weights_sha256"] == manifest.weights_sha256
    (folder / "state.pt").write_bytes((folder / "state.pt").read_bytes() + b"torn")
    assert main(arguments("accuracy", folder, "--data", "digits")) == 2
    assert "its manifest says" in capsys.readouterr().err


def test_depth_probes_the_models_stage_points_and_fc(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = printed(capsys, *arguments("prediction-depth", checkpoint, "--data", "digits", "--set", "pool=avg"))[
        "details"
    ]
    assert settings["settings"]["layers"] == ["layer1", "layer2", "layer3", "layer4", "fc"]
    assert settings["settings"]["pool"] == "avg"


def test_the_record_goes_to_a_file_and_features_stay_in_a_folder(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--set", "epochs=1", "--set", "train_per_class=2", "--features", str(tmp_path / "features")]
    given = arguments("linear-probe", checkpoint, "--data", "digits-edges", *sets)
    first = printed(capsys, *given)
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2
    out = tmp_path / "record.json"
    assert main([*given, "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(out.read_text()) == first


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_that_can_be_silenced(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = arguments("linear-probe", checkpoint, "--data", "digits-edges", "--set", "epochs=1")
    for more, shown in (([], True), (["--quiet"], False)):
        monkeypatch.setattr(sys, "stderr", stream := Terminal())
        assert main([*given, *more]) == 0
        assert ("digits-edges through the network: 896 of 896\n" in stream.getvalue()) is shown
        assert (stream.getvalue() == "") is not shown


MISTAKES: list[tuple[str, list[str], str]] = [
    ("few-shot", [], "few-shot needs data to evaluate on: name it with --data"),
    ("few-shot", ["--source", "digits"], "few-shot needs data to evaluate on: name it with --data"),
    ("accuracy", [], "accuracy needs data to evaluate on: name it with --data"),
    (
        "accuracy",
        ["--source", "digits", "--data", "digits-edges"],
        "accuracy uses the data the network was trained on: leave --data out",
    ),
    ("accuracy", ["--data", "digits", "--set", "k"], "--set 'k' has no value: write field=value"),
    ("accuracy", ["--data", "digits", "--set", "k=1"], "--set: k: 'k' is not a field here"),
    ("accuracy", ["--data", "mnist"], "--data mnist: not a data set; known are digits"),
    ("accuracy", ["--source", "{"], "--source { is not JSON"),
    ("accuracy", ["--source", '{"name": "digits", "half": 1}'], "--source: half: 'half' is not a field here"),
    ("accuracy", ["--data", "digits-0-4"], "the network has 10 outputs but 'digits-0-4' has 5 classes"),
    (
        "few-shot",
        ["--source", "digits-0-4", "--data", "digits"],
        "the network has 10 outputs but 'digits-0-4' has 5 classes",
    ),
    ("few-shot", ["--data", "digits-0-4", "--set", "ways=6"], "ways: 6 ways need 6 classes"),
    ("few-shot", ["--data", "digits-edges", "--set", "shots=[0]"], "shots/0: should be greater than or"),
    ("accuracy", ["--data", "digits", "--device", "abacus"], "--device abacus is not a device of this machine"),
    ("accuracy", ["--data", "digits", "--rename", "fc"], "--rename 'fc' is not of the form OLD=NEW"),
    (
        "accuracy",
        ["--data", "digits", "--out", "/nowhere/a.json"],
        "--out /nowhere/a.json: there is no folder /nowhere",
    ),
    (
        "accuracy",
        ["--data", "digits", "--checkpoint", "/nowhere.pt"],
        "--checkpoint /nowhere.pt: No such file or directory",
    ),
    (
        "accuracy",
        ["--data", "digits", "--model", "resnet50"],
        "does not fit resnet50: missing layer1.0.conv3.weight, layer1.0.bn3.weight, layer1.0.bn3.bias and",
    ),
    (
        "accuracy",
        ["--data", "digits", "--model", "resnet-digits"],
        "conv1.weight, bn1.weight, bn1.bias and 58 more "
        "([1, 3, 3, 3] where the model has [16, 3, 3, 3]): look at --model",
    ),
    (
        "accuracy",
        ["--data", "digits", "--classes", "10", "--strip-prefix", "conv"],
        "missing conv1.weight; unexpected 1.weight: "
        "map the names by --strip-prefix or --rename OLD=NEW, or name its own",
    ),
    (
        "accuracy",
        ["--data", "digits", "--rename", "fc.=head."],
        "has no fc.weight, which has the number of outputs: give --classes, or --rename it",
    ),
    ("accuracy", ["--data", "digits", "--rename", "conv1=fc"], "give two tensors the name 'fc.weight': rename fewer"),
]


@pytest.mark.parametrize(("evaluator", "more", "message"), MISTAKES)
def test_mistakes_are_explained_in_one_line(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], evaluator: str, more: list[str], message: str
) -> None:
    assert main(arguments(evaluator, checkpoint, *more)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("evaluators: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_prefix_that_all_names_have_is_found(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({f"module.net.{name}": value for name, value in weights().items()}, checkpoint)
    assert main(arguments("accuracy", checkpoint, "--data", "digits", "--classes", "10")) == 2
    shown = capsys.readouterr().err
    assert "missing conv1.weight, bn1.weight, bn1.bias and" in shown
    assert "unexpected module.net.conv1.weight, " in shown
    assert "map the names by --strip-prefix module.net., or" in shown


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(b"not a checkpoint")
    assert main(arguments("accuracy", path, "--data", "digits")) == 2
    assert "is not a file of tensors: save model.state_dict() by torch.save" in capsys.readouterr().err
    for content in ([1, 2], {}, {"model": {"name": "resnet"}}):
        torch.save(content, path)
        assert main(arguments("accuracy", path, "--data", "digits")) == 2
        assert "holds no state_dict, neither itself nor under one of model, state_dict, net" in capsys.readouterr().err


def test_the_module_runs_as_a_program(checkpoint: Path) -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "evaluators",
        *arguments("accuracy", checkpoint, "--data", "digits"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["scores"]["top1"]["n"] == 896


def test_torch_torchvision_numpy_and_pydantic_are_enough(checkpoint: Path) -> None:
    """filelock and Pillow are allowed too, because torch and torchvision install them."""
    blocked = (
        "ray",
        "mlflow",
        "fastapi",
        "sqlalchemy",
        "httpx",
        "rich",
        "scipy",
        "sklearn",
        "uvicorn",
        "pandas",
        "numba",
    )
    code = "\n".join(
        [
            "import sys",
            f"sys.modules.update(dict.fromkeys({blocked!r}))",
            "from evaluators.__main__ import main",
            "sys.exit(main(sys.argv[1:]))",
        ]
    )
    command = [sys.executable, "-c", code, *arguments("accuracy", checkpoint, "--data", "digits")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "pip install scikit-learn" in done.stderr
