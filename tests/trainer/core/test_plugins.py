import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluators import EVALUATORS
from evaluators.base import Evaluator
from tests.trainer.packages import EVALUATOR, METHOD, answer, offer
from trainer.core.plugins import Plugin, code_sha256, discover
from trainer.methods import METHODS, SEAL, Method


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages are looked for in; what was imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def found(base: type[Method] | type[Evaluator] = Method) -> dict[str, Plugin]:
    group = "relearn.methods" if base is Method else "relearn.evaluators"
    return discover(group, base, {"seal"})


def test_a_method_of_an_installed_package_is_found(site: Path) -> None:
    offer(site, "half-life", METHOD, "halving = half_life:Halving")
    plugin = found()["halving"]
    assert (plugin.name, plugin.package, plugin.version, plugin.problem) == ("halving", "half-life", "1.0", None)
    assert plugin.kind is sys.modules["half_life"].Halving
    assert plugin.code_sha256 == code_sha256(plugin.kind)


def test_an_evaluator_of_an_installed_package_is_found(site: Path) -> None:
    offer(site, "norms", EVALUATOR, "norm = norms:Norm", group="relearn.evaluators")
    assert found(Evaluator)["norm"].kind is sys.modules["norms"].Norm
    assert "norm" not in found()


BROKEN = [
    ("raise RuntimeError('no GPU')", "own = broken:Own", "own", "broken:Own cannot be loaded: RuntimeError: no GPU"),
    ("import sys; sys.exit(3)", "own = broken:Own", "own", "broken:Own cannot be loaded: SystemExit: 3"),
    (
        "import not_installed_here",
        "own = broken:Own",
        "own",
        "ModuleNotFoundError: No module named 'not_installed_here'",
    ),
    ("", "own = broken:Own", "own", "AttributeError: module 'broken' has no attribute 'Own'"),
    ("Own = 3", "own = broken:Own", "own", "broken:Own is not a complete subclass of trainer.methods.base.Method"),
    ("class Own: name = 'own'", "own = broken:Own", "own", "is not a complete subclass of trainer.methods.base.Method"),
    (METHOD, "own = broken:Halving", "own", "broken:Halving must have the field name: Literal['own'] = 'own'"),
    (
        METHOD.replace('Literal["halving"]', "str"),
        "halving = broken:Halving",
        "halving",
        "must have the field name: Literal['halving'] = 'halving'",
    ),
    (
        METHOD.replace('name: Literal["halving"] = "halving"', ""),
        "halving = broken:Halving",
        "halving",
        "must have the field name: Literal['halving'] = 'halving'",
    ),
    (
        METHOD.replace("factor: float", "factor: type(len) = len\n    other: float").replace(
            "class Halving(Method):", "class Halving(Method, arbitrary_types_allowed=True):"
        ),
        "halving = broken:Halving",
        "halving",
        "broken:Halving cannot be loaded: PydanticInvalidForJsonSchema",
    ),
    (METHOD.replace("halving", "seal"), "seal = broken:Halving", "seal", "'seal' is the name of one of relearn's own"),
    (METHOD, "Half Life = broken:Halving", "Half Life", "'Half Life' is no name: use lower-case letters, digits"),
]


@pytest.mark.parametrize(("code", "point", "name", "problem"), BROKEN)
def test_one_that_cannot_be_used_says_why(site: Path, code: str, point: str, name: str, problem: str) -> None:
    offer(site, "broken", code, point)
    offer(site, "half-life", METHOD.replace("halving", "sound"), "sound = half_life:Halving")
    plugins = found()
    assert (plugins[name].kind, plugins[name].code_sha256, plugins[name].package) == (None, None, "broken")
    assert problem in str(plugins[name].problem)
    assert plugins["sound"].kind is not None


def test_an_evaluator_that_cannot_run_is_not_taken(site: Path) -> None:
    offer(site, "norms", EVALUATOR.replace("def run", "def walk"), "norm = norms:Norm", group="relearn.evaluators")
    assert "is not a complete subclass of evaluators.base.Evaluator" in str(found(Evaluator)["norm"].problem)


def test_two_packages_with_one_name_are_both_refused(site: Path) -> None:
    offer(site, "half-life", METHOD, "halving = half_life:Halving")
    offer(site, "zeno", METHOD, "halving = zeno:Halving")
    plugin = found()["halving"]
    assert plugin.kind is None
    assert plugin.problem == "'halving' is offered more than once (by half-life, zeno): uninstall all but one"
    assert not {"half_life", "zeno"} & sys.modules.keys()


# --- the digest of the code ---


def package(site: Path, *folders: str) -> Path:
    """A package with the method in one module and what it draws from in another."""
    home = site.joinpath(*folders)
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("")
    (home / "law.py").write_text("SCALE = 1\n")
    (home / "methods.py").write_text(METHOD)
    metadata = site / "packaged-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: packaged\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[relearn.methods]\nhalving = {'.'.join(folders)}.methods:Halving\n")
    return home


@pytest.mark.parametrize("folders", [("packaged",), ("a_namespace", "packaged")])
def test_the_digest_covers_every_module_of_the_package_and_no_other(site: Path, folders: tuple[str, ...]) -> None:
    home = package(site, *folders)
    kind = found()["halving"].kind
    assert kind is not None
    before = code_sha256(kind)
    (site / "elsewhere.py").write_text("")
    (home / "data.txt").write_text("")
    (home.parent / "neighbour.py").write_text("")
    assert code_sha256(kind) == before
    (home / "law.py").write_text("SCALE = 2\n")
    changed = code_sha256(kind)
    (home / "law.py").rename(home / "laws.py")
    assert len({before, changed, code_sha256(kind)}) == 3


def test_the_digest_of_a_single_module_is_that_of_its_file(site: Path) -> None:
    source = offer(site, "half-life", METHOD, "halving = half_life:Halving")
    plugin = found()["halving"]
    assert plugin.kind is not None
    (site / "neighbour.py").write_text("")
    assert code_sha256(plugin.kind) == plugin.code_sha256
    source.write_text(METHOD + "\n")
    assert code_sha256(plugin.kind) != plugin.code_sha256


def test_a_class_that_no_file_defines_has_no_digest() -> None:
    with pytest.raises(ValueError, match=r"no file defines builtins\.int"):
        code_sha256(int)


# --- in a process of its own ---

KNOWN = """
import json
import sys
if sys.argv[1:]:
    __import__(sys.argv[1])
import evaluators
from trainer import spec
from trainer.methods import METHODS, PLUGINS
one = {"data": {"name": "digits-noisy"}, "method": {"name": "halving", "factor": 0.25}}
print(json.dumps([list(METHODS), {n: p.problem for n, p in PLUGINS.items()}, evaluators.names(),
                  spec.parse(json.dumps(one)).method.factor]))
"""


@pytest.mark.parametrize("first", [[], ["half_life"]])
def test_specs_know_what_is_installed_whichever_is_imported_first(tmp_path: Path, first: list[str]) -> None:
    offer(tmp_path, "half-life", METHOD, "halving = half_life:Halving")
    offer(tmp_path, "norms", EVALUATOR, "norm = norms:Norm", group="relearn.evaluators")
    offer(tmp_path, "broken", "1 / 0", "own = broken:Own")
    taken = EVALUATOR.replace("norm", "training")
    offer(tmp_path, "same-name", taken, "training = same_name:Norm", group="relearn.evaluators")
    methods, problems, evaluators, factor = answer(tmp_path, KNOWN, *first)
    assert methods == [*(name for name in METHODS if name != "halving"), "halving"]
    assert problems == {"halving": None, "own": "broken:Own cannot be loaded: ZeroDivisionError: division by zero"}
    assert evaluators == [*(name for name in EVALUATORS if name != "norm"), "norm"]
    assert factor == 0.25


def test_without_packages_there_are_only_our_own() -> None:
    assert METHODS["seal"] is SEAL
    assert discover("relearn.nothing", Method, set()) == {}
