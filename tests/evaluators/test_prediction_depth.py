from collections import defaultdict

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from evaluators.features import activations, logits
from evaluators.prediction_depth import PredictionDepth, depths, knn_predict, squared_distances
from trainer.core.data import Dataset, named


def test_the_majority_wins_however_far_it_is() -> None:
    distances = torch.tensor([[0.1, 0.2, 5.0, 6.0, 7.0]])
    assert knn_predict(distances, torch.tensor([[0, 0, 2, 2, 2]]), 3).tolist() == [2]


def test_a_tie_goes_to_the_smaller_summed_distance() -> None:
    distances = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    labels = torch.tensor([[3, 1, 1, 3, 0], [1, 3, 3, 1, 0]])
    # 1 has 2 + 3 = 5 and 3 has 1 + 4 = 5 in both; moving the last neighbour of one breaks the tie
    distances[0, 3], distances[1, 3] = 4.5, 4.5
    assert knn_predict(distances, labels, 4).tolist() == [1, 3]


def test_a_tie_of_distances_goes_to_the_lower_class() -> None:
    assert knn_predict(torch.tensor([[1.0, 1.0]]), torch.tensor([[4, 2]]), 5).tolist() == [2]


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


def test_distances_survive_a_large_offset() -> None:
    random = torch.Generator().manual_seed(0)
    query, support = torch.randn(20, 64, generator=random), torch.randn(30, 64, generator=random)
    exact = (query.double()[:, None] - support.double()).square().sum(-1)
    shifted = squared_distances(query + 1000, support + 1000)
    # adding 1000 itself rounds to 3e-5 per coordinate
    torch.testing.assert_close(shifted.double(), exact, rtol=0, atol=5e-2)
    torch.testing.assert_close(squared_distances(query, support).double(), exact, rtol=1e-5, atol=0)
    assert float(squared_distances(query, query).diagonal().min()) >= 0


@pytest.mark.parametrize("pool", ["none", "avg"])
def test_a_run_votes_as_brute_force_neighbours_do(network: nn.Module, pool: str) -> None:
    noisy = named("digits-noisy").load()
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
    assert result.curves["depth_histogram"] == [expected_depths.count(depth) for depth in range(4)]
    assert {score.n for score in result.scores.values()} == {896}
    assert min(result.curves["depth_histogram"]) > 0


def plain_vote(distances: list[float], labels: list[int]) -> int:
    near: dict[int, list[float]] = defaultdict(list)
    for distance, label in zip(distances, labels, strict=True):
        near[label].append(distance)
    return min(near, key=lambda label: (-len(near[label]), sum(near[label])))


def test_chunks_do_not_change_the_result(network: nn.Module) -> None:
    noisy = named("digits-noisy").load()
    layers = ("layer2", "layer4", "fc")
    whole = PredictionDepth(layers=layers, query_chunk=10_000, support_chunk=10_000).run(network, noisy, noisy)
    # the first chunk of support images is smaller than k
    pieces = PredictionDepth(layers=layers, query_chunk=301, support_chunk=3).run(network, noisy, noisy)
    assert whole == pieces


def test_a_layer_the_model_lacks_is_named(network: nn.Module, digits: Dataset) -> None:
    with pytest.raises(ValueError, match="layer 'layer7' is not a layer of this model"):
        PredictionDepth(layers=("layer7",)).run(network, digits, digits)


def test_unresolved_layers_are_our_mistake(network: nn.Module, digits: Dataset) -> None:
    with pytest.raises(AssertionError, match="resolved before a run"):
        PredictionDepth().run(network, digits, digits)


def test_more_neighbours_than_training_images_are_refused(network: nn.Module) -> None:
    noisy = named("digits-noisy").load()
    with pytest.raises(ValueError, match="k 301 is more than the 300 training images: use a smaller k"):
        PredictionDepth(k=301, layers=("fc",)).run(network, noisy, noisy)
