"""`relearn episodes export | import | list | compare`: the episodes on which few-shot scores are measured.

The commands need no server.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from api.cli.data import reporting_problems


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    episodes = commands.add_parser("episodes", help="export, import and list few-shot episodes; compare scores on them")
    parts = episodes.add_subparsers(required=True, metavar="COMMAND")
    export = parts.add_parser("export", help="write the episodes that a seed draws to a file")
    export.add_argument("target", help="a data set, or NAME@RECIPE")
    export.add_argument("--shots", type=int, required=True, help="support images per class")
    export.add_argument("--ways", type=int, default=5, help="classes per episode (default 5)")
    export.add_argument("--queries", type=int, default=15, help="query images per class (default 15)")
    export.add_argument("--episodes", type=int, default=600, help="number of episodes (default 600)")
    export.add_argument("--seed", type=int, default=0, help="seed of the draw (default 0)")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    export.set_defaults(command=reporting_problems(_export))
    take = parts.add_parser("import", help="import files of episodes for every worker; specs name them by digest")
    take.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    take.set_defaults(command=reporting_problems(_import))
    parts.add_parser("list", help="list the imported episodes").set_defaults(command=reporting_problems(_list))
    compare = parts.add_parser("compare", help="print the second accuracy minus the first, paired by episode")
    compare.add_argument("first", type=Path, help="a file with the output of `python -m evaluators few-shot`")
    compare.add_argument("second", type=Path, help="another such file, on the same episodes")
    compare.set_defaults(command=reporting_problems(_compare))


def _export(options: argparse.Namespace, console: Console) -> int:
    from evaluators.episodes.ledger import draw, labels_of, write
    from evaluators.few_shot import FewShot
    from trainer.core import data
    from trainer.core.mistakes import validated

    spec = data.named(options.target)
    if missing := spec.problem():
        raise ValueError(missing)
    named = ("ways", "queries", "episodes", "seed")
    settings = {name: getattr(options, name) for name in named} | {
        "shots": [options.shots],
        "targets": [options.target],
    }
    if problems := validated(FewShot, settings).problems(spec):
        raise ValueError("; ".join(f"{field}: {message}" for field, message in problems))
    target = spec.load()
    shape = options.ways, options.shots, options.queries, options.episodes
    ledger = draw(target.name, labels_of(target), *shape, options.seed)
    write(ledger, options.out)
    console.print(
        f"{options.out}: {len(ledger.support_ES)} episodes, sha256 {ledger.digest}", highlight=False, soft_wrap=True
    )
    return 0


def _import(options: argparse.Namespace, console: Console) -> int:
    from evaluators.episodes.ledger import folder, read, write

    for file in options.files:
        ledger = read(file)
        write(ledger, folder() / f"{ledger.digest}.json")
        console.print(f'"ledgers": ["{ledger.digest}"]', highlight=False, soft_wrap=True)
    return 0


def _list(options: argparse.Namespace, console: Console) -> int:
    from evaluators.episodes.ledger import folder, read

    columns = ("target", "ways", "shots", "queries", "episodes", "seed", "sha256")
    table = Table(*columns, box=None)
    for file in sorted(folder().glob("*.json")):
        ledger = read(file)
        facts = ledger.facts
        numbers = facts.ways, facts.shots, facts.queries, len(ledger.support_ES), facts.seed
        table.add_row(facts.target, *(str(number) for number in numbers), ledger.digest)
    console.print(table, soft_wrap=True)
    return 0


def _compare(options: argparse.Namespace, console: Console) -> int:
    from orchestrator.report import statistics  # the rule by which the report marks the best of two paired scores

    records = [json.loads(path.read_text()) for path in (options.first, options.second)]
    digests = [record.get("details", {}).get("digests", {}) for record in records]
    paired = [name for name in digests[0] if digests[0][name] == digests[1].get(name)]
    if not paired:
        raise ValueError(
            f"{options.first} and {options.second} were not scored on the same episodes: use the same ledgers for both"
        )
    for name in paired:
        first, second = (record["curves"][f"{name}/episodes"] for record in records)
        if len(first) != len(second):
            raise ValueError(
                f"{name}: {options.first} has {len(first)} episodes and {options.second} {len(second)}, under one "
                "digest: evaluate both again"
            )
        gain = statistics.difference(second, first).scaled(100)
        between = (
            ", a single episode has no interval"
            if gain.low is None or gain.high is None
            else f", 95 % interval {gain.low:+.2f} to {gain.high:+.2f}"
        )
        found = f"{name}: {gain.value:+.2f} points, paired over n = {gain.n} episodes{between}"
        console.print(found, highlight=False, markup=False, emoji=False)
    return 0
