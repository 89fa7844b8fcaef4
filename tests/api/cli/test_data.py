"""`relearn data`, run in this process, and GET /datasets."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from api.cli.__main__ import main
from tests.api.builders import serving, settings
from tests.orchestrator.builders import small
from tests.trainer.core.data.builders import encoded
from tests.trainer.core.data.trees import BUILDERS


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELEARN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_prepare_verify_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = BUILDERS["eurosat"](tmp_path / "eurosat")
    source = ["--from", str(tree.root)]
    assert main(["data", "prepare", "eurosat", *source]) == 3
    assert "E_COUNT: eurosat" in capsys.readouterr().err
    assert main(["data", "prepare", "eurosat", *source, "--size", "64", "--allow-partial"]) == 0
    out = capsys.readouterr().out
    assert "all 30/30" in out
    assert "eurosat@cdfsl-64: 30 all at 64 px, digest" in out
    assert "(PARTIAL)" in out
    assert main(["data", "verify", "eurosat@cdfsl-64"]) == 0
    assert "30 images decoded again are the same" in capsys.readouterr().out
    assert main(["data", "list", "--json"]) == 0
    items = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert items["eurosat"]["prepared"][0]["partial"] is True
    assert main(["data", "list"]) == 0
    assert "64 px" in capsys.readouterr().out


def test_the_pickles_of_cifar_are_decoded_again_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = BUILDERS["cifar100"](tmp_path / "cifar100")
    assert main(["data", "prepare", "cifar100", "--from", str(tree.root), "--allow-partial"]) == 0
    assert main(["data", "verify", "cifar100"]) == 0
    assert "12 images decoded again are the same" in capsys.readouterr().out


def test_verify_finds_a_flipped_bit(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = BUILDERS["folder"](tmp_path / "folder")
    assert main(["data", "prepare", "folder", "--tree", "pets", "--from", str(tree.root)]) == 0
    (images,) = root.rglob("all.images.npy")
    payload = bytearray(images.read_bytes())
    payload[-1] ^= 1
    images.write_bytes(payload)
    assert main(["data", "verify", "folder:pets"]) == 3
    assert "all.images.npy has sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "eurosats", "--from", "."], "'eurosats' is not prepared from files"),
        (["prepare", "digits", "--from", "."], "'digits' is not prepared from files"),
        (["prepare", "folder", "--from", "."], "folder needs --tree NAME"),
        (["prepare", "eurosat", "--tree", "x", "--from", "."], "--tree is only for folder"),
        (["prepare", "eurosat", "--size", "65", "--from", "."], "--size 65 is not known for eurosat"),
        (["prepare", "cub200", "--recipe", "native", "--from", "."], "recipe native is for square images of one size"),
        (["verify", "eurosats"], "eurosats"),
    ],
)
def test_wrong_usage_is_reported_and_returns_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_what_is_not_prepared_cannot_be_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", "eurosat"]) == 3
    assert "relearn data prepare eurosat" in capsys.readouterr().err
    assert main(["data", "verify", "digits"]) == 0


def test_the_api_lists_data_sets_and_refuses_what_is_not_prepared(tmp_path: Path) -> None:
    tree = BUILDERS["eurosat"](tmp_path / "eurosat")
    source = ["--from", str(tree.root), "--size", "64", "--allow-partial"]
    few_shot = {"name": "few-shot", "targets": ["eurosat@cdfsl-64"], "shots": [1], "queries": 2}
    raw = small(evaluations=[{"evaluator": few_shot}])
    with serving(settings(tmp_path / "home")) as client:
        refused = client.post("/experiments", json=raw)
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert (error["pointer"], error["code"]) == ("/evaluations/0/evaluator/targets/0", "NOT_PREPARED")
        assert main(["data", "prepare", "eurosat", *source]) == 0
        items = {item["name"]: item for item in client.get("/datasets").json()["items"]}
        assert (items["eurosat"]["ready"], items["dogs"]["ready"], items["digits"]["ready"]) == (True, False, True)
        assert client.post("/experiments", json=raw).status_code == 202


def test_a_subset_is_printed_as_specs_must_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = BUILDERS["eurosat"](tmp_path / "eurosat")
    kept = [item for _, item in tree.labels][:1]
    listing = tmp_path / "labeled_80.csv"
    listing.write_text("img_path,label\n" + "".join(f"{item},x\n" for item in kept))
    arguments = ["--from", str(tree.root), "--size", "64", "--allow-partial", "--subset", str(listing)]
    assert main(["data", "prepare", "eurosat", *arguments]) == 0
    variant = hashlib.sha256(listing.read_bytes()).hexdigest()[:8]
    assert f"eurosat@cdfsl-64+{variant}: 1 all" in capsys.readouterr().out
    assert main(["data", "verify", f"eurosat@cdfsl-64+{variant}"]) == 0


def test_preparing_again_says_unchanged_or_what_it_replaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = BUILDERS["folder"](tmp_path / "folder")
    arguments = ["data", "prepare", "folder", "--tree", "cat", "--from", str(tree.root)]
    assert main(arguments) == 0
    first = capsys.readouterr().out.splitlines()[-1]
    assert first.startswith("folder:cat: ")  # rich would print an emoji
    assert "replaces" not in first
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{first}, unchanged"
    (tree.own / tree.lossless[0]).write_bytes(encoded(Image.new("RGB", (16, 16), (1, 2, 3))))
    assert main(arguments) == 0
    digest = first.partition("digest ")[2].split()[0]
    assert capsys.readouterr().out.splitlines()[-1].endswith(f", replaces {digest}")
