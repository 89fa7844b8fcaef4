"""Makes installed packages that offer methods and evaluators, and runs a new process that finds them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

METHOD = """
from typing import Literal
from pydantic import Field
from trainer.methods.base import Forgotten, Method

class Halving(Method):
    '''Halves the last weights at the start of every generation >= 1.'''
    name: Literal["halving"] = "halving"
    factor: float = Field(0.5, ge=0, le=1, description="what is left of a weight")

    def forget(self, state):
        state.model.get_parameter("fc.weight").data.mul_(self.factor)
        return Forgotten(state.model.get_parameter("fc.weight").numel())
"""

EVALUATOR = """
from typing import Literal
from evaluators.base import EvalResult, Evaluator, Score

class Norm(Evaluator):
    '''The L2 norm of all weights.'''
    name: Literal["norm"] = "norm"

    def run(self, model, source, target):
        return EvalResult(scores={"l2": Score(value=sum(float(p.norm()) ** 2 for p in model.parameters()) ** 0.5, n=1)})
"""


def offer(
    site: Path, package: str, code: str, *points: str, group: str = "relearn.methods", module: str | None = None
) -> Path:
    """Puts a package into the folder `site` as pip would: entry points such as `halving = its_module:Halving`."""
    source = site / f"{module or package.replace('-', '_')}.py"
    source.write_text(code)
    metadata = site / f"{package.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(points) + "\n")
    return source


def process(site: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`python COMMAND` in a fresh process that finds what is in `site`."""
    path = os.pathsep.join([str(site), str(ROOT)])
    own = {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | own | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def answer(site: Path, script: str, *arguments: str) -> Any:
    """What `script` printed last, read as JSON."""
    done = process(site, "-c", script, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
