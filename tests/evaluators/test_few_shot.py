import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from evaluators.episodes import heads, heads_numba
from evaluators.episodes.ledger import draw, labels_of
from evaluators.features.bank import Bank
from evaluators.few_shot import FewShot
from trainer.core.data import Dataset, named


def plain_scores(support_SD: Tensor, query_QD: Tensor, start_DW: Tensor, order_TS: Tensor, spec: FewShot) -> Tensor:
    """One episode's query scores by torch.optim.SGD on a torch.nn.Linear; the last row of `start_DW` is the bias."""
    head = plain_head(start_DW)
    labels_S = torch.arange(start_DW.shape[1]).repeat_interleave(len(support_SD) // start_DW.shape[1])
    optimizer = torch.optim.SGD(
        head.parameters(), spec.lr, spec.momentum, spec.dampening, weight_decay=spec.weight_decay
    )
    for order_S in order_TS:
        for start in range(0, len(order_S), spec.batch_size):
            rows = order_S[start : start + spec.batch_size]
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(head(support_SD[rows]), labels_S[rows]))
            optimizer.step()
    with torch.no_grad():
        return torch.as_tensor(head(query_QD))


def plain_head(start_DW: Tensor) -> nn.Linear:
    head = nn.Linear(len(start_DW) - 1, start_DW.shape[1]).double()
    with torch.no_grad():
        head.weight.copy_(start_DW[:-1].T)
        head.bias.copy_(start_DW[-1])
    return head


PROTOCOLS = pytest.mark.parametrize(
    ("shots", "settings"),
    [
        (1, {}),  # 5 support images: batches of 4 and 1
        (5, {}),
        (3, {"momentum": 0.5, "dampening": 0.0, "lr": 0.1, "weight_decay": 0.1, "ways": 3, "batch_size": 2}),
        (2, {"momentum": 0.0, "dampening": 0.3, "batch_size": 100}),  # PyTorch then ignores the dampening
    ],
)


@PROTOCOLS
def test_heads_are_those_of_torch_sgd(shots: int, settings: dict[str, float]) -> None:
    spec = FewShot.model_validate({"targets": ["any"], **settings})
    random = torch.Generator().manual_seed(shots)
    E, S, Q, D = 3, spec.ways * shots, 15 * spec.ways, 12
    features_ND = torch.randn(E * (S + Q), D, dtype=torch.float64, generator=random).relu() * 2
    support_ES, query_EQ = torch.arange(E * S).view(E, S), E * S + torch.arange(E * Q).view(E, Q)
    starts, orders = map(torch.stack, zip(*(spec.draw_head(D, "any", shots, e) for e in range(E)), strict=True))
    found = heads.query_scores(features_ND, support_ES, query_EQ, starts, orders, spec)
    support, query = features_ND[support_ES], features_ND[query_EQ]
    expected = torch.stack([plain_scores(support[e], query[e], starts[e], orders[e], spec) for e in range(E)])
    assert (found - expected).abs().max() < 1e-10
    assert (expected - query @ starts[:, :-1] - starts[:, -1:]).abs().max() > 0.1, "nothing was learned"


@PROTOCOLS
def test_the_recurrence_is_the_same_compiled_or_not(shots: int, settings: dict[str, float]) -> None:
    spec = FewShot.model_validate({"targets": ["any"], **settings})
    random = torch.Generator().manual_seed(shots)
    features_ESD = torch.randn(3, spec.ways * shots, 12, dtype=torch.float64, generator=random)
    orders_ETS = torch.stack([spec.draw_head(12, "any", shots, e)[1] for e in range(3)])
    start_ESW = torch.randn(3, spec.ways * shots, spec.ways, dtype=torch.float64, generator=random)
    inputs = features_ESD @ features_ESD.mT, start_ESW, orders_ETS, spec
    assert heads_numba.train_compiled is not None, "numba is a dependency"
    (expected_A, expected_c), (A, c) = heads.train(*inputs), heads_numba.train_compiled(*inputs)
    assert (A - expected_A).abs().max() < 1e-13
    assert c == pytest.approx(expected_c, rel=1e-13)
    assert c < 1


@pytest.mark.parametrize("shots", [1, 5])
def test_a_run_is_one_plain_loop_per_episode(network: nn.Module, digits: Dataset, edges: Dataset, shots: int) -> None:
    spec = FewShot(targets=("digits-edges",), shots=(shots,), episodes=4, epochs=20)
    result = spec.run(network, digits, edges)
    both = torch.cat([Bank().features(network, edges, split) for split in (edges.train, edges.test)])
    labels = labels_of(edges)
    ledger = draw("digits-edges", labels, 5, shots, 15, 4, seed=0)
    assert result.digests == {f"{shots}shot": ledger.digest}
    assert result.notes == ("reduced run: 4 of the protocol's 600 episodes",)
    accuracies = []
    for episode in range(4):
        support, query = ledger.support_ES[episode], ledger.query_EQ[episode]
        start, order = spec.draw_head(both.shape[1], "digits-edges", shots, episode)
        predicted = plain_scores(both[support], both[query], start, order, spec).argmax(1)
        truth = labels[query]
        ways = [int(label) for label in labels[support][::shots]]
        accuracies.append(sum(ways[p] == t for p, t in zip(predicted.tolist(), truth.tolist(), strict=True)) / 75)
    assert result.curves[f"{shots}shot/episodes"] == pytest.approx(accuracies, abs=1e-15)
    score, spread = result.scores[f"{shots}shot/acc"], torch.tensor(accuracies, dtype=torch.float64).std()
    assert score.value == pytest.approx(sum(accuracies) / 4)
    assert score.n == 4
    assert score.low == pytest.approx(score.value - 1.96 * float(spread) / 2)
    assert score.value > 0.3, "chance is 0.2"


def test_episodes_do_not_depend_on_their_number_or_on_other_shots(
    network: nn.Module, digits: Dataset, edges: Dataset
) -> None:
    few = FewShot(targets=("digits-edges",), shots=(2,), episodes=3, epochs=2).run(network, digits, edges)
    many = FewShot(targets=("digits-edges",), shots=(1, 2), episodes=120, epochs=2).run(network, digits, edges)
    assert few.curves["2shot/episodes"] == many.curves["2shot/episodes"][:3]


def test_orders_are_permutations_and_starts_follow_linears_law() -> None:
    start, order = FewShot(targets=("any",), epochs=50).draw_head(400, "any", 5, 0)
    assert torch.equal(order.sort(1).values, torch.arange(25).expand(50, 25))
    assert len({tuple(row) for row in order.tolist()}) == 50
    assert start.shape == (401, 5)
    assert 0.049 < start.abs().max() < 0.05
    assert abs(float(start.mean())) < 0.003


def test_problems_name_the_value_and_the_remedy() -> None:
    spec = FewShot(targets=("digits-0-4",), ways=6, shots=(1, 160), queries=20)
    assert spec.problems(named("digits-0-4")) == [
        ("ways", "6 ways need 6 classes; 'digits-0-4' has 5: use fewer"),
        (
            "shots/1",
            "160-shot with 20 queries needs 180 images per class; the smallest class of 'digits-0-4' has 177: "
            "use fewer shots or queries",
        ),
    ]
    assert FewShot(targets=("digits-0-4",), shots=(162,)).problems(named("digits-0-4")) == []


def test_a_run_refuses_what_problems_would(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    with pytest.raises(ValueError, match="200-shot with 15 queries needs 215 images"):
        FewShot(targets=("digits-edges",), shots=(200,)).run(network, digits, edges)


def test_a_number_of_shots_is_listed_once() -> None:
    with pytest.raises(ValidationError, match="1 is listed twice: keep it once"):
        FewShot(targets=("any",), shots=(1, 5, 1))
