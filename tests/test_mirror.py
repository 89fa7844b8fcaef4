"""Every module has tests.

Those of `trainer/loop.py` are in `tests/trainer/test_loop.py`, unless ELSEWHERE names another file.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("api", "orchestrator", "evaluators", "trainer")
ELSEWHERE = {
    "api/cli/capsules.py": "api/routes/test_gc_and_capsules.py",
    "api/cli/experiments.py": "api/cli/test_main.py",
    "api/cli/gc.py": "api/routes/test_gc_and_capsules.py",
    "api/cli/up.py": "e2e",
    "api/deps.py": "api/test_app.py",
    "api/posted.py": "api/routes/test_experiments.py",
    "api/problems.py": "api/test_app.py",
    "api/settings.py": "api/test_auth.py",
    "api/routes/capsules.py": "api/routes/test_gc_and_capsules.py",
    "api/routes/gc.py": "api/routes/test_gc_and_capsules.py",
    "evaluators/base.py": "evaluators/test_specs.py",
    "evaluators/episodes/heads.py": "evaluators/test_few_shot.py",
    "evaluators/episodes/heads_numba.py": "evaluators/test_few_shot.py",
    "evaluators/episodes/sgd.py": "evaluators/test_few_shot.py",
    "evaluators/weights.py": "evaluators/test_main.py",
    "orchestrator/checkpoints/finished.py": "orchestrator/checkpoints/test_folders.py",
    "orchestrator/cluster/jobs.py": "e2e",
    "orchestrator/cluster/payloads.py": "orchestrator/cluster/test_mailbox.py",
    "orchestrator/cluster/search.py": "e2e/test_search.py",
    "orchestrator/cluster/train_worker.py": "orchestrator/cluster/test_train.py",
    "orchestrator/driver/__main__.py": "orchestrator/driver/test_driver.py",
    "orchestrator/driver/attempt.py": "orchestrator/driver/test_driver.py",
    "orchestrator/driver/committer.py": "e2e",
    "orchestrator/driver/evaluate.py": "e2e",
    "orchestrator/driver/heartbeat.py": "e2e",
    "orchestrator/driver/payloads.py": "orchestrator/driver/test_driver.py",
    "orchestrator/driver/reports.py": "orchestrator/driver/test_driver.py",
    "orchestrator/driver/search.py": "e2e/test_search.py",
    "orchestrator/driver/train.py": "orchestrator/driver/test_driver.py",
    "orchestrator/estimate/epochs.py": "orchestrator/presets/test_epochs.py",
    "orchestrator/estimate/workload.py": "orchestrator/estimate/test_hours.py",
    "orchestrator/intake/partial.py": "orchestrator/intake/test_salvage.py",
    "orchestrator/intake/rules/generations.py": "orchestrator/intake/rules/test_evaluations.py",
    "orchestrator/intake/rules/search.py": "orchestrator/intake/test_search.py",
    "orchestrator/plan/capacity.py": "orchestrator/estimate/test_makespan.py",
    "orchestrator/plan/missing.py": "orchestrator/checkpoints/test_retention.py",
    "orchestrator/plan/rungs.py": "orchestrator/plan/test_search.py",
    "orchestrator/problems.py": "orchestrator/intake/test_errors.py",
    "orchestrator/report/figures/": "orchestrator/report/test_figures.py",
    "orchestrator/report/formats/": "orchestrator/report/test_formats.py",
    "orchestrator/report/lines.py": "orchestrator/report/test_figures.py",
    "orchestrator/report/model.py": "orchestrator/report/test_formats.py",
    "orchestrator/report/notes.py": "orchestrator/report/test_build.py",
    "orchestrator/report/provenance.py": "orchestrator/report/test_build.py",
    "orchestrator/report/source.py": "orchestrator/report/test_layouts.py",
    "orchestrator/results/stored.py": "orchestrator/results/test_rows.py",
    "orchestrator/spec/": "orchestrator/intake/test_check.py",
    "orchestrator/store/database.py": "orchestrator/store/test_migrations.py",
    "orchestrator/store/durations.py": "orchestrator/estimate/test_history.py",
    "orchestrator/store/holdings.py": "orchestrator/checkpoints/test_gc.py",
    "orchestrator/store/records.py": "orchestrator/store/test_nodes.py",
    "orchestrator/store/schema.py": "orchestrator/store/test_migrations.py",
    "orchestrator/supervisor.py": "orchestrator/supervisor",
    "orchestrator/tracking/mlflow.py": "e2e",
    "orchestrator/versions.py": "orchestrator/results/test_capsule.py",
    "trainer/batches.py": "trainer/core/test_distributed.py",
    "trainer/conformance/digests.py": "trainer/conformance/test_checks.py",
    "trainer/core/command_line.py": "trainer/test_main_mistakes.py",
    "trainer/core/data/dataset.py": "trainer/core/test_core.py",
    "trainer/core/data/digits.py": "trainer/core/test_core.py",
    "trainer/core/data/errors.py": "trainer/core/data/prepare/test_problems.py",
    "trainer/core/data/filesystem.py": "trainer/core/data/prepare/test_problems.py",
    "trainer/core/data/manifest.py": "trainer/core/data/test_cache.py",
    "trainer/core/data/node_copy.py": "trainer/core/data/test_cache.py",
    "trainer/core/data/prepare/": "trainer/core/data/prepare/test_pipeline.py",
    "trainer/core/data/sources/": "trainer/core/data/sources/test_layouts.py",
    "trainer/core/determinism.py": "trainer/core/test_checkpoint.py",
    "trainer/core/disk.py": "trainer/test_failpoints.py",
    "trainer/core/distillation.py": "trainer/test_reference_loop.py",
    "trainer/core/init.py": "trainer/core/test_models.py",
    "trainer/core/json_text.py": "trainer/test_main_mistakes.py",
    "trainer/core/layers.py": "trainer/core/test_models.py",
    "trainer/core/mistakes.py": "orchestrator/intake/test_errors.py",
    "trainer/core/models/": "trainer/core/test_models.py",
    "trainer/core/reinit.py": "trainer/core/test_models.py",
    "trainer/core/schedule.py": "trainer/core/test_core.py",
    "trainer/core/seeding.py": "trainer/core/test_core.py",
    "trainer/core/state_dicts.py": "trainer/test_replay_inputs.py",
    "trainer/core/state.py": "trainer/core/test_checkpoint.py",
    "trainer/methods/base.py": "trainer/conformance/test_declarations.py",
    "trainer/methods/born_again.py": "trainer/methods/test_students.py",
    "trainer/methods/normal.py": "trainer/methods/test_identities.py",
    "trainer/methods/self_distillation.py": "trainer/methods/test_students.py",
    "trainer/methods/tolerant_teacher.py": "trainer/methods/test_students.py",
    "trainer/run.py": "trainer/test_failpoints.py",
}
"""By module, or by folder where its modules are tested together: the file or folder below tests/ that covers it."""


def modules() -> list[str]:
    """Returns every module but the names of packages and the migrations, which are tested as one."""
    found = (path.relative_to(ROOT) for source in SOURCES for path in (ROOT / source).rglob("*.py"))
    return sorted(str(path) for path in found if path.name != "__init__.py" and "migrations" not in path.parts)


@pytest.mark.parametrize("module", modules())
def test_every_module_has_tests_that_can_be_found(module: str) -> None:
    folder, _, name = module.rpartition("/")
    mirrored = ROOT / "tests" / folder / f"test_{name.replace('__main__', 'main')}"
    named = [tests for place, tests in ELSEWHERE.items() if module == place or module.startswith(f"{place}")]
    assert mirrored.exists() or named, (
        f"{module} has no {mirrored.relative_to(ROOT)}: write it, or name its tests in ELSEWHERE"
    )


@pytest.mark.parametrize(("place", "tests"), ELSEWHERE.items())
def test_elsewhere_names_what_exists_and_needs_to_be_named(place: str, tests: str) -> None:
    assert (ROOT / place).exists()
    assert (ROOT / "tests" / tests).exists()
    mirrored = ROOT / "tests" / Path(place).parent / f"test_{Path(place).name}"
    assert place.endswith("/") or not mirrored.exists()
