"""The frozen shape of `sqlseg.toml`, section by section."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from sqlseg.settings import values
from sqlseg.settings.privacy import PrivacySettings
from sqlseg.settings.section import Amount, Count, Section, Share
from sqlseg.settings.toml_lines import KeyPath, line_of
from sqlseg.settings.values import Context, InputRef

FILE_NAME = "sqlseg.toml"

OutputFile = Annotated[Path, BeforeValidator(values.file_to_write), Field(validate_default=True)]
ProjectSql = Annotated[Path, BeforeValidator(values.sql_file), Field(validate_default=True)]
Folder = Annotated[Path, BeforeValidator(values.folder)]
Input = Annotated[InputRef, PlainValidator(values.parse_input)]
Inputs = Annotated[
    tuple[Input, ...],
    BeforeValidator(values.some_of('["rfm@1", "encoder:behavior@1"]')),
    AfterValidator(values.distinct),
]


class ProjectSettings(Section):
    """`[project]`: whose shop this is, and where its days begin."""

    name: Annotated[str, PlainValidator(values.text)]
    timezone: Annotated[str, PlainValidator(values.time_zone)] = "UTC"
    country: Annotated[str | None, PlainValidator(values.country)] = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class WarehouseSettings(Section):
    """`[warehouse]`: the two DuckDB files, and what sqlseg may use of the machine."""

    path: OutputFile = Path("warehouse.duckdb")
    published: OutputFile = Path("published/customer_segments.duckdb")
    memory_limit: Annotated[str | None, PlainValidator(values.memory)] = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None

    @field_validator("path", "published")
    @classmethod
    def _unambiguous(cls, path: Path) -> Path:
        database = path.name.partition(".")[0]
        if database.lower() in values.SCHEMAS:
            raise ValueError(
                f"must not be called {path.name}: DuckDB names a database after its file, and {database}.<table> "
                "would then mean the database as well as the schema"
            )
        return path

    @field_validator("published")
    @classmethod
    def _apart(cls, published: Path, info: ValidationInfo) -> Path:
        if published == info.data.get("path"):
            raise ValueError("must be another file than warehouse.path: people read it while sqlseg writes the other")
        return published


class SourceSettings(Section):
    """`[sources.<name>]`: a database that is attached read-only before events.sql runs."""

    type: Literal["duckdb", "sqlite", "postgres"] = "duckdb"
    path: str
    """Absolute; of postgres the connection string as given."""

    @field_validator("path", mode="before")
    @classmethod
    def _located(cls, path: object, info: ValidationInfo[Context]) -> str:
        return values.text(path) if info.data.get("type") == "postgres" else str(values.source_file(path, info))


class EventsSettings(Section):
    """`[events]`: the SELECT that yields canonical events, and the bounds of rows to accept."""

    sql: ProjectSql = Path("sql/events.sql")
    paths: Annotated[tuple[Folder, ...], BeforeValidator(values.some_of('["data/"]'))]
    max_quantity: Amount | None = None
    exported_at: Annotated[datetime | None, PlainValidator(values.instant)] = None
    """UTC, without a zone."""
    overlap: Annotated[timedelta, PlainValidator(values.span)] = timedelta(hours=1)
    """How far before the newest `ingested_at` that was read the next look begins."""


class DriftLimits(Section):
    """`[segmentations.<name>.drift]`: how far things may move before `refit = "drift"` finds the groups anew."""

    psi: Amount = 0.25
    ks: Share = 0.2
    share: Share = 0.25
    far: Share = 0.05
    days: Count = 365


class FittedSegmentation(Section):
    """What every segmentation has whose users a model places: inputs, and when the model is fitted anew."""

    kind: Literal["cluster", "supervised"]
    inputs: Inputs
    correlation_limit: Share = 0.98
    """A feature that correlates more with an earlier one is left out."""
    refit: Literal["drift", "always", "never"] = "drift"
    drift: DriftLimits = DriftLimits()


class ClusterSegmentation(FittedSegmentation):
    """`[segmentations.<name>]` of kind cluster: groups that are found in the inputs."""

    kind: Literal["cluster"]
    algorithm: Annotated[str, PlainValidator(values.algorithm_name)] = "kmeans"
    k: Annotated[Literal["auto"] | int, PlainValidator(values.cluster_count)] = "auto"
    k_min: Count = 4
    k_max: Count = 12
    criterion: Literal["recurrence", "stability", "silhouette", "davies_bouldin", "bic", "gap"] = "recurrence"
    weights: Mapping[str, Amount] = Field(default_factory=lambda: MappingProxyType({}))
    """How much an input counts, by its name as `inputs` writes it; 1 where it has none."""
    pins: Annotated[Path | None, BeforeValidator(values.sql_file)] = None
    """A SELECT of user_id and segment_name: users who are held in a segment."""

    @field_validator("k_max")
    @classmethod
    def _ordered(cls, k_max: int, info: ValidationInfo) -> int:
        if k_max < info.data.get("k_min", k_max):
            raise ValueError(f"must be at least k_min, which is {info.data['k_min']}, got {k_max}")
        return k_max

    @field_validator("weights")
    @classmethod
    def _of_inputs(cls, weights: Mapping[str, float], info: ValidationInfo) -> Mapping[str, float]:
        inputs = [str(one) for one in info.data.get("inputs", ())]
        for name in weights if inputs else ():
            if name not in inputs:
                raise ValueError(f"{name!r} is none of the inputs ({', '.join(inputs)})")
        return MappingProxyType(dict(weights))


class RulesSegmentation(Section):
    """`[segmentations.<name>]` of kind rules: groups that a SELECT of user_id and segment_name spells out."""

    kind: Literal["rules"]
    sql: ProjectSql
    tiers: Annotated[tuple[str, ...] | None, PlainValidator(values.tiers)] = None
    """Names of its segments from the lowest value to the highest."""


class SupervisedSegmentation(FittedSegmentation):
    """`[segmentations.<name>]` of kind supervised: groups that are learned from users whose segment is known."""

    kind: Literal["supervised"]
    labels: ProjectSql
    algorithm: Annotated[str, PlainValidator(values.algorithm_name)] = "gradient_boosting"
    select: Literal["none", "mutual_information", "chi_squared"] = "none"
    keep: Annotated[int | float, PlainValidator(values.kept)] = 0.5
    """How many features `select` keeps: a number, or a share of them."""
    projection: Literal["none", "pca", "lda"] = "none"

    @field_validator("keep")
    @classmethod
    def _chosen(cls, keep: int | float, info: ValidationInfo) -> int | float:
        if info.data.get("select") == "none":
            raise ValueError(
                'says how many features are kept, but nothing chooses them: add select = "mutual_information" or '
                '"chi_squared"'
            )
        return keep


class EncoderSettings(Section):
    """`[encoders.<name>]`: where the encoder runs."""

    device: Literal["auto", "cpu", "cuda"] = "auto"


class ContentSettings(Section):
    """`[content]`: what reads the texts and images of content inputs."""

    text_encoder: Annotated[str, PlainValidator(values.encoder_ref)] = "minilm@1"
    image_encoder: Annotated[str | None, PlainValidator(values.encoder_ref)] = None


class FeaturesSettings(Section):
    """`[features]`: which feature views are published."""

    publish: Annotated[Literal["all"] | tuple[InputRef, ...], PlainValidator(values.published_views)] = "all"


class ForecastsSettings(Section):
    """`[forecasts]`: what is learned from the shop's past, where an input is a forecast."""

    horizons: Annotated[tuple[int, ...] | None, PlainValidator(values.horizons)] = None
    """Days; None stands for the default, of which horizons are left out that the past cannot support."""
    features: Annotated[tuple[InputRef, ...] | None, PlainValidator(values.feature_views)] = None


class SentimentSettings(Section):
    """`[sentiment]`: the ratings from which the mood of reviews is learned, where an input is one."""

    ratings: Annotated[Path | None, BeforeValidator(values.sql_file)] = None
    pleased_from: Annotated[float, Field(allow_inf_nan=False)] = 4.0


class MonitoringSettings(Section):
    """`[monitoring]`: what `refresh --watch` tells other programs."""

    metrics: Annotated[Path | None, BeforeValidator(values.file_to_write)] = None
    webhook: Annotated[str | None, PlainValidator(values.web_address)] = None
    """http or https, or `$NAME` for the environment variable that holds it."""
    stale_minutes: Count | None = None


class ChecksSettings(Section):
    """`[checks]`: what must hold of a result, besides what the tags of columns say, and what keeps it unpublished."""

    max_age_days: Count | None = None
    min_share: Share = 0.01
    max_share: Share = 0.9
    errors: Annotated[tuple[str, ...], PlainValidator(values.kinds_of_checks)] = ("freshness", "monotonicity")


Segmentation = ClusterSegmentation | RulesSegmentation | SupervisedSegmentation
SegmentationName = Annotated[str, AfterValidator(values.segmentation_name)]
SourceName = Annotated[str, AfterValidator(values.source_name)]
EncoderName = Annotated[str, AfterValidator(values.encoder_name)]


class Settings(Section):
    """A project's `sqlseg.toml`; every path in it is absolute."""

    project: ProjectSettings
    warehouse: WarehouseSettings
    sources: Annotated[Mapping[SourceName, SourceSettings], AfterValidator(MappingProxyType)]
    events: EventsSettings
    segmentations: Annotated[
        Mapping[SegmentationName, Annotated[Segmentation, Field(discriminator="kind")]],
        AfterValidator(MappingProxyType),
    ]
    encoders: Annotated[Mapping[EncoderName, EncoderSettings], AfterValidator(MappingProxyType)]
    features: FeaturesSettings
    content: ContentSettings
    forecasts: ForecastsSettings
    sentiment: SentimentSettings
    checks: ChecksSettings
    monitoring: MonitoringSettings
    privacy: PrivacySettings

    _directory: Path = PrivateAttr()
    _lines: Mapping[KeyPath, int] = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        assert isinstance(context, Context), "settings are made by load_settings or parse_settings"
        self._directory = context.directory
        self._lines = context.lines

    @property
    def directory(self) -> Path:
        """The project's folder."""
        return self._directory

    def moved_to(self, directory: Path, sections: Mapping[str, object]) -> "Settings":
        """Return these settings for a project in another folder, with some sections replaced."""
        moved = self.model_copy(update=dict(sections))
        moved._directory = directory
        return moved

    @property
    def file(self) -> Path:
        """The file that these settings were read from."""
        return self._directory / FILE_NAME

    def line(self, *key: str | int) -> int:
        """Return the line of a key, such as `line("segmentations", "behavior", "inputs", 1)`."""
        return line_of(self._lines, key)
