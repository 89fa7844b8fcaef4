"""Submission of wrong specs, and of specs on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.cli.stack import Stack
from api.client import Client, Refused
from tests.e2e.experiments import MARKS, spec

pytestmark = MARKS


def test_a_wrong_spec_is_refused_by_the_server_with_every_problem(client: Client) -> None:
    raw = spec(seeds=[])
    raw["arms"][2]["method"]["ascent_scal"] = 1
    with pytest.raises(Refused) as refused:
        client.submit(raw)
    errors = {(error["pointer"], error["code"]) for error in refused.value.document["errors"]}
    assert errors == {("/seeds", "OUT_OF_RANGE"), ("/arms/2/method/ascent_scal", "UNKNOWN_FIELD")}
    assert "did you mean 'ascent_scale'?" in str(refused.value)


def test_the_command_line_uses_only_the_api(first_experiment: dict[str, Any], stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec()))

    def relearn(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "api.cli", *arguments]
        environment = os.environ | {"RELEARN_URL": stack.links["api"]}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    submitted = relearn("submit", str(path))
    assert "generations: 6 requested, 4 unique, 4 done before" in submitted.stdout
    identity = submitted.stdout.split()[1]
    watched = relearn("watch", identity)
    assert watched.returncode == 0
    assert "12/12 epochs (12 done before), 16/16 evaluations" in watched.stdout
    shown = relearn("results", identity).stdout
    assert "few-shot digits-5-9 (" in shown
    assert "  1shot/acc %" in shown
    assert len(json.loads(relearn("results", identity, "--json").stdout)) > 30
    assert identity in relearn("list").stdout
    assert relearn("cancel", identity).returncode == 2
