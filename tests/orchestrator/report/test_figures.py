import math
import xml.etree.ElementTree as ET

import pytest

from orchestrator import report
from orchestrator.report.formats import svg
from orchestrator.report.lines import MOST_LINES, MOST_POINTS, MOST_STARTS, common, cut, limits_of, thinned
from orchestrator.report.model import Figure, Panel, Series
from orchestrator.store import Store
from tests.orchestrator.builders import node, planned, small, submitted
from tests.orchestrator.report.builders import FEW, evaluated, realistic, row, scored, trained

PLAN = planned(small())
SVG = "{http://www.w3.org/2000/svg}"


def figures(store: Store, *experiments: str) -> dict[str, Figure]:
    return {figure.name: figure for figure in report.build(store, [row(store, each) for each in experiments]).figures}


def lines(figure: Figure) -> dict[str, Series]:
    """The lines of a figure of one panel by their label."""
    (panel,) = figure.panels
    return {line.label: line for line in panel.series}


def test_a_figure_is_there_only_where_its_numbers_are(store: Store) -> None:
    everything = realistic(store)
    assert list(figures(store, everything)) == ["accuracy", "layers", "layers-by-generation", "spectrum", "shots"]
    assert figures(store, scored(store, {("seal", 0): 0.5})) == {}


def test_accuracy_is_drawn_over_the_epochs_of_all_generations(store: Store) -> None:
    """Generations have three epochs; SEAL forgets in the first one of generation 1."""
    experiment = submitted(store)
    trained(store, experiment, node(PLAN, "normal", 0), [0.25, 0.5, 0.75])
    trained(store, experiment, node(PLAN, "seal", 1), [0.125, 0.5, 1.0], forgetting=1)
    figure = figures(store, experiment)["accuracy"]
    found = lines(figure)
    assert (found["normal"].x, found["normal"].y) == ((1, 2, 3), (25, 50, 75))
    assert (found["seal"].x, found["seal"].y) == ((1, 2, 3, 4, 5, 6), (25, 50, 75, 12.5, 50, 100))
    assert (figure.panels[0].shaded, figure.panels[0].starts) == (((3, 4),), (3,))
    assert found["seal"].low is None
    assert "seal 100.0 % after epoch 6" in figure.alt
    assert "Forgetting phases: epochs 4." in figure.alt


def test_several_seeds_are_their_mean_with_a_band(store: Store) -> None:
    raw = small(seeds=[0, 1], evaluations=[])
    experiment, plan = submitted(store, raw), planned(raw)
    for seed, accuracy in ((0, 0.5), (1, 0.75)):
        trained(store, experiment, node(plan, "normal", 0, seed=seed), [accuracy])
    line = lines(figures(store, experiment)["accuracy"])["normal"]
    half = 12.706204736 * 12.5  # t with one degree of freedom; the standard error is half the distance
    assert line.y == (62.5,)
    assert line.low is not None
    assert list(line.low) == pytest.approx([62.5 - half])


def test_a_line_ends_where_a_seed_that_has_begun_has_no_more(store: Store) -> None:
    raw = small(seeds=[0, 1, 2], evaluations=[])
    experiment, plan = submitted(store, raw), planned(raw)
    trained(store, experiment, node(plan, "normal", 0, seed=0), [0.25, 0.5, 0.75])
    trained(store, experiment, node(plan, "normal", 0, seed=1), [0.75])
    figure = figures(store, experiment)["accuracy"]
    assert (lines(figure)["normal"].x, lines(figure)["normal"].y) == ((1,), (50,))
    assert "Epochs that not all seeds of an arm have reached are left out." in figure.caption


def test_layers_and_shots_are_drawn_of_generations_that_all_begun_seeds_have(store: Store) -> None:
    """Generation 0 has two seeds, generation 1 only one of them."""
    asked = [{"name": "prediction-depth"}, FEW | {"shots": [5]}]
    raw = small(seeds=[0, 1], evaluations=[{"evaluator": each, "on": ["every"]} for each in asked])
    experiment, plan = submitted(store, raw), planned(raw)
    for each in plan.nodes.values():
        if each.evaluator is not None and (each.generation, each.seed) != (1, 1):
            few = each.evaluator["name"] == "few-shot"
            evaluated(store, experiment, each, {"5shot/acc": 0.5} if few else {"fc/knn_acc": 0.5})
    found = figures(store, experiment)
    assert list(found) == ["layers", "shots"]
    assert [list(lines(figure)) for figure in found.values()] == [["generation 0"]] * 2


def test_phases_of_arms_with_other_epochs_are_described_and_not_shaded(store: Store) -> None:
    """Generation 1 begins after three epochs of one arm and after four of the other."""
    arms = [
        {"name": "seal", "method": {"name": "seal"}},
        {"name": "long", "method": {"name": "seal"}, "train": {"epochs": 4}},
    ]
    raw = small(arms=arms, evaluations=[])
    experiment, plan = submitted(store, raw), planned(raw)
    for arm, epochs in (("seal", 3), ("long", 4)):
        for generation in (0, 1):
            trained(store, experiment, node(plan, arm, generation), [0.5] * epochs, forgetting=generation)
    figure = figures(store, experiment)["accuracy"]
    assert (figure.panels[0].shaded, figure.panels[0].starts) == ((), ())
    assert figure.alt.endswith(" Forgetting phases: epochs seal 4; long 5.")
    assert figure.caption.endswith("; forgetting phases differ and are not shaded.")


def test_marks_are_common_where_they_are_equal_up_to_the_end_of_each_arm() -> None:
    assert common([({4}, 6), ({4, 7}, 9)]) == {4, 7}
    assert common([({4}, 6), ({5}, 6)]) is None


def test_more_starts_than_can_be_distinguished_are_neither_drawn_nor_mentioned(store: Store) -> None:
    arms = [{"name": "normal", "method": {"name": "normal"}}]
    raw = small(arms=arms, train={"generations": MOST_STARTS + 2, "epochs": 1, "batch_size": 16}, evaluations=[])
    experiment, plan = submitted(store, raw), planned(raw)
    for each in plan.nodes.values():
        trained(store, experiment, each, [0.5])
    figure = figures(store, experiment)["accuracy"]
    assert figure.panels[0].starts == ()
    assert "thin lines" not in figure.caption


def test_generation_0_stands_beside_each_arm_by_layer(store: Store) -> None:
    figure = figures(store, realistic(store))["layers"]
    assert list(lines(figure)) == ["generation 0", "normal", "llf", "seal"]
    assert [line.baseline for line in lines(figure).values()] == [True, False, False, False]
    assert figure.panels[0].ticks == ("layer1", "layer2", "layer3", "layer4", "fc")
    assert figure.alt.startswith("Line chart over the layers layer1, layer2")


def test_generations_follow_one_another_in_a_panel_for_each_arm(store: Store) -> None:
    panels = figures(store, realistic(store))["layers-by-generation"].panels
    assert [panel.title for panel in panels] == ["normal", "llf", "seal"]
    assert [line.label for line in panels[2].series] == [f"generation {index}" for index in range(4)]


def test_eigenvalues_are_pooled_into_shares_of_a_hundred(store: Store) -> None:
    raw = small(evaluations=[{"evaluator": {"name": "hessian-spectrum", "examples": 32}}])
    experiment, plan = submitted(store, raw), planned(raw)
    values = [-1.0, 0.0, 1.0, 47.0]
    evaluated(store, experiment, node(plan, "seal", 1, "evaluation"), {"max": 47.0}, {"eigenvalues": values})
    figure = figures(store, experiment)["spectrum"]
    line = lines(figure)["seal"]
    assert sum(each or 0 for each in line.y) == pytest.approx(100)
    assert "seal -1 to 47, 25.0 % negative" in figure.alt


def test_a_density_keeps_the_points_where_both_numbers_are(store: Store) -> None:
    raw = small(evaluations=[{"evaluator": {"name": "hessian-spectrum", "examples": 32}}])
    experiment, plan = submitted(store, raw), planned(raw)
    curves = {"density/grid": [0.0, 1.0, 2.0, math.nan], "density/values": [1.0, math.nan, 0.5, 0.25]}
    evaluated(store, experiment, node(plan, "seal", 1, "evaluation"), {"max": 47.0}, curves)
    figure = figures(store, experiment)["density"]
    assert (lines(figure)["seal"].x, lines(figure)["seal"].y) == ((0, 2), (1, 0.5))
    assert svg.svg(figure).startswith("<svg")


def test_shots_have_a_panel_for_each_data_set(store: Store) -> None:
    panels = figures(store, realistic(store))["shots"].panels
    assert [(panel.title, panel.ticks) for panel in panels] == [
        ("digits-inverted", ("1", "5")),
        ("digits-edges", ("1", "5")),
    ]


def test_lines_of_several_experiments_are_distinguished_by_name(store: Store) -> None:
    first = submitted(store)
    trained(store, first, node(PLAN, "normal", 0), [0.25])
    second = submitted(store, small(name="again"))
    assert list(lines(figures(store, first, second)["accuracy"])) == [
        f"{experiment}/{arm}" for experiment in ("small", "again") for arm in ("normal", "seal")
    ]


def test_the_first_lines_are_drawn_of_more_than_can_be_distinguished(store: Store) -> None:
    methods = [{"name": "seal", "ascent_scale": 0.01 * (index + 1)} for index in range(MOST_LINES + 1)]
    raw = small(arms=[{"name": f"a{index:02}", "method": method} for index, method in enumerate(methods)])
    experiment = submitted(store, raw)
    trained(store, experiment, node(planned(raw), "a00", 0), [0.5])
    figure = figures(store, experiment)["accuracy"]
    assert len(figure.panels[0].series) == MOST_LINES
    assert f"The first {MOST_LINES} of {MOST_LINES + 1} arms are drawn." in figure.caption


def test_arms_without_numbers_do_not_count_among_those_left_out(store: Store) -> None:
    methods = [{"name": "seal", "ascent_scale": 0.01 * (index + 1)} for index in range(MOST_LINES + 1)]
    arms = [{"name": f"a{index:02}", "method": method} for index, method in enumerate(methods)]
    raw = small(arms=arms, evaluations=[{"evaluator": {"name": "prediction-depth"}, "on": ["every"]}])
    experiment, plan = submitted(store, raw), planned(raw)
    *most, last = [each for each in plan.nodes.values() if each.kind == "evaluation"]
    for each in most:
        evaluated(store, experiment, each, {"fc/knn_acc": 0.5})
    assert "The first" not in "".join(figure.caption for figure in figures(store, experiment).values())
    evaluated(store, experiment, last, {"fc/knn_acc": 0.5})
    found = figures(store, experiment)
    assert "The first 12 of 13 arms are drawn." in found["layers"].caption
    assert "The first 12 of 13 arms have a panel." in found["layers-by-generation"].caption
    assert len(found["layers-by-generation"].panels) == 12


def test_thinned_epochs_keep_the_end_of_every_generation() -> None:
    kept = thinned(range(1, 1601), 160)
    assert len(kept) <= MOST_POINTS + 10
    assert {160 * generation for generation in range(1, 11)} <= set(kept)
    assert thinned([4, 8, 12], 4) == [4, 8, 12]


def test_every_figure_is_drawn_the_same_each_time(store: Store) -> None:
    for figure in figures(store, realistic(store)).values():
        drawn = svg.svg(figure)
        assert drawn == svg.svg(figure)
        assert ET.fromstring(drawn).tag == f"{SVG}svg"
        assert len(drawn) < 150_000


def test_names_are_never_read_as_mathematics() -> None:
    line = Series(r"$\frac{</text><script>", (0.0, 1.0), (1.0, None))
    panel = Panel(r"a $ b", r"$x$", "<y>", (line,), ticks=("$", "^_"))
    root = ET.fromstring(svg.svg(Figure("hostile", "c", "a", (panel,))))
    assert not [each for each in root.iter() if each.tag == f"{SVG}script"]


def test_wide_intervals_are_cut_so_that_lines_can_be_distinguished() -> None:
    """Means go from 70 to 90, an interval far beyond: half their span is shown on either side, within 0 and 100."""
    wide = [Series("wide", (0.0, 1.0), (70.0, 90.0), (-60.0, 85.0), (200.0, 95.0))]
    low, high = limits_of(wide)
    assert [low, high] == pytest.approx([60 - 0.05 * 40, 100])
    assert cut(wide, (low, high)) == " Intervals that reach beyond the axis are cut."
    narrow = [Series("narrow", (0.0, 1.0), (70.0, 90.0), (69.0, 89.0), (71.0, 91.0))]
    assert list(limits_of(narrow)) == pytest.approx([69 - 0.05 * 22, 91 + 0.05 * 22])
    assert cut(narrow, limits_of(narrow)) == ""
