"""The catalogue of data sets: what is known of each, and what is prepared on this installation."""

from pathlib import Path
from typing import Any

from trainer.core import data
from trainer.core.data.prepared.facts import FACTS
from trainer.core.data.prepared.manifest import MANIFEST, read_manifest
from trainer.core.data.prepared.problem import DataProblem


def known_datasets(cache_root: Path) -> list[dict[str, Any]]:
    """One entry per name that a spec may use; `prepared` lists the caches of it, whole or not."""
    return [_built_in(name) for name in data.names() if name not in FACTS] + [_paper(name, cache_root) for name in FACTS]


def _built_in(name: str) -> dict[str, Any]:
    spec = data.named(name)
    splits = {"train": sum(spec.train_sizes()), "test": spec.test_size()}
    return {
        "name": name,
        "classes": len(spec.class_names()),
        "splits": splits,
        "use": "built in: real handwritten digits",
        "licence": "CC BY 4.0 (Alpaydin and Kaynak, UCI)",
        "login": False,
        "archives": [],
        "prepared": [],
        "ready": True,
    }


def _paper(name: str, cache_root: Path) -> dict[str, Any]:
    facts = FACTS[name]
    prepared = [_cache(manifest.parent) for manifest in sorted((cache_root / name).glob(f"**/{MANIFEST}"))]
    return {
        "name": name,
        "classes": facts.classes,
        "splits": dict(facts.splits),
        "use": facts.paper_use,
        "licence": facts.licence,
        "login": facts.login,
        "archives": [{"name": archive.name, "url": archive.url, "bytes": archive.bytes} for archive in facts.archives],
        "prepared": prepared,
        "ready": any("digest" in each for each in prepared),
    }


def _cache(directory: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(directory)
    except DataProblem as problem:
        return {"path": str(directory), "problem": str(problem)}
    return {
        "path": str(directory),
        "dataset": manifest.dataset,
        "size": manifest.recipe.size,
        "recipe8": manifest.recipe8,
        "subset": manifest.variant,
        "digest": manifest.digest(),
        "splits": {name: split.n for name, split in manifest.splits.items()},
        "bytes": sum(split.images_bytes + split.labels_bytes + split.items_bytes for split in manifest.splits.values()),
        "partial": manifest.partial,
        "problems": list(manifest.problems),
    }
