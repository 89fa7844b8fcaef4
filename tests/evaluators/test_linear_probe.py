from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from evaluators.base import Context
from evaluators.features.bank import Bank
from evaluators.linear_probe import LinearProbe, hits, train_heads
from trainer.core.data import Dataset, Split, named
from trainer.core.seeding import generator


def plain_heads(x_ND: Tensor, labels_N: Tensor, start_CD: Tensor, orders: list[Tensor], lr: float) -> list[nn.Linear]:
    """The head after each epoch of torch.optim.SGD at one learning rate; the last column of `start_CD` is the bias."""
    head = nn.Linear(start_CD.shape[1] - 1, len(start_CD)).double()
    with torch.no_grad():
        head.weight.copy_(start_CD[:, :-1])
        head.bias.copy_(start_CD[:, -1])
    optimizer = torch.optim.SGD(head.parameters(), lr, momentum=0.9, weight_decay=1e-4)
    after = []
    for order in orders:
        for rows in torch.split(order, 8):
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(head(x_ND[rows]), labels_N[rows]))
            optimizer.step()
        copy = nn.Linear(start_CD.shape[1] - 1, len(start_CD)).double()
        copy.load_state_dict(head.state_dict())
        after.append(copy.requires_grad_(False))
    return after


def test_heads_are_those_of_three_runs_of_torch_sgd() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(50, 16, dtype=torch.float64, generator=random).relu()
    labels = torch.randint(0, 7, (50,), generator=random)
    start = torch.randn(7, 17, dtype=torch.float64, generator=random) / 4
    orders = [torch.randperm(50, generator=random) for _ in range(30)]
    spec = LinearProbe(targets=("any",), batch_size=8)
    with_constant = torch.cat([x, torch.ones(50, 1, dtype=torch.float64)], 1)
    found = [heads.clone() for heads in train_heads(with_constant, labels, start, orders, spec)]
    worst = 0.0
    for run, lr in enumerate((0.1, 0.01, 0.001)):
        for heads, plain in zip(found, plain_heads(x, labels, start, orders, lr), strict=True):
            expected = torch.cat([plain.weight, plain.bias[:, None]], 1)
            worst = max(worst, float((heads[run] - expected).abs().max()))
            assert int(hits(heads, with_constant, labels)[run]) == int((plain(x).argmax(1) == labels).sum())
    assert worst < 1e-12
    assert (found[-1][0] - start).abs().max() > 0.1, "nothing was learned"


def test_a_batch_of_all_images_is_gradient_descent_with_momentum() -> None:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(9, 4, dtype=torch.float64, generator=random)
    labels = torch.arange(9) % 3
    start = torch.randn(3, 4, dtype=torch.float64, generator=random)
    spec = LinearProbe(
        targets=("any",),
        learning_rates=(0.5, 0.2),
        batch_size=100,
        momentum=0.6,
        weight_decay=0.03,
    )
    orders = [torch.randperm(9, generator=random) for _ in range(3)]
    found = [heads.clone() for heads in train_heads(x, labels, start, orders, spec)]
    for run, lr in enumerate((0.5, 0.2)):
        heads, velocity = start, torch.zeros_like(start)
        for of_epoch in found:
            slope = ((x @ heads.T).softmax(1) - functional.one_hot(labels)) / 9
            velocity = 0.6 * velocity + slope.T @ x + 0.03 * heads
            heads = heads - lr * velocity
            assert (of_epoch[run] - heads).abs().max() < 1e-14


def test_float32_features_train_float32_heads() -> None:
    x, labels = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4
    [heads] = train_heads(x, labels, torch.zeros(4, 5), [torch.arange(20)], LinearProbe(targets=("any",)))
    assert heads.dtype == torch.float32


def test_hits_of_each_head_over_several_blocks() -> None:
    random = torch.Generator().manual_seed(2)
    heads, x = torch.randn(2, 5, 3, generator=random), torch.randn(600, 3, generator=random)
    labels = torch.randint(0, 5, (600,), generator=random)
    expected = [0, 0]
    for row, label in zip(x.tolist(), labels.tolist(), strict=True):
        for head in range(2):
            scores = [sum(w * v for w, v in zip(weights, row, strict=True)) for weights in heads[head].tolist()]
            expected[head] += scores.index(max(scores)) == label
    assert hits(heads, x, labels).tolist() == expected
    assert expected[0] != expected[1]


def test_a_run_is_plain_sgd_and_its_heldout_score_is_selected_without_the_test_set(
    network: nn.Module, digits: Dataset, edges: Dataset
) -> None:
    rates = (0.01, 1.0, 0.1)
    spec = LinearProbe(
        targets=("digits-edges",),
        learning_rates=rates,
        epochs=6,
        batch_size=8,
        train_per_class=7,
        seed=3,
    )
    result = spec.run(network, digits, edges)

    train, test = (Bank().features(network, edges, split) for split in (edges.train, edges.test))
    labels, test_labels = edges.train.labels_N, edges.test.labels_N
    whole, held = [], []
    for label in range(10):
        rows = (labels == label).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=generator(3, "probe", "digits-edges", "subset", label))][:7]
        whole.append(rows)
        order = torch.randperm(7, generator=generator(3, "probe", "digits-edges", "heldout", label))
        held.append(rows[order][:1])  # a fifth of seven, rounded
    whole_rows, held_rows = torch.cat(whole), torch.cat(held)
    kept_rows = torch.tensor([row for row in whole_rows.tolist() if row not in set(held_rows.tolist())])
    size = train.shape[1]
    start = torch.empty(10, size + 1, dtype=torch.float64)
    start.uniform_(-(size**-0.5), size**-0.5, generator=generator(3, "probe", "digits-edges", "init"))

    def hits(part: str, rows: Tensor, x: Tensor, y: Tensor) -> list[list[int]]:
        draws = [generator(3, "probe", "digits-edges", part, epoch) for epoch in range(6)]
        orders = [torch.randperm(len(rows), generator=draw) for draw in draws]
        heads = [plain_heads(train[rows], labels[rows], start, orders, lr) for lr in rates]
        return [[int((head(x).argmax(1) == y).sum()) for head in of_rate] for of_rate in heads]

    on_test = hits("whole", whole_rows, test, test_labels)
    on_held = hits("kept", kept_rows, train[held_rows], labels[held_rows])
    honest = hits("kept", kept_rows, test, test_labels)
    best = max((count, -rate, -epoch) for rate, row in enumerate(on_held) for epoch, count in enumerate(row))
    chosen = honest[-best[1]][-best[2]]
    assert chosen < max(map(max, honest)), "choosing by the test images would not show"
    first_best = [tested[row.index(max(row))] for tested, row in zip(honest, on_held, strict=True)]
    assert chosen < min(first_best[0], first_best[2]), "choosing another learning rate would not show"
    assert result.scores["acc"].value == max(map(max, on_test)) / 896
    assert result.scores["acc_heldout"].value == chosen / 896
    for name, row, held_row in zip(("lr0.01", "lr1.0", "lr0.1"), on_test, on_held, strict=True):
        assert result.scores[f"{name}/last"].value == row[-1] / 896
        assert result.scores[f"{name}/best"].value == max(row) / 896
        assert result.curves[f"{name}/test"] == [count / 896 for count in row]
        assert result.curves[f"{name}/heldout"] == [count / 10 for count in held_row]
    assert {score.n for score in result.scores.values()} == {896}
    assert result.scores["acc"].value > 0.3, "chance is 0.1"


def test_the_test_labels_do_not_reach_the_heldout_choice(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    spec = LinearProbe(targets=("digits-edges",), epochs=3)
    shuffled = replace(edges, test=Split(edges.test.images_NCHW, edges.test.labels_N.flip(0)))
    first, second = spec.run(network, digits, edges), spec.run(network, digits, shuffled)
    for lr in ("lr0.1", "lr0.01", "lr0.001"):
        assert first.curves[f"{lr}/heldout"] == second.curves[f"{lr}/heldout"]
        assert first.curves[f"{lr}/test"] != second.curves[f"{lr}/test"]


def test_problems_name_the_value_and_the_remedy() -> None:
    spec = LinearProbe(targets=("digits-edges",), train_per_class=88)
    message = (
        "train_per_class 88 is more than the 87 training images of the smallest class of 'digits-edges': use fewer"
    )
    assert spec.problems(named("digits-edges")) == [("train_per_class", message)]
    assert LinearProbe(targets=("digits-edges",), train_per_class=87).problems(named("digits-edges")) == []


def test_a_class_with_too_few_images_is_named(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    message = "train_per_class is 90 but class '0' of 'digits-edges' has 89 training images: use at most that many"
    with pytest.raises(ValueError, match=message):
        LinearProbe(targets=("digits-edges",), train_per_class=90).run(network, digits, edges)


def test_a_set_without_two_images_of_a_class_cannot_be_held_out(
    network: nn.Module, digits: Dataset, edges: Dataset
) -> None:
    firsts = torch.tensor([int((edges.train.labels_N == label).nonzero()[0]) for label in range(10)])
    train = Split(edges.train.images_NCHW[firsts], edges.train.labels_N[firsts])
    single = Dataset(
        edges.name,
        edges.classes,
        train,
        edges.test,
        edges.mean,
        edges.std,
    )
    with pytest.raises(ValueError, match="no class of 'digits-edges' has two training images"):
        LinearProbe(targets=("digits-edges",), epochs=1).run(network, digits, single)


def test_a_learning_rate_is_listed_once() -> None:
    with pytest.raises(ValidationError, match=r"0\.1 is listed twice: keep it once"):
        LinearProbe(targets=("any",), learning_rates=(0.1, 0.1))


def test_what_the_test_images_selected_is_flagged(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    spec = LinearProbe(targets=("digits-edges",), learning_rates=(0.1, 0.01), epochs=2)
    result = spec.run(network, digits, small(edges))
    flag = "acc is the best of 2 learning rates x 2 epochs on the test images (test-selected)"
    assert result.notes == (f"{flag}; acc_heldout is chosen on training images",)


def test_features_in_bf16_are_asked_for_and_flagged(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    asked: list[str] = []

    class Asked(Bank):
        def features(self, *arguments: Any, **options: Any) -> Tensor:
            asked.append(arguments[3] if len(arguments) > 3 else options["precision"])
            return super().features(*arguments, **options)

    exact = LinearProbe(targets=("digits-edges",), epochs=1)
    assert len(exact.run(network, digits, small(edges), Context(bank=Asked())).notes) == 1
    result = exact.model_copy(update={"features": "bf16"}).run(network, digits, small(edges), Context(bank=Asked()))
    assert asked == ["exact", "exact", "bf16", "bf16"]
    assert (
        result.notes[1] == "features were computed in bfloat16, which is NOT equivalent to the network's own precision"
    )
    with pytest.raises(ValidationError, match="'exact' or 'bf16'"):
        LinearProbe.model_validate({"targets": ("any",), "features": "fp16"})


def test_progress_counts_the_epochs_of_both_runs(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    reported: list[tuple[str, int, int]] = []
    context = Context(progress=lambda what, done, total: reported.append((what, done, total)))
    LinearProbe(targets=("digits-edges",), epochs=2).run(network, digits, small(edges), context)
    heads = [each for each in reported if each[0].startswith("linear probe")]
    assert heads == [("linear probe of digits-edges", done, 4) for done in (1, 2, 3, 4)]


def small(data: Dataset) -> Dataset:
    """The first 40 images of each split."""
    few = [Split(split.images_NCHW[:40], split.labels_N[:40]) for split in (data.train, data.test)]
    return replace(data, train=few[0], test=few[1])
