import copy
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import nn

from evaluators.base import Context
from evaluators.features.bank import Bank
from evaluators.features.forward import activations, logits
from evaluators.prediction_depth import EMPIRICAL, PredictionDepth, depths
from trainer.core.data import Dataset, Split, named


@pytest.fixture(scope="module")
def noisy() -> Dataset:
    return named("digits-noisy").load()


def test_depth_is_where_the_probes_start_to_agree_for_good() -> None:
    final = torch.tensor([7, 7, 7, 7, 7])
    votes = torch.tensor(
        [
            [7, 7, 1, 1, 7],
            [7, 1, 1, 1, 7],
            [7, 7, 1, 7, 1],
            [7, 7, 7, 1, 1],
        ]
    )
    assert depths(votes, final).tolist() == [0, 2, 3, 4, 4]


@pytest.mark.parametrize("pool", ["none", "avg"])
def test_a_run_votes_as_brute_force_neighbours_do(network: nn.Module, noisy: Dataset, pool: str) -> None:
    layers = ("layer1", "layer3", "fc")
    spec = PredictionDepth.model_validate({"layers": layers, "pool": pool, "k": 4})
    result = spec.run(network, noisy, noisy)
    outputs: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for split in (noisy.train, noisy.test):
        with activations(network, ["layer1", "layer3"]) as found, torch.no_grad():
            out = network(noisy.floats(split.images_NCHW, torch.float64))
        for layer in ("layer1", "layer3"):
            outputs[layer].append((found[layer].mean((2, 3)) if pool == "avg" else found[layer].flatten(1)).numpy())
        outputs["fc"].append(out.softmax(1).numpy())
    final = logits(network, noisy.test.images_NCHW, noisy).argmax(1).tolist()
    votes = {}
    for layer, (support, query) in outputs.items():
        distances, neighbours = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(support).kneighbors(query)
        votes[layer] = [
            plain_vote(row.tolist(), noisy.train.labels_N[torch.from_numpy(near)].tolist())
            for row, near in zip(distances, neighbours, strict=True)
        ]
    truth = noisy.test.labels_N.tolist()
    expected_depths = []
    for image in range(896):
        depth = 3
        while depth and votes[layers[depth - 1]][image] == final[image]:
            depth -= 1
        expected_depths.append(depth)
    for layer in layers:
        right = sum(vote == label for vote, label in zip(votes[layer], truth, strict=True))
        assert result.scores[f"{layer}/knn_acc"].value == right / 896
    assert result.scores["mean_depth"].value == pytest.approx(sum(expected_depths) / 896)
    counts = [expected_depths.count(depth) for depth in range(4)]
    assert result.curves["depth_histogram"] == counts
    assert result.curves["depth/share"] == [count / 896 for count in counts]
    assert result.curves["depth/examples"] == expected_depths
    assert {score.n for score in result.scores.values()} == {896}
    assert min(counts) > 0
    assert not result.notes


def test_with_lowest_label_a_run_votes_as_scikit_learn_does(network: nn.Module, noisy: Dataset) -> None:
    result = PredictionDepth(layers=("layer1",), k=6, ties="lowest-label").run(network, noisy, noisy)
    points = []
    for split in (noisy.train, noisy.test):
        with activations(network, ["layer1"]) as found, torch.no_grad():
            network(noisy.floats(split.images_NCHW, torch.float64))
        points.append(found["layer1"].flatten(1).numpy())
    reference = KNeighborsClassifier(n_neighbors=6, algorithm="brute").fit(points[0], noisy.train.labels_N.numpy())
    assert result.scores["layer1/knn_acc"].value == reference.score(points[1], noisy.test.labels_N.numpy())
    by_distance = PredictionDepth(layers=("layer1",), k=6).run(network, noisy, noisy)
    assert result.scores["layer1/knn_acc"].value != by_distance.scores["layer1/knn_acc"].value


def plain_vote(distances: list[float], labels: list[int]) -> int:
    near: dict[int, list[float]] = defaultdict(list)
    for distance, label in zip(distances, labels, strict=True):
        near[label].append(distance)
    return min(near, key=lambda label: (-len(near[label]), sum(near[label])))


def many(dataset: Dataset, train: int, test: int) -> Dataset:
    """The test images, repeated, as both splits: more than one piece of either."""

    def first(count: int) -> Split:
        at = torch.arange(count) % len(dataset.test)
        return Split(dataset.test.images_NCHW[at], dataset.test.labels_N[at])

    return replace(dataset, train=first(train), test=first(test))


def test_memory_changes_no_result_but_how_often_training_images_are_seen(network: nn.Module, noisy: Dataset) -> None:
    data, layers = many(noisy, 1200, 1100), ("layer1", "layer4", "fc")
    results, seen = [], []
    for memory_mb in (4096, 1):
        reported: list[tuple[str, int, int]] = []
        context = Context(progress=lambda *each, reported=reported: reported.append(each))
        results.append(PredictionDepth(layers=layers, memory_mb=memory_mb).run(network, data, data, context))
        compared = [(done, total) for what, done, total in reported if "neighbours" in what]
        seen.append(compared.count((1200, 1200)))
        assert compared == [(1024, 1200), (1200, 1200)] * seen[-1]
        assert [(done, total) for what, done, total in reported if "network" in what] == [(1024, 1100), (1100, 1100)]
    assert seen == [1, 2]
    assert results[0] == results[1]


def test_the_bank_changes_no_result_and_is_used_again(network: nn.Module, noisy: Dataset, tmp_path: Path) -> None:
    spec = PredictionDepth(layers=("layer2", "fc"))
    bank = Bank(tmp_path)
    reported: list[str] = []
    context = Context(bank, lambda what, _, __: reported.append(what))
    plain, first = spec.run(network, noisy, noisy), spec.run(network, noisy, noisy, context)
    assert any("network" in what for what in reported)
    reported.clear()
    again = spec.run(network, noisy, noisy, context)
    assert reported
    assert not any("network" in what for what in reported)
    assert plain == first == again


def test_float32_predictions_are_float64_ones_nearly_everywhere(network: nn.Module, noisy: Dataset) -> None:
    spec = PredictionDepth(layers=("layer1", "layer2", "layer3", "layer4", "fc"))
    exact = spec.run(network, noisy, noisy)
    single = spec.run(copy.deepcopy(network).float(), noisy, noisy)
    pairs = zip(single.curves["depth/examples"], exact.curves["depth/examples"], strict=True)
    assert sum(one == other for one, other in pairs) / 896 >= 0.999


def test_a_sure_float32_network_s_softmax_is_told_apart(network: nn.Module, noisy: Dataset) -> None:
    sure = copy.deepcopy(network).float()
    with torch.no_grad():
        sure.get_parameter("fc.weight").mul_(4)
    context = Context()
    support, query = (context.bank.features(sure, noisy, split).double() for split in (noisy.train, noisy.test))
    head = copy.deepcopy(sure.get_submodule("fc")).double()
    support, query = head(support).softmax(1).detach(), head(query).softmax(1).detach()
    assert (query.float().amax(1) == 1).sum() > 20
    hits = 0
    for query_C, label in zip(query, noisy.test.labels_N.tolist(), strict=True):
        distances, near = (support - query_C).square().sum(1).sqrt().sort(stable=True)
        hits += plain_vote(distances[:5].tolist(), noisy.train.labels_N[near[:5]].tolist()) == label
    assert PredictionDepth(layers=("fc",)).run(sure, noisy, noisy).scores["fc/knn_acc"].value == hits / 896


def test_reranked_candidates_find_the_same_and_say_that_they_need_not(network: nn.Module, noisy: Dataset) -> None:
    layers = ("layer1", "layer3", "fc")
    exact, rough = (
        PredictionDepth(layers=layers, search=search).run(network, noisy, noisy) for search in ("exact", "rerank")
    )
    assert rough.notes == (EMPIRICAL,)
    assert rough.scores["fc/knn_acc"] == exact.scores["fc/knn_acc"]
    pairs = zip(rough.curves["depth/examples"], exact.curves["depth/examples"], strict=True)
    assert sum(one == other for one, other in pairs) / 896 >= 0.995


def test_a_layer_the_model_lacks_is_named(network: nn.Module, digits: Dataset) -> None:
    with pytest.raises(ValueError, match="layer 'layer7' is not a layer of this model"):
        PredictionDepth(layers=("layer7",)).run(network, digits, digits)


def test_unresolved_layers_are_our_mistake(network: nn.Module, digits: Dataset) -> None:
    with pytest.raises(AssertionError, match="resolved before a run"):
        PredictionDepth().run(network, digits, digits)


def test_more_neighbours_than_training_images_are_refused(network: nn.Module, noisy: Dataset) -> None:
    with pytest.raises(ValueError, match="k 301 is more than the 300 training images: use a smaller k"):
        PredictionDepth(k=301, layers=("fc",)).run(network, noisy, noisy)


def test_a_last_layer_that_diverged_is_refused(network: nn.Module, noisy: Dataset) -> None:
    broken = copy.deepcopy(network)
    with torch.no_grad():
        broken.get_parameter("fc.weight")[0, 0] = torch.inf
    with pytest.raises(ValueError, match="logits are not all finite"):
        PredictionDepth(layers=("layer1",)).run(broken, noisy, noisy)
