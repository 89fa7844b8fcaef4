import hashlib
import json
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import nn

from evaluators.accuracy import Accuracy
from evaluators.base import CONTEXT, Context, EvalResult, Evaluator, Score
from evaluators.evaluate import evaluate
from evaluators.features.bank import Bank
from evaluators.linear_probe import LinearProbe
from trainer.core.data import AnyData, Dataset, named
from trainer.core.data.digits import DigitsNoisy
from trainer.core.determinism import fingerprint


class Recorder(Evaluator):
    """Records what it receives, and finds two numbers that JSON cannot represent."""

    version: ClassVar[int] = 7
    name: Literal["recorder"] = "recorder"
    bn_mode: Literal["train", "eval"] = "eval"
    layers: tuple[str, ...] = ("layer1", "fc")

    def run(self, model: nn.Module, source: Dataset, target: Dataset, context: Context = CONTEXT) -> EvalResult:
        assert not model.training
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        scores = {"acc": Score(value=0.5, n=4, low=0.25, high=float("inf"))}
        same = float(source is target)
        curves = {"same": [same, float("nan")]}
        return EvalResult(scores=scores, curves=curves, digests={"5shot": "ab" * 32}, notes=("a reduced run",))


def pixels(spec: AnyData) -> str:
    """Returns the digest of images and labels of both splits, computed by hand."""
    dataset, digest = spec.load(), hashlib.sha256()
    for split in (dataset.train, dataset.test):
        shape_and_pixels = str(tuple(split.images_NCHW.shape)).encode() + split.images_NCHW.numpy().tobytes()
        digest.update(hashlib.sha256(shape_and_pixels).hexdigest().encode())
        digest.update(split.labels_N.numpy().tobytes())
    return digest.hexdigest()


def test_a_record_says_what_its_scores_mean(network: nn.Module) -> None:
    digits, edges = named("digits"), named("digits-edges")
    record = evaluate(Recorder(bn_mode="train"), network.train(), digits, edges)
    assert record == {
        "scores": {"acc": {"value": 0.5, "n": 4, "low": 0.25, "high": None}},
        "curves": {"same": [0.0, None]},
        "details": {
            "evaluator": "recorder",
            "version": 7,
            "settings": {"bn_mode": "train", "layers": ["layer1", "fc"]},
            "source": f"digits#{pixels(digits)}",
            "target": f"digits-edges#{pixels(edges)}",
            "digests": {"5shot": "ab" * 32},
            "notes": ["a reduced run"],
            "fingerprint": fingerprint(torch.device("cpu")),
        },
    }
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert evaluate(Recorder(), network, digits, digits)["curves"]["same"] == [1.0, None]


def test_labels_are_part_of_what_names_the_data(network: nn.Module) -> None:
    clean, wrong = (DigitsNoisy(name="digits-noisy", train_per_class=2, label_noise=noise) for noise in (0.0, 0.5))
    clean_text, wrong_text = (evaluate(Recorder(), network, spec, spec)["details"]["source"] for spec in (clean, wrong))
    assert clean_text == f"digits-noisy#{pixels(clean)}"
    assert wrong_text == f"digits-noisy#{pixels(wrong)}"
    assert clean_text != wrong_text


def test_scores_are_those_of_the_evaluator(network: nn.Module, digits: Dataset) -> None:
    found = evaluate(Accuracy(), network, named("digits"), named("digits"))
    assert found["scores"] == Accuracy().run(network, digits, digits).model_dump(mode="json")["scores"]
    assert found["details"]["settings"] == Accuracy().model_dump(mode="json", exclude={"name"})


def test_targets_are_no_setting_and_the_bank_is_used(network: nn.Module, tmp_path: Path) -> None:
    probe = LinearProbe(targets=("digits-edges",), epochs=1, train_per_class=2)
    first = evaluate(probe, network, named("digits"), named("digits-edges"), Context(Bank(tmp_path)))
    assert "targets" not in first["details"]["settings"]
    assert first["details"]["settings"]["epochs"] == 1
    assert len(list(tmp_path.glob("*.npy"))) == 2
    again = evaluate(probe, network, named("digits"), named("digits-edges"), Context(Bank(tmp_path)))
    assert again["scores"] == first["scores"]
