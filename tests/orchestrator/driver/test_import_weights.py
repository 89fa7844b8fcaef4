"""Tests the import of weights that were trained elsewhere."""

from pathlib import Path

import pytest
import torch

from orchestrator.driver.import_weights import import_weights
from orchestrator.intake.references import digest_of
from orchestrator.spec import Weights
from trainer.core import checkpoint, models
from trainer.core.data.digits import Digits

MODEL = models.DigitsResNet(width=4)
KEY = "ab" * 32


def no_download(uri: str) -> Path:
    """Fails the test, because `uri` is a local path."""
    raise AssertionError(f"{uri} is on this machine")


def network(seed: int = 3) -> torch.nn.Module:
    """Returns an untrained network with the weights of `seed`."""
    return models.build(MODEL, classes=10, seed=seed)


def test_a_state_dict_becomes_a_checkpoint_with_the_same_weights(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save({"state_dict": {f"module.{name}": value for name, value in network().state_dict().items()}}, file)
    source = Weights(uri=str(file), sha256=digest_of(file), strip_prefix="module.")
    made = import_weights(source, MODEL, Digits(), KEY, tmp_path / "ours", no_download)
    assert (made.key, made.generation) == (KEY, 0)
    other = network(seed=4)
    checkpoint.load_weights(tmp_path / "ours", other)
    for name, value in network().state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_a_checkpoint_folder_can_be_imported(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save(network().state_dict(), file)
    first = import_weights(Weights(uri=str(file)), MODEL, Digits(), KEY, tmp_path / "ours", no_download)
    source = Weights(uri=str(tmp_path / "ours"), sha256=digest_of(tmp_path / "ours"))
    again = import_weights(source, MODEL, Digits(), "cd" * 32, tmp_path / "again", no_download)
    assert again.weights_sha256 == first.weights_sha256 == source.sha256


def test_a_uri_that_is_not_a_path_is_downloaded(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save(network().state_dict(), file)
    downloaded = []

    def download(uri: str) -> Path:
        downloaded.append(uri)
        return file

    import_weights(Weights(uri="mlflow-artifacts:/1/net.pt"), MODEL, Digits(), KEY, tmp_path / "ours", download)
    assert downloaded == ["mlflow-artifacts:/1/net.pt"]


def test_weights_that_changed_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save(network().state_dict(), file)
    with pytest.raises(ValueError, match="the experiment was posted for 0000"):
        import_weights(Weights(uri=str(file), sha256="0" * 64), MODEL, Digits(), KEY, tmp_path / "ours", no_download)
    with pytest.raises(ValueError, match=r"net\.pt: it does not fit resnet-digits: .* look at model and classes"):
        import_weights(
            Weights(uri=str(file)), models.DigitsResNet(width=8), Digits(), KEY, tmp_path / "ours", no_download
        )
    with pytest.raises(ValueError, match=r"strip_prefix and rename give two tensors the name 'fc\.weight'"):
        import_weights(
            Weights(uri=str(file), rename=("conv1=fc",)), MODEL, Digits(), KEY, tmp_path / "ours", no_download
        )
    assert not (tmp_path / "ours").exists()
