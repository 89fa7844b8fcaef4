import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.builders import serving, settings
from tests.trainer.packages import ROOT, answer, process

EXAMPLE = ROOT / "examples" / "relearn-shrink-perturb"
KEYS = {"name", "description", "schema", "package", "version", "own", "checked", "problem"}


@pytest.mark.parametrize(
    ("path", "first"), [("/methods", "normal"), ("/evaluators", "accuracy"), ("/models", "resnet-digits")]
)
def test_what_a_spec_may_name_is_listed_with_its_schema(tmp_path: Path, path: str, first: str) -> None:
    with serving(settings(tmp_path / "home")) as client:
        items = client.get(path).json()["items"]
    assert items[0]["name"] == first
    assert all(item.keys() == KEYS and item["own"] and item["checked"] and item["problem"] is None for item in items)
    assert all(item["schema"]["additionalProperties"] is False for item in items)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example package is installed."""
    work = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, work / "source")  # building leaves files beside the source
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(work / "site"), str(work / "source")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return work / "site"


POSTING = """
import json
import sys
from pathlib import Path
from tests.api.builders import database, serving, settings
from tests.orchestrator.builders import small
from orchestrator.intake.check import check

configured = settings(Path(sys.argv[1]))
method = {"name": "shrink-perturb", "shrink": 0.25}
with serving(configured) as client:
    listed = {item["name"]: item for item in client.get("/methods").json()["items"]}["shrink-perturb"]
    posted = client.post("/experiments", json=small(arms=[{"name": "sp", "method": method}]))
read = None
if posted.status_code == 202:
    with database(configured) as store:
        read = check(store.experiment(posted.json()["id"]).spec).arms[0].method.model_dump()
print(json.dumps([listed, posted.status_code, posted.json(), read]))
"""


def post(site: Path, home: Path) -> Any:
    return answer(site, POSTING, str(home))


def test_the_example_is_listed_refused_checked_accepted_and_refused_again_when_it_changes(
    site: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    listed, status, document, _ = post(site, home)
    assert (listed["package"], listed["version"], listed["own"], listed["checked"]) == (
        *("relearn-shrink-perturb", "0.1.0"),
        *(False, False),
    )
    assert listed["schema"]["properties"]["shrink"]["maximum"] == 1
    assert "w becomes shrink * w + noise" in listed["description"]
    assert (status, document["code"]) == (422, "INVALID_SPEC")
    (problem,) = document["errors"]
    assert (problem["pointer"], problem["code"]) == ("/arms/0/method/name", "UNCHECKED_METHOD")
    assert "run `relearn check-method shrink-perturb`" in problem["message"]

    checked = process(site, "-m", "api.cli", "check-method", "shrink-perturb", RELEARN_HOME=str(home))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 declared identities hold bit for bit" in checked.stdout
    assert "shrink-perturb: all 9 passed after" in checked.stdout

    listed, status, _, read = post(site, home)
    assert (listed["checked"], listed["problem"], status) == (True, None, 202)
    assert read == {"name": "shrink-perturb", "shrink": 0.25, "noise": 0.1}

    source = site / "relearn_shrink_perturb.py"
    source.write_text(source.read_text().replace("Field(0.5,", "Field(0.6,"))
    listed, status, document, _ = post(site, home)
    assert (listed["checked"], status) == (False, 422)
    assert "the code of 'shrink-perturb' has changed since it passed its check" in document["errors"][0]["message"]


def test_the_readme_of_the_example_shows_its_own_names() -> None:
    text = (EXAMPLE / "README.md").read_text()
    point = 'shrink-perturb = "relearn_shrink_perturb:ShrinkPerturb"'
    assert "relearn check-method shrink-perturb" in text
    assert point in (EXAMPLE / "pyproject.toml").read_text()
    assert json.loads(text[text.index('{"name"') : text.index("}") + 1])["name"] == "shrink-perturb"
