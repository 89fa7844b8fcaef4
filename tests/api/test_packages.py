"""What another package's evaluator and method declare counts in checks, plans, quotes, reports and tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.packages import answer, offer, process

EVALUATOR = """
from typing import ClassVar, Literal
from pydantic import Field
from evaluators.base import Caveat, EvalResult, Evaluator, ModelProblem, Score
from evaluators.metrics import Metric

class Latency(Evaluator):
    '''How long the network takes.'''
    reads_source: ClassVar[bool] = False
    needs_test_split: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("batch1/accuracy_cost", "time of a forward pass", unit="ms", better="lower", headline=True),
        Metric("spread", "standard deviation of the times", unit="ms"),
    )
    name: Literal["latency"] = "latency"
    until: str | None = Field(None, description="the last layer that runs; null: the network's last stage")

    def for_model(self, model):
        return self if self.until else self.model_copy(update={"until": model.stage_points()[-1]})

    def model_problems(self, model):
        known = model.stage_points()
        missing = [] if self.until in (None, *known) else [f"{model.name} has no stage {self.until!r}"]
        return [ModelProblem("until", message, known[-1]) for message in missing]

    def caveats(self):
        return [Caveat("NOISY", "times depend on what else the machine does")]

    def run(self, model, source, target, context=None):
        return EvalResult(scores={"batch1/accuracy_cost": Score(value=1.0, n=1)})
"""

METHOD = """
from typing import Literal
import torch
from trainer.methods.base import Method

class Compass(Method):
    '''Remembers where every weight was at the end of the generation before, and is drawn back to it.'''
    name: Literal["compass"] = "compass"

    def loss(self, state, images_BCHW, labels_B, cross_entropy):
        return super().loss(state, images_BCHW, labels_B, cross_entropy)

    def taught(self, generation):
        return generation > 0

    def stored_bytes(self, generation, network):
        return network.parameters + network.mask if generation > 0 else 0

    def cut(self):
        return "layer4"

    def slim_share(self):
        return 0.5
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages installed."""
    site = tmp_path_factory.mktemp("site")
    offer(site, "stopwatch", EVALUATOR, "latency = stopwatch:Latency", group="relearn.evaluators")
    offer(site, "compass", METHOD, "compass = compass:Compass")
    return site


COMMON = """
import json
import sys
from pathlib import Path
from orchestrator import intake, plan as planning, report, results
from orchestrator.problems import InvalidSpec
from orchestrator.store import Store
from tests.orchestrator.builders import node, planned, small, submitted

store = Store(f"sqlite:///{sys.argv[1]}/relearn.db")
raw = small(seeds=[0, 1, 2], evaluations=[{"evaluator": {"name": "latency"}, "on": ["last"]}])
"""

REPORTED = f"""{COMMON}
from api.cli.tables import results_table
from rich.console import Console
from tests.orchestrator.report.builders import evaluated

identity, plan = submitted(store, raw), planned(raw)
for arm, times in (("normal", (5.0, 5.5, 6.0)), ("seal", (2.0, 2.4, 3.1))):
    for seed, time in enumerate(times):
        scores = {{"batch1/accuracy_cost": time, "spread": 0.5}}
        evaluated(store, identity, node(plan, arm, 1, "evaluation", seed), scores)
experiment = store.experiment(identity)
(table,) = report.build(store, [experiment]).tables
rows = list(results.result_rows(store, experiment))
lines = []
for everything in (False, True):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(results_table(rows, everything))
    lines.append([line.split() for line in capture.get().splitlines() if "ms" in line or "latency" in line])
shown = {{row["metric"]: [row["unit"], row["better"], row["headline"]] for row in rows}}
cells = [[cell.row, cell.unit, cell.value, cell.best] for (cell,) in table.cells]
print(json.dumps([list(table.columns), cells, shown, lines]))
"""


def test_its_scores_are_shown_as_it_declares_them(site: Path, tmp_path: Path) -> None:
    """Lower is better, times are no shares, and a name that says accuracy is not guessed from."""
    columns, cells, shown, (headlines, everything) = answer(site, REPORTED, str(tmp_path))
    assert columns == ["batch1/accuracy_cost (ms)"]
    assert cells == [["normal", "plain", 5.5, False], ["seal", "plain", 2.5, True]]
    assert shown == {"batch1/accuracy_cost": ["ms", "lower", True], "spread": ["ms", None, False]}
    heading = ["latency", "digits-noisy", "(n", "=", "100)"]
    first = ["batch1/accuracy_cost", "ms", "5.50", "±", "0.50", "2.50", "±", "0.56"]
    assert headlines == [heading, first]
    assert everything == [heading, first, ["spread", "ms", "0.5000", "±", "0.0000", "0.5000", "±", "0.0000"]]


CHECKED = f"""{COMMON}
def problems(raw):
    try:
        intake.read_spec(raw, store)
    except InvalidSpec as error:
        return [problem.as_json() for problem in error.problems]
    return []

def searched(**objective):
    search = {{"arm": "seal", "space": {{"ascent_scale": {{"log_uniform": [0.001, 0.1]}}}}, "trials": 2, "keep": 1}}
    objective = {{"evaluator": {{"name": "latency"}}, "metric": "batch1/accuracy_cost", "mode": "min"}} | objective
    train = {{"generations": 3, "epochs": 3, "batch_size": 16}}
    return small(train=train, search=search | {{"objective": objective}}, evaluations=[])

wrong = small(evaluations=[{{"evaluator": {{"name": "latency", "until": "layer9"}}}}])
specs = [searched(), searched(mode="max"), searched(metric="sprad"), wrong]
print(json.dumps([problems(spec) for spec in specs]))
"""


def test_what_contradicts_its_declarations_is_refused(site: Path, tmp_path: Path) -> None:
    right, mode, metric, model = answer(site, CHECKED, str(tmp_path))
    assert right == []
    assert [(each["pointer"], each["message"]) for each in mode] == [
        ("/search/objective/mode", "a lower batch1/accuracy_cost is better: use mode min")
    ]
    assert metric == [
        {
            "pointer": "/search/objective/metric",
            "code": "UNKNOWN_VALUE",
            "message": "'sprad' is not a score of latency; it has batch1/accuracy_cost, spread",
            "suggestion": "spread",
        }
    ]
    assert model == [
        {
            "pointer": "/evaluations/0/evaluator/until",
            "code": "UNKNOWN_VALUE",
            "message": "resnet-digits has no stage 'layer9'",
            "suggestion": "layer4",
        }
    ]


PLANNED = f"""{COMMON}
from orchestrator.estimate.advice import spec_advice
from orchestrator.estimate.workload import Workload

spec = intake.read_spec(raw, store)
plan = planning.plan(spec)
evaluation = node(plan, "seal", 1, "evaluation")
written = intake.read_spec(raw | {{"evaluations": [{{"evaluator": {{"name": "latency", "until": "layer4"}}}}]}}, store)
advice = [each.as_json() for each in spec_advice(spec)]
trained_on = Workload(spec).evaluation_kind(evaluation).trained_on
print(json.dumps([evaluation.evaluator, evaluation.key in planning.plan(written).nodes, advice, trained_on]))
"""


def test_its_plan_and_quote_follow_its_declarations(site: Path, tmp_path: Path) -> None:
    evaluator, same_key, advice, trained_on = answer(site, PLANNED, str(tmp_path))
    assert evaluator == {"name": "latency", "until": "layer4"}
    assert same_key, "what is filled in is in the key as if it had been written"
    noisy = {"code": "NOISY", "pointer": "/evaluations/0", "message": "times depend on what else the machine does"}
    assert noisy in advice
    assert trained_on == "", "it does not read what the network was trained on"


GONE = f"""{COMMON}
import evaluators

print(json.dumps(evaluators.about("latency", "batch1/accuracy_cost").as_json()))
"""


def test_without_its_package_a_score_is_guessed_by_its_name(tmp_path: Path) -> None:
    assert answer(tmp_path, GONE, str(tmp_path)) == {"unit": "", "better": None, "headline": True, "n_of": ""}


# --- a method ---

COSTED = """
import json
from orchestrator import plan as planning
from orchestrator.estimate.disk import Storage
from orchestrator.estimate.workload import Workload
from orchestrator.intake.check import check
from tests.orchestrator.builders import node, small

def sizes(method):
    train = {"generations": 3, "epochs": 3, "batch_size": 16}
    spec = check(small(arms=[{"name": "arm", "method": {"name": method}}], train=train, evaluations=[]))
    plan, workload = planning.plan(spec), Workload(spec)
    storage, nodes = Storage(spec, workload), [node(plan, "arm", generation) for generation in range(3)]
    kinds = [workload.step_kind("arm", generation).family for generation in range(3)]
    return kinds, [storage.committed(each) for each in nodes], [storage.unfinished(each) for each in nodes]

network = check(small()).model.build(10)
parameters = 4 * sum(each.numel() for each in network.parameters())
buffers = sum(each.numel() * each.element_size() for each in network.buffers())
mask = sum(each.numel() for each in network.parameters() if each.ndim > 1)
print(json.dumps([sizes("normal"), sizes("compass"), parameters, buffers, mask]))
"""


def test_what_a_method_declares_of_its_cost_is_in_the_quote(site: Path) -> None:
    (_, committed, unfinished), (kinds, own, open_), parameters, buffers, mask = answer(site, COSTED)
    assert kinds == ["ordinary", "taught", "taught"]
    memory = [0, parameters + mask, parameters + mask]
    assert own == [each + more for each, more in zip(committed, memory, strict=True)]
    teacher = [0, parameters + buffers, parameters + buffers]
    assert open_ == [each + more + of for each, more, of in zip(unfinished, memory, teacher, strict=True)]


TRAINED = """
import json
import sys
from pathlib import Path
import torch
from trainer import loop, spec
from trainer.monitors import weight_norms
from trainer.run import run

one = spec.parse(Path(sys.argv[1], "compass.json").read_text())
list(run(one, torch.device("cpu"), Path(sys.argv[1], "out")))
state = loop.start(one, 10, torch.device("cpu"))
parameters = dict(state.model.named_parameters())
found = []
for generation, late in ((0, ("layer3", "layer4", "fc")), (1, ("layer4", "fc"))):
    state.generation = generation
    squares = sum(float(p.double().square().sum()) for name, p in parameters.items() if name.startswith(late))
    found.append([weight_norms(one, state)["norm/late"], squares ** 0.5])
print(json.dumps(found))
"""


def test_its_cut_and_its_slim_network_are_used(site: Path, tmp_path: Path) -> None:
    raw: dict[str, Any] = {
        "data": {"name": "digits-noisy", "train_per_class": 4},
        "model": {"name": "resnet-digits", "width": 4},
        "train": {"generations": 2, "epochs": 1, "batch_size": 20},
        "method": {"name": "compass"},
        "seed": 0,
    }
    (tmp_path / "compass.json").write_text(json.dumps(raw))
    for found, expected in answer(
        site, TRAINED, str(tmp_path)
    ):  # the generation that methods share is cut at the middle
        assert found == pytest.approx(expected)
    paths = ["--spec", f"{tmp_path}/compass.json", "--checkpoint", f"{tmp_path}/out/g0001", "--out", f"{tmp_path}/s.pt"]
    done = process(site, "-m", "trainer", "slim", *paths)
    assert done.returncode == 0, done.stderr
    parameters = json.loads(done.stdout)["parameters"]
    assert 0 < parameters["slim"] < parameters["dense"] / 3
