"""The methods by name. A new one is a file of its own and a member of this union."""

from typing import Annotated, get_args

from pydantic import Field

from trainer.methods.base import Method, Phase, Scale
from trainer.methods.llf import LLF
from trainer.methods.normal import Normal
from trainer.methods.seal import SEAL

AnyMethod = Normal | LLF | SEAL
MethodSpec = Annotated[AnyMethod, Field(discriminator="name")]

METHODS: dict[str, type[Method]] = {kind.model_fields["name"].default: kind for kind in get_args(AnyMethod)}

__all__ = ["LLF", "METHODS", "SEAL", "AnyMethod", "Method", "MethodSpec", "Normal", "Phase", "Scale"]
