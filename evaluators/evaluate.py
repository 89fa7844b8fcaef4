"""One judgement as the service and the command line keep it: scores and curves, and what a reader must know of them."""

import hashlib
import math
from typing import Any

from torch import nn

from evaluators.base import CONTEXT, Context, Evaluator
from trainer.core.data import AnyData, Dataset
from trainer.core.determinism import fingerprint, pin_precision


def judge(
    evaluator: Evaluator, model: nn.Module, source: AnyData, target: AnyData, context: Context = CONTEXT
) -> dict[str, Any]:
    """`scores`, `curves` and `details` as JSON; a number that is not finite is null.

    `details` name the evaluator with its version and all its settings but the targets, both data sets with the digest of
    their content, what was drawn, what to know before trusting a score, and the machine. The images stay where they are:
    evaluators move batches to the model. float32 is not rounded to TF32, which would decide between near neighbours.
    """
    pin_precision("fp32")
    trained_on = source.load()
    judged_on = trained_on if target == source else target.load()
    result = evaluator.run(model.eval(), trained_on, judged_on, context)
    found = result.model_dump(mode="json", include={"scores", "curves"})
    details = {
        "evaluator": evaluator.name,
        "version": evaluator.version,
        "settings": evaluator.model_dump(mode="json", exclude={"name", "targets"}),
        "source": _text(source, trained_on),
        "target": _text(target, judged_on),
        "digests": dict(result.digests),
        "notes": list(result.notes),
        "fingerprint": fingerprint(next(model.parameters()).device),
    }
    record: dict[str, Any] = _finite(found | {"details": details})
    return record


def _text(spec: AnyData, dataset: Dataset) -> str:
    """`NAME#DIGEST`. Prepared data knows its digest; that of the digits is of the pixels and labels of both splits."""
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
