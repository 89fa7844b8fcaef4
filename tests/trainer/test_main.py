"""`python -m trainer`, run as its users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainer.builders import begin, small_spec
from trainer import loop
from trainer.__main__ import main
from trainer.core import models
from trainer.core.checkpoint import read_manifest
from trainer.core.init import initialise
from trainer.core.reinit import weights_at_start


def trainer(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "trainer", *arguments], capture_output=True, text=True, check=False)


def test_it_prints_a_line_per_epoch_and_resumes_from_what_is_there(tmp_path: Path) -> None:
    spec = tmp_path / "seal.json"
    spec.write_text(small_spec({"name": "seal", "ascent_scale": 0.5}, generations=2).model_dump_json())
    whole = trainer(str(spec), "--out", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    rows = [json.loads(line) for line in whole.stdout.splitlines()]
    assert [(row["generation"], row["epoch"]) for row in rows] == [(g, e) for g in range(2) for e in range(4)]
    (tmp_path / "whole" / "seal" / "g0001" / "state.pt").write_bytes(b"torn")
    again = trainer(str(spec), "--out", str(tmp_path / "whole"))
    assert "set aside, the checkpoint before it is used" in again.stderr
    assert (tmp_path / "whole" / "seal" / "g0001.bad").exists()
    assert [json.loads(line) for line in again.stdout.splitlines()] == rows[4:]


def test_a_wrong_spec_is_refused_with_code_2(tmp_path: Path) -> None:
    spec = tmp_path / "bad.json"
    spec.write_text('{"data": {"name": "digits"}, "method": {"name": "seal", "ascent_epochs": 500}}')
    refused = trainer(str(spec))
    assert refused.returncode == 2
    assert "500 ascent epochs do not fit into a generation of 160" in refused.stderr


def test_a_run_that_diverges_ends_with_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "seal.json"
    method = {"name": "seal", "ascent_scale": 1000.0, "ascent_epochs": 4}
    spec.write_text(small_spec(method, lr=100.0, generations=2, precision="fp32").model_dump_json())
    assert main([str(spec)]) == 1
    printed = capsys.readouterr()
    assert "generation 1 (forgetting): lower lr or the ascent's scale" in printed.err
    assert len(printed.out.splitlines()) >= 4


def test_a_fork_goes_on_from_another_methods_generation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Generation 0 is shared: Normal's, gone on from under SEAL, gives SEAL's own rows and bits."""
    digests = {}
    for name in ("normal", "seal", "forked"):
        method = {"name": "normal"} if name == "normal" else {"name": "seal", "ascent_scale": 0.5}
        (tmp_path / f"{name}.json").write_text(
            small_spec(method, generations=1 if name == "normal" else 3).model_dump_json()
        )
        fork = ["--fork", f"{tmp_path}/normal/g0000"] if name == "forked" else []
        assert main([f"{tmp_path}/{name}.json", "--out", str(tmp_path), *fork]) == 0
        rows = capsys.readouterr().out.splitlines()
        if name != "normal":
            digests[name] = (read_manifest(tmp_path / name / "g0002").weights_sha256, rows[-8:], len(rows))
    assert digests["forked"][:2] == digests["seal"][:2]
    assert (digests["seal"][2], digests["forked"][2]) == (12, 8)


def test_a_folder_of_another_spec_is_not_continued(tmp_path: Path) -> None:
    spec = tmp_path / "one.json"
    spec.write_text(small_spec({"name": "normal"}, generations=1, epochs=1).model_dump_json())
    out = ["--out", str(tmp_path / "out")]
    assert main([str(spec), *out]) == 0
    spec.write_text(small_spec({"name": "normal"}, generations=2, epochs=1).model_dump_json())
    assert main([str(spec), *out]) == 0
    spec.write_text(small_spec({"name": "llf"}, generations=2, epochs=1).model_dump_json())
    assert main([str(spec), *out]) == 2


def test_two_specs_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "spec.json").write_text(
            small_spec({"name": "normal"}, generations=1, epochs=1).model_dump_json()
        )
    assert main([*(str(tmp_path / folder / "spec.json") for folder in ("x", "y")), "--out", str(tmp_path / "out")]) == 2


def test_only_a_finished_generation_with_something_after_it_is_forked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "one.json"
    spec.write_text(small_spec({"name": "normal"}, generations=1, epochs=1).model_dump_json())
    assert main([str(spec), "--out", str(tmp_path)]) == 0
    made = str(tmp_path / "one" / "g0000")
    assert main([str(spec), "--fork", made]) == 2
    assert "nothing is left of the spec's 1" in capsys.readouterr().err
    wide = small_spec({"name": "llf"}, generations=2, epochs=1).model_dump() | {
        "model": {"name": "resnet-digits", "width": 8}
    }
    spec.write_text(json.dumps(wide))
    assert main([str(spec), "--fork", made]) == 2
    assert "holds another network" in capsys.readouterr().err


def test_imp_rewinds_to_the_values_that_its_own_network_started_from(tmp_path: Path) -> None:
    """Forked under another seed, and off a student that was drawn in generation 1."""
    dataset = small_spec({"name": "normal"}).data.load()
    for base in ("normal", "born-again"):
        first = small_spec({"name": base}, generations=2, epochs=1)
        state, batches = begin(first)
        list(loop.train(first, state, batches))
        drawn = models.build(first.model, len(dataset.classes), 7)
        if base == "born-again":
            initialise(drawn, "he_normal_fan_in", 7, 1)
        forked = state
        forked.origin, forked.seed = forked.origin or (7, 0), 99
        found = weights_at_start(forked)
        assert all(torch.equal(found[name], weight.double()) for name, weight in drawn.named_parameters())
