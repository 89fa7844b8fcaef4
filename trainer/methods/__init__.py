"""The methods by name: our own, and those of installed packages (entry point group `relearn.methods`).

To add one of our own, write a file and add its class to `_OWN`. A spec can name a method but never import one.
"""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from trainer.core.plugins import Plugin, discover
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
def _known() -> dict[str, Any]:
    own = {kind.model_fields["name"].default: kind for kind in _OWN}
    plugins = discover("relearn.methods", Method, set(own))
    kinds = own | {name: plugin.kind for name, plugin in plugins.items() if plugin.kind is not None}
    union: Any = Union[tuple(kinds.values())]  # noqa: UP007  its members are known only now
    spec: Any = Annotated[union, Field(discriminator="name")]
    return {"PLUGINS": plugins, "METHODS": kinds, "AnyMethod": union, "MethodSpec": spec}


def __getattr__(name: str) -> Any:
    """Returns PLUGINS (what installed packages offer), METHODS (all by name), AnyMethod or MethodSpec.

    They are made on first use, because a package of methods imports this one and may be imported before it.
    """
    if name not in ("PLUGINS", "METHODS", "AnyMethod", "MethodSpec"):  # nothing else may start the search
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _known()[name]


__all__ = ["LLF", "METHODS", "PLUGINS", "SEAL", "AnyMethod", "Method", "MethodSpec", "Normal", "Phase", "Scale"]
