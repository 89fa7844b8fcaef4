import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from evaluators.bank import Bank
from evaluators.few_shot import FewShot, head_scores
from trainer.core.data import Dataset, named


def plain_scores(support_SD: Tensor, query_QD: Tensor, start_DW: Tensor, order_TS: Tensor, spec: FewShot) -> Tensor:
    """One episode's query scores by torch.optim.SGD on a torch.nn.Linear; the last row of `start_DW` is the bias."""
    ways = start_DW.shape[1]
    head = nn.Linear(len(start_DW) - 1, ways).double()
    with torch.no_grad():
        head.weight.copy_(start_DW[:-1].T)
        head.bias.copy_(start_DW[-1])
    labels_S = torch.arange(ways).repeat_interleave(len(support_SD) // ways)
    optimizer = torch.optim.SGD(head.parameters(), spec.lr, spec.momentum, spec.dampening, weight_decay=spec.weight_decay)
    for order_S in order_TS:
        for start in range(0, len(order_S), spec.batch_size):
            rows = order_S[start : start + spec.batch_size]
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(head(support_SD[rows]), labels_S[rows]))
            optimizer.step()
    with torch.no_grad():
        return torch.as_tensor(head(query_QD))


def with_constant(features_ND: Tensor) -> Tensor:
    return torch.cat([features_ND, torch.ones(*features_ND.shape[:-1], 1, dtype=torch.float64)], -1)


@pytest.mark.parametrize(
    ("shots", "settings"),
    [
        (1, {}),  # 5 support images: batches of 4 and 1
        (5, {}),
        (3, {"momentum": 0.5, "dampening": 0.0, "lr": 0.1, "weight_decay": 0.1, "ways": 3, "batch_size": 2}),
        (2, {"momentum": 0.0, "dampening": 0.3, "batch_size": 100}),  # PyTorch then ignores the dampening
    ],
)
def test_heads_are_those_of_torch_sgd(shots: int, settings: dict[str, float]) -> None:
    spec = FewShot.model_validate({"targets": ["any"], **settings})
    random = torch.Generator().manual_seed(shots)
    E, S, D = 3, spec.ways * shots, 12
    support = torch.randn(E, S, D, dtype=torch.float64, generator=random).relu() * 2
    query = torch.randn(E, 15 * spec.ways, D, dtype=torch.float64, generator=random).relu() * 2
    starts, orders = map(torch.stack, zip(*(spec.draw_head(D + 1, "any", shots, e) for e in range(E)), strict=True))
    found = head_scores(with_constant(support), with_constant(query), starts, orders, spec)
    expected = torch.stack([plain_scores(support[e], query[e], starts[e], orders[e], spec) for e in range(E)])
    assert (found - expected).abs().max() < 1e-10
    assert (expected - query @ starts[:, :-1] - starts[:, -1:]).abs().max() > 0.1, "nothing was learned"


@pytest.mark.parametrize("shots", [1, 5])
def test_a_run_is_one_plain_loop_per_episode(network: nn.Module, digits: Dataset, edges: Dataset, shots: int) -> None:
    spec = FewShot(targets=("digits-edges",), shots=(shots,), episodes=4, epochs=20)
    result = spec.run(network, digits, edges)
    both = torch.cat([Bank().features(network, edges, split) for split in (edges.train, edges.test)])
    labels = torch.cat([edges.train.labels_N, edges.test.labels_N])
    by_class = [(labels == label).nonzero().flatten() for label in range(10)]
    accuracies = []
    for episode in range(4):
        support, query = spec.draw(by_class, "digits-edges", shots, episode)
        start, order = spec.draw_head(both.shape[1] + 1, "digits-edges", shots, episode)
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


def test_an_episode_holds_distinct_images_of_its_classes() -> None:
    spec = FewShot(targets=("any",))
    by_class = [torch.arange(30 * label, 30 * label + 30) for label in range(8)]
    support, query = spec.draw(by_class, "any", 5, 0)
    assert len(set(support.tolist()) | set(query.tolist())) == 5 * 20
    classes = (support // 30)[::5]
    assert len(set(classes.tolist())) == 5
    assert torch.equal(support // 30, classes.repeat_interleave(5))
    assert torch.equal(query // 30, classes.repeat_interleave(15))


def test_every_episode_is_different_and_every_image_is_drawn() -> None:
    spec = FewShot(targets=("any",))
    by_class = [torch.arange(30 * label, 30 * label + 30) for label in range(8)]
    drawn = [spec.draw(by_class, "any", 5, index) for index in range(60)]
    assert len({tuple(support.tolist()) for support, _ in drawn}) == 60
    assert len({row for support, _ in drawn for row in support.tolist()}) == 240
    assert not torch.equal(drawn[0][0], spec.draw(by_class, "other", 5, 0)[0])
    assert not torch.equal(drawn[0][0], spec.model_copy(update={"seed": 1}).draw(by_class, "any", 5, 0)[0])


def test_episodes_do_not_depend_on_their_number_or_on_other_shots(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    few = FewShot(targets=("digits-edges",), shots=(2,), episodes=3, epochs=2).run(network, digits, edges)
    many = FewShot(targets=("digits-edges",), shots=(1, 2), episodes=120, epochs=2).run(network, digits, edges)
    assert few.curves["2shot/episodes"] == many.curves["2shot/episodes"][:3]


def test_orders_are_permutations_and_starts_follow_linears_law() -> None:
    start, order = FewShot(targets=("any",), epochs=50).draw_head(401, "any", 5, 0)
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
