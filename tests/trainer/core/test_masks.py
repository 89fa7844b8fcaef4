"""Masks against protocols 4.5 and against naive sorting, and the slim network against the masked dense one."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.trainer.builders import CPU, begin, run, small_spec
from trainer.__main__ import main
from trainer.core import checkpoint, masks, models
from trainer.core.determinism import fingerprint
from trainer.core.seeding import generator
from trainer.methods.ke import KnowledgeEvolution

Kept = dict[str, torch.Tensor]


def corner(mask: torch.Tensor) -> tuple[int, int]:
    """Outputs and inputs kept; fails where what is kept is not a full corner."""
    outputs, inputs = (
        int(mask.flatten(2).any(2).any(dim).sum()) if mask.ndim == 4 else int(mask.any(dim).sum()) for dim in (1, 0)
    )
    expected = torch.zeros_like(mask)
    expected[:outputs, :inputs] = True
    assert torch.equal(mask, expected)
    return outputs, inputs


@pytest.mark.parametrize(
    ("rate", "stem", "conv", "output"),
    [
        (0.8, (52, 3), (103, 52), (200, 1_639)),
        (0.5, (32, 3), (64, 32), (200, 1_024)),
        (1.0, (64, 3), (128, 64), (200, 2_048)),
    ],
)
def test_kels_keeps_the_first_channels(
    rate: float, stem: tuple[int, int], conv: tuple[int, int], output: tuple[int, int]
) -> None:
    """protocols 4.5, on the shapes of ResNet-50's stem and output and a conv from 64 to 128 channels."""
    net = nn.Sequential(nn.Conv2d(3, 64, 7, bias=False), nn.Conv2d(64, 128, 3, bias=False), nn.Linear(2_048, 200))
    found = masks.kels(net, rate)
    assert {name: corner(mask) for name, mask in found.items()} == {
        "0.weight": stem,
        "1.weight": conv,
        "2.weight": output,
    }


def test_kels_reads_the_rate_as_the_decimal_it_was_written_as() -> None:
    """0.8 x 5 is 4.000000000000000x in floating point for some rates; no channel more is kept for it."""
    assert [masks.kept_channels(5, 0.8), masks.kept_channels(10, 0.7), masks.kept_channels(100, 0.07)] == [4, 7, 7]
    assert [masks.kept_channels(64, 0.8), masks.kept_channels(128, 0.8), masks.kept_channels(1, 0.1)] == [52, 103, 1]


def test_downsample_convs_are_masked_and_norms_and_biases_are_not() -> None:
    found = masks.kels(models.build(models.DigitsResNet(width=4), 10, 0), 0.5)
    assert len(found) == 1 + 4 * 2 + 3 + 1
    assert corner(found["layer2.0.downsample.0.weight"]) == (4, 2)
    assert not any("bn" in name or "bias" in name for name in found)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_wels_keeps_each_weight_with_the_asked_probability(rate: float) -> None:
    """Within four standard deviations of the binomial, over the whole net and in its largest tensor."""
    found = masks.wels(models.build(models.DigitsResNet(), 10, 0), rate, 3)
    for kept in (torch.cat([mask.flatten() for mask in found.values()]), found["layer4.0.conv2.weight"].flatten()):
        assert abs(kept.double().mean().item() - rate) < 4 * (rate * (1 - rate) / len(kept)) ** 0.5
    assert 0 < found["fc.weight"].double().mean() < 1


def test_the_mask_of_wels_stays_unless_another_is_asked_for_every_generation() -> None:
    state, _ = begin(small_spec({"name": "normal"}))

    def drawn(redraw_mask: bool) -> list[Kept]:
        method, found = KnowledgeEvolution(split="wels", redraw_mask=redraw_mask), []
        for state.generation in (1, 2):
            found.append(method.mask(state))
        return found

    (first, second), (other, another) = drawn(redraw_mask=False), drawn(redraw_mask=True)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(other[name], another[name]) for name in other if name != "fc.bias")
    assert not torch.equal(first["layer4.0.conv2.weight"], other["layer4.0.conv2.weight"])


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.29, 0.5, 0.99])
def test_lowest_drops_what_a_naive_sort_puts_first(rate: float) -> None:
    magnitudes = {
        "a": torch.rand(7, 5, generator=generator(0, "mask")),
        "b": torch.rand(65, generator=generator(1, "mask")),
    }
    alive = {
        name: torch.rand(tensor.shape, generator=generator(2, "mask")) < 0.7 for name, tensor in magnitudes.items()
    }
    found = masks.lowest(magnitudes, alive, rate)
    order = sorted(
        (magnitudes[name].flatten()[index].item(), name, index)
        for name in magnitudes
        for index in range(magnitudes[name].numel())
        if alive[name].flatten()[index]
    )
    dropped = {(name, index) for _, name, index in order[: round(rate * len(order) * 100) // 100]}
    for name, mask in found.items():
        kept = [bool(alive[name].flatten()[index]) and (name, index) not in dropped for index in range(mask.numel())]
        assert mask.flatten().tolist() == kept


def test_lowest_drops_exactly_as_many_of_equal_weights_as_were_asked_for() -> None:
    """All are zero or one; the first in their order go."""
    weights = torch.tensor([1.0, 0, 0, 1, 0, 0])
    found = masks.lowest({"a": weights}, {"a": torch.ones(6, dtype=torch.bool)}, 0.5)["a"]
    assert found.tolist() == [True, False, False, True, False, True]
    equal = masks.lowest({"a": torch.ones(10)}, {"a": torch.ones(10, dtype=torch.bool)}, 0.3)["a"]
    assert equal.tolist() == [False] * 3 + [True] * 7


def test_lowest_rounds_the_decimal_rate_down() -> None:
    """0.29 x 100 is 28.999999999999996 in floating point."""
    alive = {"a": torch.ones(100, dtype=torch.bool)}
    assert int(masks.lowest({"a": torch.arange(100.0)}, alive, 0.29)["a"].sum()) == 71
    assert int(masks.lowest({"a": torch.arange(99.0)}, {"a": torch.ones(99, dtype=torch.bool)}, 0.5)["a"].sum()) == 50


def masked_by_hand(model: nn.Module, kept: Kept) -> None:
    """Zeroes what the mask drops, and of BatchNorm what belongs to channels that are dropped."""
    for name, module in model.named_modules():
        if f"{name}.weight" in kept:
            module.get_parameter("weight").data.mul_(kept[f"{name}.weight"])
        elif isinstance(module, nn.BatchNorm2d):
            channels = masks.kept_channels(module.num_features, 0.5)
            module.weight.data[channels:] = 0
            module.bias.data[channels:] = 0


@pytest.mark.parametrize(
    "model",
    [
        models.DigitsResNet(width=5),
        models.ImageNetResNet(name="resnet18"),
        models.CifarResNet110(name="resnet110-cifar"),
    ],
    ids=lambda model: model.name,
)
def test_the_slim_network_computes_what_the_masked_dense_one_does(model: models.AnyModel) -> None:
    dense = models.build(model, 10, 3).double()
    for name, buffer in dense.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5, generator=generator(0, "data", name))
    thin = masks.slim(dense.eval(), 0.5)
    masked_by_hand(dense, masks.kels(dense, 0.5))
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64, generator=generator(1, "data"))
    with torch.no_grad():
        assert (thin(images) - dense(images)).abs().max() <= 1e-12 * dense(images).abs().max()
    assert sum(p.numel() for p in thin.parameters()) < 0.3 * sum(p.numel() for p in dense.parameters())


def test_slim_leaves_the_dense_network_alone() -> None:
    dense = models.build(models.DigitsResNet(width=4), 10, 3)
    before = checkpoint.weights_digest(dense.state_dict())
    masks.slim(dense, 0.5)
    assert checkpoint.weights_digest(dense.state_dict()) == before


def test_the_slim_network_of_the_parameter_free_shortcut_runs() -> None:
    """Its zero padding counts channels of its own, which must shrink with the others."""
    dense = models.build(models.CifarResNet110(name="resnet110-cifar", shortcut="pad"), 10, 3).double().eval()
    thin = masks.slim(dense, 0.5)
    masked_by_hand(dense, masks.kels(dense, 0.5))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=generator(1, "data"))
    with torch.no_grad():
        assert (thin(images) - dense(images)).abs().max() <= 1e-12 * dense(images).abs().max()


def test_the_command_slim_writes_the_weights_and_says_what_they_are_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = small_spec({"name": "ke", "split_rate": 0.5}, generations=2)
    state, _ = run(one)
    checkpoint.save(tmp_path / "g0001", state, "", fingerprint(CPU))
    (tmp_path / "ke.json").write_text(one.model_dump_json())
    paths = ["--spec", f"{tmp_path}/ke.json", "--checkpoint", f"{tmp_path}/g0001", "--out", f"{tmp_path}/slim.pt"]
    assert main(["slim", *paths]) == 0
    printed = json.loads(capsys.readouterr().out)
    slim = torch.load(tmp_path / "slim.pt", weights_only=True)
    assert printed["parameters"] == {"dense": 19_902, "slim": 54 + 72 + 224 + 896 + 3_584 + 160 + 10 + 360 // 2}
    assert {name: tuple(slim[name].shape) for name in ("conv1.weight", "fc.weight", "bn1.running_mean")} == {
        "conv1.weight": (2, 3, 3, 3),
        "fc.weight": (10, 16),
        "bn1.running_mean": (2,),
    }
    assert torch.equal(slim["layer4.0.conv2.weight"], state.model.get_parameter("layer4.0.conv2.weight")[:16, :16])
    assert set(printed["test/accuracy"]) == {"dense", "slim"}


def test_the_command_slim_refuses_what_has_no_slim_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wels.json").write_text(small_spec({"name": "ke", "split": "wels"}).model_dump_json())
    paths = ["--spec", f"{tmp_path}/wels.json", "--checkpoint", f"{tmp_path}/none", "--out", f"{tmp_path}/slim.pt"]
    assert main(["slim", *paths]) == 2
    assert "only ke with split kels has a slim network" in capsys.readouterr().err
