"""Linear+Affines against one plain loop per episode, in float64."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.base import CONTEXT, Context
from evaluators.episodes.affines import BnMode
from evaluators.episodes.ledger import labels_of
from evaluators.few_shot import FewShot, gather
from trainer.core.data import Dataset, Split
from trainer.core.models import DigitsResNet, build


def adapted_scores(
    model: nn.Module,
    dataset: Dataset,
    support: Tensor,
    query: Tensor,
    start_DW: Tensor,
    order_TS: Tensor,
    spec: FewShot,
) -> Tensor:
    """One episode: torch.optim.SGD on a copy of the network with a new head, one minibatch after another."""
    network = copy.deepcopy(model).double().requires_grad_(False)
    head = nn.Linear(len(start_DW) - 1, 5).double()
    with torch.no_grad():
        head.weight.copy_(start_DW[:-1].T)
        head.bias.copy_(start_DW[-1])
    network.set_submodule("fc", head)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    affines = [parameter.requires_grad_() for norm in norms for parameter in norm.parameters()]
    by_head = torch.optim.SGD(head.parameters(), spec.lr, spec.momentum, spec.dampening, weight_decay=spec.weight_decay)
    by_affines = torch.optim.SGD(affines, spec.affine_lr)
    labels_S = torch.arange(5).repeat_interleave(len(support) // 5)
    network.train(spec.bn_mode == "train")
    for order_S in order_TS:
        for rows_B in torch.split(order_S, spec.batch_size):
            loss = functional.cross_entropy(network(dataset.floats(support[rows_B], torch.float64)), labels_S[rows_B])
            for optimizer in (by_head, by_affines):
                optimizer.zero_grad()
            torch.autograd.backward(loss)
            by_head.step()
            by_affines.step()
    network.eval()
    with torch.no_grad():
        return torch.as_tensor(network(dataset.floats(query, torch.float64)))


@pytest.mark.parametrize("bn_mode", ["train", "eval"])
def test_scores_are_those_of_plain_loops_over_100_epochs(
    network: nn.Module, digits: Dataset, edges: Dataset, bn_mode: BnMode
) -> None:
    spec = FewShot(
        targets=("digits-edges",),
        mode="linear+affines",
        shots=(1,),
        episodes=3,
        bn_mode=bn_mode,
    )
    before = copy.deepcopy(network.state_dict())
    ledger = spec._ledger(0, "digits-edges", labels_of(edges))
    (found_EQW,) = spec._affines(network, edges, ledger, CONTEXT)
    starts, orders = spec.draw_heads(32, ledger, range(3))
    for episode in range(3):
        support, query = (gather(edges, rows[episode]) for rows in (ledger.support_ES, ledger.query_EQ))
        expected_QW = adapted_scores(network, edges, support, query, starts[episode], orders[episode], spec)
        assert (found_EQW[episode] - expected_QW).abs().max() < 1e-9
        unchanged_QW = adapted_scores(network, edges, support, query, starts[episode], orders[episode][:0], spec)
        assert (expected_QW - unchanged_QW).abs().max() > 0.1, "nothing was learned"
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_run_says_what_no_source_fixes(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    reported: list[tuple[str, int, int]] = []
    spec = FewShot(
        targets=("digits-edges",),
        mode="linear+affines",
        shots=(2,),
        episodes=12,
        epochs=3,
        queries=2,
    )
    result = spec.run(
        network, digits, edges, Context(progress=lambda what, done, total: reported.append((what, done, total)))
    )
    assert list(result.scores) == ["2shot-affines/acc"]
    assert list(result.digests) == ["2shot-affines"]
    assert result.scores["2shot-affines/acc"].n == len(result.curves["2shot-affines/episodes"]) == 12
    assert result.notes == (
        "reduced run: 12 of the protocol's 600 episodes",
        "gamma and beta adapted with BatchNorm in train mode, lr 0.01: no source fixes either",
    )
    epochs, episodes = "epochs of 2-shot episodes of digits-edges", "2-shot episodes of digits-edges"
    first, last = [(epochs, done, 36) for done in (10, 20, 30)], [(epochs, done, 36) for done in (32, 34, 36)]
    assert reported == [*first, (episodes, 10, 12), *last, (episodes, 12, 12)]
    frozen = spec.model_copy(update={"bn_mode": "eval"}).run(network, digits, edges)
    assert frozen.curves != result.curves


def test_a_diverged_network_is_refused(network: nn.Module, digits: Dataset, edges: Dataset) -> None:
    broken = copy.deepcopy(network)
    broken.get_parameter("conv1.weight").data.fill_(torch.nan)
    spec = FewShot(
        targets=("digits-edges",),
        mode="linear+affines",
        shots=(1,),
        episodes=2,
        epochs=1,
        queries=2,
    )
    with pytest.raises(ValueError, match="1-shot episodes of 'digits-edges' are not all finite"):
        spec.run(broken, digits, edges)


def test_a_minibatch_that_batch_norm_cannot_normalise_is_refused(digits: Dataset, edges: Dataset) -> None:
    small = dataclasses.replace(edges, train=Split(edges.train.images_NCHW[..., :8, :8], edges.train.labels_N))
    model = build(DigitsResNet(name="resnet-digits", width=4), classes=10, seed=0).eval()
    spec = FewShot(
        targets=("digits-edges",),
        mode="linear+affines",
        shots=(1,),
        episodes=2,
        epochs=1,
        queries=2,
    )
    nothing = Split(edges.test.images_NCHW[:0, :, :8, :8], edges.test.labels_N[:0])
    with pytest.raises(ValueError, match=r"minibatch of 1: Expected more than 1 value.*use bn_mode eval"):
        spec.run(model, digits, dataclasses.replace(small, test=nothing))
