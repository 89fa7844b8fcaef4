"""Specs from files and by the names of presets, as several commands take them."""

from pathlib import Path

import pytest

from api.cli import specs
from api.cli.__main__ import main
from api.client import Refused

pytestmark = pytest.mark.usefixtures("clean_environment")


def test_a_spec_is_a_file_or_the_name_of_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("paper").mkdir()
    Path("paper/mine").write_text('{"name": "mine"}')
    assert specs.read("paper/table-2") == {"preset": "paper/table-2"}
    assert specs.read("paper/table-2@1") == {"preset": "paper/table-2@1"}
    assert specs.read("paper/mine") == {"name": "mine"}
    for wrong in ("paper/table-2.json", "spec", "/nowhere/spec"):
        with pytest.raises(Refused, match="cannot be read"):
            specs.read(wrong)


def test_a_missing_spec_file_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "missing.json"]) == 2
    printed = capsys.readouterr().err
    assert "missing.json cannot be read" in printed
    assert "No such file" in printed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"name: yaml",
        b"\xff\xfe",
        b'{"name": "a"} {}',
        b'{"train": {"lr": NaN}}',
        b'{"train": {"lr": 1e999}}',
        b'{"name": "\\ud800"}',
        b'{"seeds": [0], "seeds": [1]}',
    ],
)
def test_a_spec_file_that_is_not_plain_json_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dead_url: str, content: bytes
) -> None:
    """It is refused before anything is sent, because a lenient client would send other JSON than the file has."""
    monkeypatch.setenv("RELEARN_URL", dead_url)
    (tmp_path / "spec.json").write_bytes(content)
    assert main(["submit", "spec.json"]) == 2
    assert "spec.json cannot be read" in capsys.readouterr().err
