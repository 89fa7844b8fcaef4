"""`python -m trainer`, run as its users run it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.trainer.small import small_spec


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
    assert "falling back to the generation before" in again.stderr
    assert [json.loads(line) for line in again.stdout.splitlines()] == rows[4:]


def test_a_wrong_spec_is_refused_with_code_2(tmp_path: Path) -> None:
    spec = tmp_path / "bad.json"
    spec.write_text('{"data": {"name": "digits"}, "method": {"name": "seal", "ascent_epochs": 500}}')
    refused = trainer(str(spec))
    assert refused.returncode == 2
    assert "500 ascent epochs do not fit into a generation of 160" in refused.stderr
