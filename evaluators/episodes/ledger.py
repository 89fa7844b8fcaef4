"""Ledgers of few-shot episodes, which name the support and query images (CD-FSL, Guo et al. 2020; protocols 7.2).

An image is named by its row in the target's training images followed by its test images.
Legend: E episodes, S = ways * shots support images, Q = ways * queries query images, both class after class.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from trainer.core.data import Dataset
from trainer.core.data.paper import cache_root
from trainer.core.seeding import generator

FORMAT = 1


@dataclass(frozen=True)
class Facts:
    """The settings of a ledger's episodes.

    `labels_sha256` is the digest of the target's labels row by row, which all recipes of a data set share.
    """

    target: str
    labels_sha256: str
    ways: int
    shots: int
    queries: int
    seed: int | None


@dataclass(frozen=True)
class Ledger:
    """The episodes: int64 row numbers of support images `[E, S]` and query images `[E, Q]`."""

    facts: Facts
    support_ES: Tensor
    query_EQ: Tensor

    @cached_property
    def digest(self) -> str:
        """The sha256 of the labels' digest, ways, shots, queries and rows. It is equal exactly for the same tasks."""
        facts = self.facts
        head = f"{facts.labels_sha256} {facts.ways} {facts.shots} {facts.queries} {len(self.support_ES)}\n"
        found = hashlib.sha256(head.encode())
        for rows in (self.support_ES, self.query_EQ):
            found.update(rows.contiguous().numpy().astype("<i8").data)
        return found.hexdigest()

    def check(self, labels_N: Tensor) -> None:
        """Raises ValueError unless these are valid episodes on images with the labels `[N]`."""
        facts = self.facts
        if facts.labels_sha256 != labels_digest(labels_N):
            raise ValueError(
                f"the ledger {self.digest[:12]} of {facts.target!r} was drawn on other images: import its own"
            )
        widths = (self.support_ES.shape[1:], self.query_EQ.shape[1:])
        if (
            widths != ((facts.ways * facts.shots,), (facts.ways * facts.queries,))
            or not len(self.support_ES) == len(self.query_EQ) > 0
        ):
            raise ValueError(
                f"the ledger {self.digest[:12]} has episodes of other sizes than its ways, shots and queries say"
            )
        rows_ER = torch.cat([self.support_ES, self.query_EQ], 1).sort(1).values
        if rows_ER.min() < 0 or rows_ER.max() >= len(labels_N):
            raise ValueError(
                f"the ledger {self.digest[:12]} names images beyond the {len(labels_N)} of {facts.target!r}"
            )
        support_EWK = labels_N[self.support_ES].view(-1, facts.ways, facts.shots)
        query_EWQ = labels_N[self.query_EQ].view(-1, facts.ways, facts.queries)
        classes_EW = support_EWK[..., 0]
        one_class = bool((support_EWK == classes_EW[..., None]).all() and (query_EWQ == classes_EW[..., None]).all())
        if not one_class or bool((classes_EW.sort(1).values.diff() == 0).any()) or bool((rows_ER.diff() == 0).any()):
            raise ValueError(f"the ledger {self.digest[:12]} has an episode that repeats an image or mixes classes")


def draw(target: str, labels_N: Tensor, ways: int, shots: int, queries: int, episodes: int, seed: int) -> Ledger:
    """Draws episodes: classes without replacement, then distinct images of each class.

    Episode i depends only on (seed, target, shots, i). Every class must have `shots + queries` images.
    """
    by_class = [(labels_N == label).nonzero().flatten() for label in range(int(labels_N.max()) + 1)]
    support, query = [], []
    for index in range(episodes):
        random = generator(seed, "episode", target, shots, index)
        for label in torch.randperm(len(by_class), generator=random)[:ways].tolist():
            rows = by_class[label][torch.randperm(len(by_class[label]), generator=random)]
            support.append(rows[:shots])
            query.append(rows[shots : shots + queries])
    facts = Facts(
        target,
        labels_digest(labels_N),
        ways,
        shots,
        queries,
        seed,
    )
    return Ledger(facts, torch.cat(support).view(episodes, -1), torch.cat(query).view(episodes, -1))


def labels_of(target: Dataset) -> Tensor:
    """Returns the labels `[N]` of the training images followed by the test images, on the CPU."""
    return torch.cat([target.train.labels_N, target.test.labels_N]).cpu()


def labels_digest(labels_N: Tensor) -> str:
    """Returns the sha256 of the labels as little-endian int64."""
    return hashlib.sha256(labels_N.cpu().contiguous().numpy().astype("<i8").data).hexdigest()


def folder() -> Path:
    """Returns the folder of imported ledgers. It is beside the prepared data, which all nodes of a cluster can read."""
    return cache_root() / "episodes"


def write(ledger: Ledger, path: Path) -> None:
    """Writes the ledger as one JSON object: format, facts, digest, and the support and query rows of each episode."""
    episodes = [
        {"support": s, "query": q} for s, q in zip(ledger.support_ES.tolist(), ledger.query_EQ.tolist(), strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(
        json.dumps({"format": FORMAT, **asdict(ledger.facts), "sha256": ledger.digest, "episodes": episodes})
    )
    aside.replace(path)


def read(path: Path) -> Ledger:
    """Reads a ledger. Raises ValueError for a file that is not a ledger or does not match its digest."""
    try:
        raw = json.loads(path.read_bytes())
        rows = [
            torch.tensor([each[part] for each in raw["episodes"]], dtype=torch.int64) for part in ("support", "query")
        ]
        ledger = Ledger(Facts(*(raw[name] for name in Facts.__dataclass_fields__)), *rows)
        format_, digest = raw["format"], raw["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a ledger of episodes ({error!r}): export one with `relearn episodes export`"
        ) from error
    if format_ != FORMAT:
        raise ValueError(f"{path} has format {format_}; this version reads {FORMAT}")
    if ledger.digest != digest:
        raise ValueError(f"{path} says sha256 {digest[:12]} but its episodes have {ledger.digest[:12]}: fetch it again")
    return ledger


def imported(digest: str) -> Ledger:
    """Returns a ledger that `relearn episodes import` put into `folder()`.

    Raises ValueError if it is missing or damaged.
    """
    path = folder() / f"{digest}.json"
    if not path.exists():
        raise ValueError(f"no ledger {digest[:12]} is imported: relearn episodes import FILE")
    return read(path)
