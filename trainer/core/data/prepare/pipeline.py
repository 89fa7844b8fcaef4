"""Prepares a data set: turns the tree that its authors distribute into a cache.

The tree is checked first. The cache is written to a temporary folder and appears atomically.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePosixPath

from trainer.core.data import cache, filesystem
from trainer.core.data.errors import DataProblem
from trainer.core.data.facts import FACTS, Facts
from trainer.core.data.images import OnBadImage
from trainer.core.data.manifest import MANIFEST, FoundArchive, Manifest, Source, SplitRecord, warnings_of
from trainer.core.data.prepare import archives
from trainer.core.data.prepare.completeness import complaints
from trainer.core.data.prepare.content import content_sha256
from trainer.core.data.prepare.progress import Meter, Report
from trainer.core.data.prepare.writer import Writer, threads_for
from trainer.core.data.recipes import Recipe, canonical
from trainer.core.data.sources import SOURCES
from trainer.core.data.sources.listing import Listing
from trainer.core.disk import DISK, Disk

log = logging.getLogger("relearn.data")


def prepare(
    name: str,
    source: Path,
    cache_root: Path,
    recipe: Recipe,
    *,
    on_bad_image: OnBadImage = "error",
    allow_partial: bool = False,
    subset: Path | None = None,
    threads: int | None = None,
    progress: Report | None = None,
    listing: Listing | None = None,
    facts: Facts | None = None,
    lock_timeout_s: float = 3600,
    disk: Disk = DISK,
    clock: Callable[[], float] = time.time,
) -> Manifest:
    """Makes the cache of `name` by `recipe` from `source`, unless it exists already, and returns its manifest.

    `name` is the name of a source, optionally with a slash and a suffix that distinguishes trees of the same source.
    `listing` and `facts` replace what the source lists and what is known about the data set. Raises DataProblem, and
    then nothing was made or replaced.
    """
    kind = name.partition("/")[0]
    facts = facts or FACTS.get(kind)
    found: tuple[FoundArchive, ...] = ()
    if listing is None:
        listing, found = _listed(kind, source, subset, facts, lock_timeout_s)
    expected = None if subset else facts  # a subset has fewer images on purpose
    problems = complaints(name, listing, expected, allow_partial)
    listing = replace(listing, splits={split: rows for split, rows in listing.splits.items() if rows.items})
    licence = f"{facts.licence}; the user supplied the data" if facts else "unknown; the user supplied the data"
    plan = _Plan(
        name,
        listing,
        recipe,
        _origin(listing, on_bad_image, found),
        expected,
        licence,
        problems,
        subset,
    )
    directory = plan.directory(cache_root)
    lock = directory.with_name(f".{directory.name}.lock")
    if (same := plan.prepared(directory)) is not None:  # before locking, because a finished cache may be read-only
        filesystem.tidy(directory, lock, disk)
        return same
    with filesystem.writing(cache_root, plan.bytes):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with filesystem.locked(lock, f"{name} as {directory.name}", lock_timeout_s):
            filesystem.remove_stale(directory, disk)
            if (same := plan.prepared(directory)) is not None:
                return same
            filesystem.require(directory.parent, plan.bytes)
            aside = filesystem.aside(directory)
            try:
                aside.mkdir()
                manifest = plan.write(aside, threads or threads_for(plan.listing), progress, disk, clock)
                disk.write(aside / MANIFEST, manifest.payload())
                disk.sync(aside)
                filesystem.replace(aside, directory, disk)
            finally:
                disk.remove(aside)
    return manifest


@dataclass(frozen=True)
class _Plan:
    """Everything that is known before the first image is decoded."""

    name: str
    listing: Listing
    recipe: Recipe
    origin: Source
    expected: Facts | None
    licence: str
    problems: tuple[str, ...]
    subset: Path | None

    @property
    def bytes(self) -> int:
        """The size of the finished cache without its manifest."""
        items = [item for rows in self.listing.splits.values() for item in rows.items]
        names = sum(len(item.encode("utf-8", "surrogateescape")) + 1 for item in items)
        return len(items) * (3 * self.recipe.size**2 + 8) + names + 256 * len(self.listing.splits)

    def directory(self, cache_root: Path) -> Path:
        variant = hashlib.sha256(self.subset.read_bytes()).hexdigest()[:8] if self.subset else ""
        return cache.folder(cache_root, self.name, self.recipe, variant)

    def prepared(self, directory: Path) -> Manifest | None:
        """Returns the manifest of `directory`, or None unless it is a cache of the same listing and the same content.

        If there were damaged images, they must also have been treated the same way.
        """
        if not (directory / MANIFEST).exists():
            return None
        try:
            manifest = cache.open_cache(directory).manifest
        except DataProblem as problem:
            log.warning("%s; preparing it again now", problem)
            return None
        there, here = manifest.source, self.origin
        same = (there.listing_sha256, there.content_sha256) == (here.listing_sha256, here.content_sha256)
        bad = any(record.skipped or record.repaired for record in manifest.splits.values())
        alike = not bad or manifest.source.on_bad_image == self.origin.on_bad_image
        return manifest if same and alike else None

    def write(
        self, aside: Path, threads: int, progress: Report | None, disk: Disk, clock: Callable[[], float]
    ) -> Manifest:
        """Writes all files of the cache but the manifest into `aside`, and returns the manifest."""
        totals = {split: len(rows.items) for split, rows in self.listing.splits.items()}
        gigabytes = (self.bytes / 1e9, filesystem.free_bytes(aside) / 1e9)
        log.info("%s: %d images, %.3f GB to write of %.1f GB free", self.name, sum(totals.values()), *gigabytes)
        meter = Meter(
            self.name,
            totals,
            3 * self.recipe.size**2,
            progress,
            clock,
        )
        records: dict[str, SplitRecord] = {}
        bad: tuple[str, ...] = ()
        with ThreadPoolExecutor(threads, "decode") as pool:
            writer = Writer(
                aside,
                self.listing,
                self.recipe,
                self.origin.on_bad_image,
                pool,
                disk,
                meter.advance,
            )
            for split in totals:
                expected = self.expected.splits.get(split) if self.expected else None
                records[split], of_split = writer.write(split, expected)
                bad += of_split
        return Manifest(
            dataset=self.name,
            variant=self.subset.name if self.subset else "",
            recipe=self.recipe,
            recipe8=self.recipe.key,
            source=self.origin,
            classes=self.listing.classes,
            class_ids=self.listing.class_ids,
            splits=records,
            partial=bool(self.problems) or any(record.skipped for record in records.values()),
            problems=(*self.problems, *self.listing.notes, *warnings_of(records), *bad),
            created=datetime.fromtimestamp(clock(), UTC).isoformat(timespec="seconds"),
            tool_version=_version(),
            licence=self.licence,
        )


def _listed(
    name: str, source: Path, subset: Path | None, facts: Facts | None, timeout_s: float
) -> tuple[Listing, tuple[FoundArchive, ...]]:
    """Returns the listing of `source`, whose archives are unpacked first if necessary, and those archives."""
    if name not in SOURCES:
        raise ValueError(f"dataset must be one of {', '.join(sorted(SOURCES))}, got {name!r}")
    try:
        return SOURCES[name](source, subset), tuple(archives.recorded(source))
    except DataProblem as problem:
        if problem.code not in ("E_LAYOUT", "E_ARCHIVE") or facts is None or not archives.present(source, facts):
            raise
    root, found = archives.unpack_all(source, facts, timeout_s=timeout_s)
    return SOURCES[name](root, subset), tuple(found)


def _origin(listing: Listing, on_bad_image: OnBadImage, found: tuple[FoundArchive, ...]) -> Source:
    """Returns the origin of the pixels for the manifest.

    Raises DataProblem E_LABEL for an item that contains a line break or lies outside the root.
    """
    for rows in listing.splits.values():
        for item in rows.items:
            if "\n" in item or (listing.read is None and (item.startswith("/") or ".." in PurePosixPath(item).parts)):
                raise DataProblem(
                    "E_LABEL", f"the item {item!r} is no path below {listing.root}; correct the label file"
                )
    content = [
        listing.classes,
        listing.class_ids,
        {name: [rows.items, rows.labels] for name, rows in listing.splits.items()},
    ]
    return Source(
        root=str(listing.root.absolute()),
        layout=listing.layout,
        listing_sha256=hashlib.sha256(canonical(content).encode("utf-8", "surrogateescape")).hexdigest(),
        on_bad_image=on_bad_image,
        reader=listing.read is not None,
        archives=found,
        label_files={os.path.relpath(path, listing.root): cache.sha256_of(path) for path in listing.label_files},
        content_sha256=content_sha256(listing),
    )


def _version() -> str:
    try:
        return metadata.version("relearn")
    except metadata.PackageNotFoundError:
        return "unknown"
