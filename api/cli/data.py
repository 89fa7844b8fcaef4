"""`relearn data list | prepare | verify`: the data sets on this machine. The commands need no server."""

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

USAGE, DATA_PROBLEM = 2, 3
"""Exit codes for wrong usage, and for data that is missing or damaged."""


def add(commands: Any) -> None:
    """Adds the commands to those of `relearn`."""
    data = commands.add_parser("data", help="list, prepare and verify data sets")
    parts = data.add_subparsers(required=True, metavar="COMMAND")
    listing = parts.add_parser("list", help="list the known data sets and what is prepared here")
    listing.add_argument("--json", action="store_true", help="print the list as JSON")
    listing.set_defaults(command=_list)
    preparing = parts.add_parser("prepare", help="prepare a data set from the files that its authors distribute")
    preparing.add_argument("name", metavar="NAME")
    preparing.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with the archives, or with their unpacked files",
    )
    preparing.add_argument("--size", type=int, metavar="PX", help="choose the recipe of this image size: 64 or 224")
    preparing.add_argument(
        "--recipe",
        help="choose a recipe by name instead: native, train-64, probe-64, probe-224, cdfsl-64, cdfsl-224",
    )
    preparing.add_argument(
        "--on-bad-image",
        choices=["error", "skip", "repair"],
        default="error",
        help="what to do with an image that cannot be decoded (default error)",
    )
    preparing.add_argument(
        "--allow-partial",
        action="store_true",
        help="continue if the number of images is not as expected; results are marked",
    )
    preparing.add_argument(
        "--subset", type=Path, metavar="LIST.csv", help="CD-FSL's list of 80 %% of the images (header img_path)"
    )
    preparing.add_argument("--tree", help="for folder: the name that specs will use (folder:TREE)")
    preparing.add_argument("--threads", type=int, help="threads that decode images")
    preparing.set_defaults(command=reporting_problems(_prepare))
    verify = parts.add_parser("verify", help="read every byte of a prepared data set and compare it with its digests")
    verify.add_argument("name", metavar="NAME", help="a data set, or NAME@RECIPE")
    verify.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="also decode some images again from the original files in DIR",
    )
    verify.set_defaults(command=reporting_problems(_verify))


def reporting_problems(
    command: Callable[[argparse.Namespace, Console], int],
) -> Callable[[argparse.Namespace, Console], int]:
    """Wraps a command so that it prints problems with data or usage to stderr and returns an exit code for them."""

    def wrapped(options: argparse.Namespace, console: Console) -> int:
        from trainer.core.data import DataProblem  # loads torch

        logging.basicConfig(format="%(message)s")
        logging.getLogger("relearn.data").setLevel(logging.INFO)  # reports sizes, and waiting for another process
        try:
            return command(options, console)
        except DataProblem as problem:
            print(problem, file=sys.stderr)
            return DATA_PROBLEM
        except (ValueError, OSError) as error:
            print(error, file=sys.stderr)
            return USAGE

    return wrapped


def _list(options: argparse.Namespace, console: Console) -> int:
    from orchestrator.catalogue import known_datasets
    from trainer.core.data.paper import cache_root

    items = known_datasets(cache_root())
    if options.json:
        print(json.dumps(items, indent=1))
        return 0
    columns = ("data set", "classes", "images", "licence", "source", "prepared")
    table = Table(*columns, box=None)
    for item in items:
        images = " / ".join(f"{n:,} {split}" for split, n in item["splits"].items())
        source = ("sign-in: " if item["login"] else "") + (item["archives"][0]["url"] if item["archives"] else "")
        prepared = ", ".join(f"{each['size']} px" for each in item["prepared"] if "digest" in each)
        ready = prepared or ("built in" if item["ready"] else "no")
        table.add_row(item["name"], str(item["classes"] or ""), images, item["licence"], source, ready)
    console.print(table)
    return 0


def _prepare(options: argparse.Namespace, console: Console) -> int:
    from trainer.core.data import cache, recipes
    from trainer.core.data.paper import cache_root
    from trainer.core.data.prepare import pipeline

    spec = _spec(options.name, options.tree, options.recipe, options.size)
    recipe = recipes.named(spec.chosen_recipe, options.name)
    if options.subset:
        spec = spec.model_copy(update={"subset": hashlib.sha256(options.subset.read_bytes()).hexdigest()[:8]})
    before = _earlier(cache.folder(cache_root(), spec.folder, recipe, spec.subset or ""))
    with _bar(console) as show_progress:
        manifest = pipeline.prepare(
            spec.folder,
            options.source,
            cache_root(),
            recipe,
            on_bad_image=options.on_bad_image,
            allow_partial=options.allow_partial,
            subset=options.subset,
            threads=options.threads,
            progress=show_progress,
        )
    for problem in manifest.problems:
        _print(problem, console)
    counts = ", ".join(f"{split.n:,} {name}" for name, split in manifest.splits.items())
    partial = " (PARTIAL)" if manifest.partial else ""
    digest = manifest.digest()
    if before is None:
        change = ""
    elif before == digest:
        change = ", unchanged"
    else:
        change = f", replaces {before[:12]}"
    _print(f"{spec.text()}: {counts} at {recipe.size} px, digest {digest[:12]}{change}{partial}", console)
    return 0


def _earlier(directory: Path) -> str | None:
    """Returns the digest of what was prepared in `directory` before, or None."""
    from trainer.core.data import DataProblem, cache

    try:
        return cache.digest(directory)
    except DataProblem:
        return None


def _print(text: str, console: Console) -> None:
    """Prints text that may hold names of the user's, which are never markup or emoji codes."""
    console.print(text, highlight=False, markup=False, emoji=False)


def _spec(name: str, tree: str | None, recipe: str | None, size: int | None) -> Any:
    """Returns the data set as a spec names it. Raises ValueError if the options do not name one."""
    from trainer.core import data
    from trainer.core.data.facts import FACTS

    if name not in FACTS:
        raise ValueError(f"{name!r} is not prepared from files; the data sets that are: {', '.join(FACTS)}")
    if (tree is None) == (name == "folder"):
        raise ValueError(
            "folder needs --tree NAME, the name that specs will use" if tree is None else "--tree is only for folder"
        )
    named = name if tree is None else f"{name}:{tree}"
    if size is not None and recipe is None:
        family = "cdfsl" if FACTS[name].cdfsl else "probe"
        native = FACTS[name].native_px == (size, size) and not FACTS[name].cdfsl
        recipe = "native" if native else f"{family}-{size}"
    try:
        return data.named(named if recipe is None else f"{named}@{recipe}")
    except ValueError as error:
        what = f"--size {size}" if size is not None else f"--recipe {recipe}"
        raise ValueError(
            f"{what} is not known for {name}: recipes are native, train-64, probe-64, probe-224, cdfsl-64, cdfsl-224"
        ) from error


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Any], None]]:
    """Yields a function that shows a progress report: as a bar on a terminal, otherwise as a line per 5 %."""
    if not console.is_terminal:
        shown = -1

        def line(now: Any) -> None:
            nonlocal shown
            if (part := now.done * 20 // now.total) != shown:
                shown = part
                console.print(
                    f"{now.split} {now.done:,}/{now.total:,} at {now.rate:,.0f}/s, {now.eta_s:.0f} s left",
                    highlight=False,
                )

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def draw(now: Any) -> None:
            if now.split not in tasks:
                tasks[now.split] = bar.add_task(now.split, total=now.total)
            bar.update(tasks[now.split], completed=now.done)

        yield draw


def _verify(options: argparse.Namespace, console: Console) -> int:
    from trainer.core import data
    from trainer.core.data import cache
    from trainer.core.data.sources import SOURCES

    spec = data.named(options.name)
    if (missing := spec.problem()) is not None:
        print(missing, file=sys.stderr)
        return DATA_PROBLEM
    if not hasattr(spec, "opened"):
        _print(f"{options.name} is built in; its pixels are compared with their digest whenever it is loaded", console)
        return 0
    opened = spec.opened()
    origin = opened.manifest.source
    root = options.source or Path(origin.root)
    read = SOURCES[spec.name](root, None).read if origin.reader and root.exists() else None
    found = cache.verify(opened.directory, root, read)
    again = f"{found.rows} images decoded again are the same" if found.rows else found.note
    _print(f"{spec.label}: {found.files} files, {found.bytes / 1e9:.3f} GB as prepared; {again}", console)
    return 0
