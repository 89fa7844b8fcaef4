"""Runs one evaluation and returns its record: scores, curves, and the details needed to interpret them."""

import hashlib
import math
from typing import Any

from torch import nn

from evaluators.base import CONTEXT, Context, Evaluator
from trainer.core.data import AnyData, Dataset
from trainer.core.determinism import fingerprint, pin_precision


def evaluate(
    evaluator: Evaluator, model: nn.Module, source: AnyData, target: AnyData, context: Context = CONTEXT
) -> dict[str, Any]:
    """Evaluates `model`, trained on `source`, on `target`; returns `scores`, `curves` and `details` as JSON.

    A number that is not finite becomes null. `details` holds the evaluator with its version and all settings except the
    targets, both data sets with the digest of their content, the digests of what was drawn, notes for the reader, and
    the execution fingerprint. The images stay on their device; evaluators move batches to the model. float32 is not
    rounded to TF32, because that would change the order of near neighbours.
    """
    pin_precision("fp32")
    trained_on = source.load()
    evaluated_on = trained_on if target == source else target.load()
    result = evaluator.run(model.eval(), trained_on, evaluated_on, context)
    found = result.model_dump(mode="json", include={"scores", "curves"})
    details = {
        "evaluator": evaluator.name,
        "version": evaluator.version,
        "settings": evaluator.model_dump(mode="json", exclude={"name", "targets"}),
        "source": _text(source, trained_on),
        "target": _text(target, evaluated_on),
        "digests": dict(result.digests),
        "notes": list(result.notes),
        "fingerprint": fingerprint(next(model.parameters()).device),
    }
    record: dict[str, Any] = _finite(found | {"details": details})
    return record


def _text(spec: AnyData, dataset: Dataset) -> str:
    """Returns `NAME#DIGEST`.

    Prepared data knows its digest. The digest of the digits covers the pixels and labels of both splits.
    """
    text = spec.resolved().text()
    if "#" in text:
        return text
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.test):
        digest.update(split.digest.encode())
        digest.update(split.labels_N.cpu().contiguous().numpy().data)
    return f"{text}#{digest.hexdigest()}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
