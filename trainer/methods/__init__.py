"""The methods by name: our own, and those of installed packages (entry point group `relearn.methods`).

To add one of our own, write a file and add its class to `_OWN`. A spec can name a method but never import one.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from trainer.core.plugins import Plugin, Registry, registry
from trainer.methods.base import Method, Phase, Scale
from trainer.methods.born_again import BornAgain
from trainer.methods.imp import IterativeMagnitudePruning
from trainer.methods.ke import KnowledgeEvolution
from trainer.methods.llf import LLF
from trainer.methods.normal import Normal
from trainer.methods.sa_gd import AnnealedDescent
from trainer.methods.seal import SEAL
from trainer.methods.self_distillation import SelfDistillation
from trainer.methods.tolerant_teacher import TolerantTeacher

_OWN: tuple[type[Method], ...] = (
    Normal,
    LLF,
    SEAL,
    KnowledgeEvolution,
    IterativeMagnitudePruning,
    AnnealedDescent,
    BornAgain,
    TolerantTeacher,
    SelfDistillation,
)

if TYPE_CHECKING:
    PLUGINS: dict[str, Plugin]
    METHODS: dict[str, type[Method]]
    AnyMethod = Method
    MethodSpec = Method


@cache
def _known() -> Registry:
    """The registry is made on first use: a plug-in's package imports this one, and may be imported before it."""
    return registry("relearn.methods", Method, _OWN)


def __getattr__(name: str) -> Any:
    """Returns PLUGINS, METHODS, AnyMethod or MethodSpec: a part of the registry under the name to import."""
    match name:
        case "PLUGINS":
            return _known().plugins
        case "METHODS":
            return _known().kinds
        case "AnyMethod":
            return _known().union
        case "MethodSpec":
            return _known().spec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["LLF", "METHODS", "PLUGINS", "SEAL", "AnyMethod", "Method", "MethodSpec", "Normal", "Phase", "Scale"]
