"""The base of everything that a spec is made of."""

from pydantic import BaseModel, ConfigDict


class SpecModel(BaseModel):
    """Frozen, without unknown fields, and strict: `"3"` is no number and `1.0` no whole one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
