from collections import defaultdict
from typing import get_args

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor

from evaluators.knn import BLOCK, CACHE, Nearest, Search, knn_predict

SEARCHES = get_args(Search)


def clusters(count: int, D: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Points like a layer's outputs: around one of 20 centres, with a ReLU after it."""
    centres_CD = torch.randn(20, D, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    random = torch.Generator().manual_seed(seed)
    centre_N = torch.randint(0, 20, (count,), generator=random)
    return (centres_CD[centre_N] + torch.randn(count, D, generator=random, dtype=torch.float64)).relu().to(dtype)


def found(query_QD: Tensor, support_SD: Tensor, k: int, rows: int = 10_000, search: Search = "exact") -> Nearest:
    nearest = Nearest(query_QD, k, search)
    for piece_SD in torch.split(support_SD, rows):
        nearest.add(piece_SD)
    return nearest


def brute_force(query_QD: Tensor, support_SD: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices in float64, one query after another; `sort` is stable, so the lower index goes first."""
    rows = [(support_SD.double() - query_D).square().sum(1).sort(stable=True) for query_D in query_QD.double()]
    return torch.stack([row.values[:k].sqrt() for row in rows]), torch.stack([row.indices[:k] for row in rows])


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


def test_votes_are_a_plain_loop_s() -> None:
    random = torch.Generator().manual_seed(0)
    distances_Qk = torch.randint(1, 4, (500, 6), generator=random).double()
    labels_Qk = torch.randint(0, 4, (500, 6), generator=random)
    expected = []
    for distances, labels in zip(distances_Qk.tolist(), labels_Qk.tolist(), strict=True):
        near: dict[int, list[float]] = defaultdict(list)
        for distance, label in zip(distances, labels, strict=True):
            near[label].append(distance)
        expected.append(min(near, key=lambda label: (-len(near[label]), sum(near[label]), label)))
    assert knn_predict(distances_Qk, labels_Qk, 4).tolist() == expected


def test_with_lowest_label_the_tied_votes_are_a_plain_loop_s() -> None:
    random = torch.Generator().manual_seed(1)
    distances_Qk = torch.randint(1, 4, (500, 6), generator=random).double()
    labels_Qk = torch.randint(0, 4, (500, 6), generator=random)
    expected = [min(set(labels), key=lambda label: (-labels.count(label), label)) for labels in labels_Qk.tolist()]
    found = knn_predict(distances_Qk, labels_Qk, 4, "lowest-label")
    assert found.tolist() == expected
    assert 0.05 < (found != knn_predict(distances_Qk, labels_Qk, 4)).double().mean() < 0.5


@pytest.mark.parametrize("k", [1, 2, 4, 5, 6])
def test_with_lowest_label_the_votes_are_scikit_learn_s(k: int) -> None:
    query, support = clusters(300, 16, 0, torch.float64), clusters(400, 16, 1, torch.float64)
    labels_S = torch.randint(0, 7, (400,), generator=torch.Generator().manual_seed(2))
    reference = KNeighborsClassifier(n_neighbors=k, algorithm="brute").fit(support.numpy(), labels_S.numpy())
    nearest = found(query, support, k)
    votes = knn_predict(nearest.distances_Qk, labels_S[nearest.index_Qk], 7, "lowest-label")
    assert votes.tolist() == reference.predict(query.numpy()).tolist()
    if k > 3:  # the other rule differs here, and by default it is the one that counts
        assert knn_predict(nearest.distances_Qk, labels_S[nearest.index_Qk], 7).tolist() != votes.tolist()


@pytest.mark.parametrize("rows", [1, 3, 64, 700])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_float64_neighbours_and_distances_are_brute_force_s(rows: int, k: int) -> None:
    query, support = clusters(60, 30, 0, torch.float64), clusters(300, 30, 1, torch.float64)
    distances, index = brute_force(query, support, k)
    nearest = found(query, support, k, rows)
    assert torch.equal(nearest.index_Qk, index)
    torch.testing.assert_close(nearest.distances_Qk, distances, rtol=1e-12, atol=0)


@pytest.mark.parametrize("search", SEARCHES)
def test_float32_neighbours_are_scikit_learn_s(search: Search) -> None:
    query, support = clusters(400, 256, 0), clusters(3000, 256, 1)
    reference = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(support.numpy())
    squared, index = (torch.from_numpy(each) for each in reference.kneighbors(query.numpy()))
    distinct = squared[:, 5].square() > squared[:, 4].square() * (1 + 1e-4)
    ours = found(query, support, 5, 1000, search).index_Qk
    assert distinct.double().mean() > 0.9
    assert torch.equal(ours[distinct].sort(1).values, index[distinct, :5].sort(1).values)


def test_float32_distances_are_true_even_far_from_zero() -> None:
    query, support = clusters(50, 64, 0), clusters(200, 64, 1)
    # in steps of 2^-10, which 1000 more leaves as they are
    query, support = ((points * 1024).round() / 1024 for points in (query, support))
    distances, index = brute_force(query, support, 5)
    for offset in (0, 1000):
        nearest = found(query + offset, support + offset, 5, 77)
        torch.testing.assert_close(nearest.distances_Qk, distances, rtol=1e-5, atol=0)
        assert (nearest.index_Qk == index).double().mean() > 0.99


def test_neighbours_that_float32_products_cannot_tell_apart_are_told_apart() -> None:
    # 30 points within 1e-4 of each query, all at distance 100 from the others' centre
    random = torch.Generator().manual_seed(0)
    centres = 100 * torch.nn.functional.normalize(torch.randn(8, 40, generator=random, dtype=torch.float64))
    grid = torch.randint(-8, 9, (8, 30, 40), generator=random).double() / 2**16
    query, support = centres.float(), (centres.float().double()[:, None] + grid).flatten(0, 1)
    support = support.float()[torch.randperm(240, generator=random)]
    _, index = brute_force(query, support, 5)
    product = (support.square().sum(1) - 2 * query @ support.T).topk(5, largest=False).indices
    assert (product.sort(1).values != index.sort(1).values).any()
    assert torch.equal(found(query, support, 5, 100).index_Qk.sort(1).values, index.sort(1).values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [7, 64, 400])
def test_ties_go_to_the_lower_index(dtype: torch.dtype, rows: int) -> None:
    # whole numbers in three dimensions: distances repeat many times, and are exact
    random = torch.Generator().manual_seed(0)
    query = torch.randint(0, 4, (50, 3), generator=random).to(dtype)
    support = torch.randint(0, 4, (400, 3), generator=random).to(dtype)
    support[200:] = support[:200]
    distances, index = brute_force(query, support, 12)
    assert (distances[:, 4] == distances[:, 5]).any()
    assert torch.equal(found(query, support, 12, rows).index_Qk, index)


def test_points_that_are_all_the_same_come_in_their_order() -> None:
    same = torch.full((1000, 50), 0.3)
    nearest = found(same[:20], same, 5, 300)
    assert nearest.index_Qk.tolist() == [[0, 1, 2, 3, 4]] * 20
    assert float(nearest.distances_Qk.max()) == 0


def test_of_two_copies_reranking_too_takes_the_first_first() -> None:
    query, support = clusters(40, 64, 0), clusters(200, 64, 1)
    index = found(query, torch.cat([support, support]), 4, search="rerank").index_Qk
    assert (index[:, 1] == index[:, 0] + 200).all()
    assert (index[:, 3] == index[:, 2] + 200).all()


def test_reranking_finds_neighbours_far_from_zero() -> None:
    query, support = clusters(100, 64, 0) + 1000, clusters(800, 64, 1) + 1000
    _, index = brute_force(query, support, 5)
    assert (found(query, support, 5, 300, "rerank").index_Qk == index).double().mean() > 0.98


def test_the_last_of_many_copies_are_left_out() -> None:
    far, near = torch.zeros(500, 20), torch.ones(1, 20)
    support = torch.cat([far, near, far])
    nearest = found(torch.cat([near + 1, near]), support, 4, 200)
    assert nearest.index_Qk.tolist() == [[500, 0, 1, 2]] * 2


def test_points_ever_nearer_are_all_noticed() -> None:
    support = torch.linspace(10, 1, 500, dtype=torch.float64)[:, None].expand(500, 8).contiguous()
    query = torch.stack([torch.zeros(8, dtype=torch.float64), torch.full((8,), 0.5, dtype=torch.float64)])
    for search in SEARCHES:
        assert found(query, support, 3, 60, search).index_Qk.tolist() == [[499, 498, 497]] * 2


@pytest.mark.parametrize("search", SEARCHES)
def test_fewer_points_than_neighbours_leave_the_rest_infinite(search: Search) -> None:
    nearest = found(clusters(4, 10, 0), clusters(3, 10, 1), 5, 2, search)
    assert (nearest.index_Qk[:, :3].sort(1).values == torch.arange(3)).all()
    assert (nearest.index_Qk[:, 3:] == -1).all()
    assert torch.isinf(nearest.distances_Qk[:, 3:]).all()


@pytest.mark.parametrize("search", SEARCHES)
def test_the_points_given_are_left_as_they_are(search: Search) -> None:
    query, support = clusters(20, 16, 0), clusters(90, 16, 1)
    copies = query.clone(), support.clone()
    found(query, support, 5, 40, search)
    assert torch.equal(query, copies[0])
    assert torch.equal(support, copies[1])


@pytest.mark.parametrize("search", SEARCHES)
def test_more_than_one_block_and_tile_find_the_same(search: Search) -> None:
    query, support = clusters(600, 64, 0), clusters(BLOCK + 900, 64, 1)
    assert len(query) * BLOCK > 8 * CACHE
    assert len(query) * 7 * 64 > CACHE
    whole, pieces = found(query, support, 5, search=search), found(query, support, 5, 700, search)
    assert torch.equal(whole.index_Qk, pieces.index_Qk)
    assert torch.equal(whole.distances_Qk, pieces.distances_Qk)


def test_reranked_distances_are_exact_though_candidates_are_not() -> None:
    query, support = clusters(100, 64, 0), clusters(800, 64, 1)
    rough, exact = (found(query, support, 5, 300, search) for search in ("rerank", "exact"))
    same = rough.index_Qk == exact.index_Qk
    assert same.double().mean() > 0.99
    assert torch.equal(rough.distances_Qk[same], exact.distances_Qk[same])


def test_products_are_full_float32_and_the_setting_is_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    seen: list[bool] = []

    class Recorder(Nearest):
        def _compare(self, support_SD: Tensor) -> None:
            seen.append(torch.backends.cuda.matmul.allow_tf32)
            super()._compare(support_SD)

    torch.set_float32_matmul_precision("high")
    try:
        assert torch.backends.cuda.matmul.allow_tf32
        Recorder(clusters(3, 5, 0), 2).add(clusters(9, 5, 1))
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == [False]
