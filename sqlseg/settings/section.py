"""What every section of `sqlseg.toml` is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, lt=2**31)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Section(BaseModel):
    """One table of the file: no key but those named here, no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
