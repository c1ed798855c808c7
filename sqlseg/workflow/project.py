"""A project on disk with everything it names, read and checked before any work begins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from sqlseg import sqltext
from sqlseg.encoders.content_manifest import TextEncoder
from sqlseg.encoders.image_manifest import ImageEncoder
from sqlseg.encoders.manifest import Encoder, load_encoder
from sqlseg.errors import SqlsegError
from sqlseg.features.locality import locality_problems
from sqlseg.features.registry import Registry
from sqlseg.features.view import View
from sqlseg.resources import resource_root, shop_text
from sqlseg.settings import (
    FILE_NAME,
    ClusterSegmentation,
    FittedSegmentation,
    RulesSegmentation,
    Settings,
    SupervisedSegmentation,
    load_settings,
    parse_settings,
    setting_problem,
)
from sqlseg.workflow.checked_settings import check_algorithms, image_encoder_of, text_encoder_of
from sqlseg.workflow.references import check_references

_NO_PROJECT = '[project]\nname = "none"\n'


class RulesReadUnknown(SqlsegError):
    """The SQL of a rule segmentation or of labels reads what it may not."""


DEFAULT_HORIZONS = (30, 90)
"""Days ahead that are forecast, where the shop's past supports them and the settings do not say otherwise."""

READ_BY_FORECASTS = ("rfm@1", "cadence@1", "basket@1", "trend@1", "trend@2")
"""The feature views that forecasts read by default, of those that the project computes; never another version.

All the others beside them foretold no better on four shops that nobody trained on (docs/forecasts.md), and every view
is computed at each of up to eight past moments.
"""


@dataclass(frozen=True)
class Forecast:
    """Forecasts that are an input of some segmentation: an encoder, and the feature views read beside it."""

    encoder: Encoder
    views: tuple[View, ...]
    horizons: tuple[int, ...]

    @property
    def ref(self) -> str:
        """How settings name it after `forecast:`, such as behavior@1."""
        return self.encoder.ref

    @property
    def input(self) -> str:
        """How settings name it in full."""
        return f"forecast:{self.ref}"

    @property
    def name(self) -> str:
        """What stands before the __ in the names of its features, such as forecast_behavior."""
        return f"forecast_{self.encoder.manifest.name}"

    @property
    def relation(self) -> str:
        """Its view without the schema features, such as forecast_behavior_v1."""
        return f"forecast_{self.encoder.table}"


@dataclass(frozen=True)
class Sentiment:
    """The mood of reviews as an input of some segmentation: learned from the ratings that a SELECT returns."""

    ratings: Path
    pleased_from: float
    ref: str = "reviews@1"
    input: str = "sentiment:reviews@1"
    name: str = "sentiment_reviews"
    relation: str = "sentiment_reviews_v1"


@dataclass(frozen=True)
class PinnedUsers:
    """The users whom the SQL in `path` pins, each with the name of the segment."""

    path: Path
    segment_of: Mapping[str, str]

    @property
    def text(self) -> str:
        """What tells these pins from others, for people and for comparing."""
        rows = [f"{len(user)} {user} {segment}" for user, segment in sorted(self.segment_of.items())]
        segments = len(set(self.segment_of.values()))
        return f"{len(rows)} users in {segments} segments ({sqltext.digest(*rows)[:8]})"


@dataclass(frozen=True)
class Project:
    """Settings, views and encoders; `encoders`, `forecasts` and `sentiment` are those that some segmentation uses."""

    settings: Settings
    registry: Registry
    encoders: tuple[Encoder, ...]
    text_encoder: TextEncoder | None = None
    """What reads texts, where some segmentation has texts among its inputs."""
    image_encoder: ImageEncoder | None = None
    """What reads images, where some segmentation has images among its inputs."""
    image_root: Path = Path()
    """From where the paths of images count, also while history is replayed in another folder."""
    forecasts: tuple[Forecast, ...] = ()
    sentiment: Sentiment | None = None
    pins: Mapping[str, PinnedUsers] = field(default_factory=lambda: MappingProxyType({}))
    """By segmentation; read from the shop's SQL when a refresh begins."""
    labels_before: datetime | None = None
    """Labels given later are not known yet: so while history is replayed, which also knows none without a time."""

    @property
    def directory(self) -> Path:
        """The folder that holds sqlseg.toml."""
        return self.settings.directory

    @property
    def sql_roots(self) -> tuple[Path, Path]:
        """Where views are looked for: those that ship with sqlseg, then the shop's own."""
        return resource_root("sql"), self.directory / "sql"

    @property
    def takes_pins(self) -> bool:
        """Whether the shop's own SQL pins users of some segmentation."""
        of_clusters = (one for one in self.settings.segmentations.values() if isinstance(one, ClusterSegmentation))
        return any(one.pins is not None for one in of_clusters)

    def views_under(self, root: Path) -> list[View]:
        """Return the views whose files lie under one of the roots."""
        return [view for view in self.registry.views if view.path.is_relative_to(root)]

    def encoders_of(self, segmentation: FittedSegmentation) -> tuple[Encoder, ...]:
        """Return the encoders among the inputs of a segmentation."""
        refs = [one.ref for one in segmentation.inputs if one.kind == "encoder"]
        return tuple(encoder for encoder in self.encoders if encoder.ref in refs)

    def forecasts_of(self, segmentation: FittedSegmentation) -> tuple[Forecast, ...]:
        """Return the forecasts among the inputs of a segmentation."""
        refs = [one.ref for one in segmentation.inputs if one.kind == "forecast"]
        return tuple(forecast for forecast in self.forecasts if forecast.ref in refs)

    @property
    def learned(self) -> tuple[str, ...]:
        """The inputs that are learned from this shop before they can be computed: forecasts and moods."""
        return (*(one.input for one in self.forecasts), *([self.sentiment.input] if self.sentiment else []))

    def learned_for(self, segmentation: FittedSegmentation) -> frozenset[str]:
        """Return those of them that are inputs of a segmentation."""
        return frozenset(map(str, segmentation.inputs)) & frozenset(self.learned)

    def views_read_by_forecast(self, forecast: Forecast) -> list[View]:
        """Return all views that decide a forecast, each after what it reads."""
        sequences = self.registry.closure([forecast.encoder.manifest.sequence], "sequences")
        return _distinct([*self.registry.closure(forecast.views), *sequences])

    def views_read_by_cluster(self, segmentation: FittedSegmentation) -> list[View]:
        """Return all views that decide the inputs of a segmentation, each after what it reads."""
        features = self.registry.closure(one.ref for one in segmentation.inputs if one.kind == "features")
        sequences = self.registry.closure((e.manifest.sequence for e in self.encoders_of(segmentation)), "sequences")
        contents = self.registry.closure((one.ref for one in segmentation.inputs if one.kind == "content"), "contents")
        forecasts = [view for one in self.forecasts_of(segmentation) for view in self.views_read_by_forecast(one)]
        return _distinct([*features, *sequences, *contents, *forecasts])

    def views_read_by_rules(self, path: Path) -> list[View]:
        """Return the views that the SQL of a rule or of labels reads, and all they read. Raises RulesReadUnknown."""
        tree = sqltext.parse_select(shop_text(path), path)
        found = []
        for table in sqltext.base_tables(tree):
            name = sqltext.table_name(table)
            schema, _, relation = name.rpartition(".")
            if name in ("users", "items", "holidays"):
                continue
            view = self.readable_by_rules(schema, relation)
            if view is None:
                known = sorted({f"features.{view.name}" for view in self.registry.all("features")})
                raise RulesReadUnknown(
                    f"{path}:{sqltext.line_of(table)}: rules and labels cannot read {name!r}.",
                    hint=f"They may read users, items, holidays, {', '.join(known)}, or one version as {known[0]}_v1.",
                )
            found.append(view)
        return self.registry.closure(found)

    def rule_is_local(self, path: Path) -> bool:
        """Return whether the SQL of a rule says of each user what that user's own rows say, at every run the same."""
        tree = sqltext.parse_select(shop_text(path), path)
        return not locality_problems("features", tree)

    def readable_by_rules(self, schema: str, relation: str) -> View | None:
        """Return the view that `features.rfm`, `features.rfm_v1` or `stats.<name>_v<k>` names, or None."""
        if schema == "features":
            for view in self.registry.all("features"):
                if relation == f"{view.name}_v{view.version}":
                    return view
            if any(view.name == relation for view in self.registry.all("features")):
                return self.in_use(relation)
        if schema == "stats":
            return next((v for v in self.registry.all("statistics") if v.relation == f"stats.{relation}"), None)
        return None

    def in_use(self, name: str) -> View:
        """Return the version of a feature view that `features.<name>` stands for.

        It is the highest that a segmentation takes as an input; where none does, the latest there is.
        """
        used = [
            one.version
            for segmentation in self.settings.segmentations.values()
            if isinstance(segmentation, FittedSegmentation)
            for one in segmentation.inputs
            if one.kind == "features" and one.name == name
        ]
        return self.registry.view("features", f"{name}@{max(used)}") if used else self.registry.latest("features", name)

    def published_views(self) -> list[View]:
        """Return the feature views that are computed for people to read, each after the views it reads."""
        asked = self.settings.features.publish
        if asked == "all":
            names = sorted({view.name for view in self.registry.all("features")})
            return self.registry.closure(self.in_use(name) for name in names)
        return self.registry.closure(one.ref for one in asked)

    def contents(self) -> dict[str, View]:
        """Return the content views among the inputs of all segmentations, by input."""
        return {
            str(one): self.registry.view("contents", one.ref)
            for segmentation in self.settings.segmentations.values()
            if isinstance(segmentation, FittedSegmentation)
            for one in segmentation.inputs
            if one.kind == "content"
        }

    def views_beside(self, name: str) -> tuple[View, ...]:
        """Return the feature views to show beside a segmentation: one version of each, its own input before others."""
        segmentation = self.settings.segmentations[name]
        inputs: dict[str, View] = {}
        if isinstance(segmentation, FittedSegmentation):
            for one in segmentation.inputs:
                if one.kind == "features":
                    inputs[one.name] = self.registry.view("features", one.ref)
        names = dict.fromkeys(view.name for view in self.computed_views() if view.kind == "features")
        computed = {view.relation for view in self.computed_views()}
        shown = [inputs.get(view_name) or self.in_use(view_name) for view_name in names]
        return tuple(view for view in shown if view.relation in computed)

    def computed_views(self) -> list[View]:
        """Return every view that a refresh computes, each after the views it reads."""
        views = self.published_views()
        for segmentation in self.settings.segmentations.values():
            match segmentation:
                case RulesSegmentation():
                    views += self.views_read_by_rules(segmentation.sql)
                case FittedSegmentation():
                    views += self.views_read_by_cluster(segmentation)
            if isinstance(segmentation, SupervisedSegmentation):
                views += self.views_read_by_rules(segmentation.labels)
        return _distinct(views)


def _forecasts(project: Project) -> tuple[Forecast, ...]:
    refs = {
        one.ref
        for segmentation in project.settings.segmentations.values()
        if isinstance(segmentation, FittedSegmentation)
        for one in segmentation.inputs
        if one.kind == "forecast"
    }
    settings = project.settings.forecasts
    if settings.features is not None:
        views = [project.registry.view("features", one.ref) for one in settings.features]
    elif refs:
        computed = {view.ref: view for view in project.computed_views() if view.kind == "features"}
        views = [computed[ref] for ref in READ_BY_FORECASTS if ref in computed]
        views = views or [project.registry.view("features", "rfm@1")]
    horizons = settings.horizons or DEFAULT_HORIZONS
    return tuple(Forecast(encoder, tuple(views), horizons) for encoder in project.encoders if encoder.ref in refs)


def _sentiment(settings: Settings) -> Sentiment | None:
    """Return the mood that is an input. Raises InvalidSettings where it is unknown, or has nothing to learn from."""
    found = None
    for name, segmentation in settings.segmentations.items():
        for place, one in enumerate(segmentation.inputs if isinstance(segmentation, FittedSegmentation) else ()):
            if one.kind != "sentiment":
                continue
            key = ("segmentations", name, "inputs", place)
            if one.ref != Sentiment.ref:
                raise setting_problem(settings, key, f"there is no {one}; there is {Sentiment.input}")
            ratings = settings.sentiment.ratings
            if ratings is None:
                message = (
                    f'{one} is learned from rated reviews: under [sentiment], add ratings = "sql/ratings.sql", '
                    "a file with a SELECT of text, rating, user_id and event_time"
                )
                raise setting_problem(settings, key, message)
            found = Sentiment(ratings, settings.sentiment.pleased_from)
    return found


def _distinct(views: Iterable[View]) -> list[View]:
    return list({view.relation: view for view in views}.values())


def open_registry(directory: Path) -> Project:
    """Read a project's views, and its settings where the folder has any; encoders are left alone.

    Without a project these are the views that ship with sqlseg.
    """
    if not (directory / FILE_NAME).is_file():
        settings = parse_settings(_NO_PROJECT, directory.absolute(), check_files=False)
        return Project(settings, Registry.load([resource_root("sql")]), ())
    settings = load_settings(directory)
    return Project(settings, Registry.load([resource_root("sql"), settings.directory / "sql"]), ())


def open_project(directory: Path) -> Project:
    """Read a project's settings, views and encoders, and check them against each other.

    Raises a SqlsegError that names file and line: for settings, views, encoders, and for published views that changed.
    """
    settings = load_settings(directory)
    registry = Registry.load([resource_root("sql"), settings.directory / "sql"])
    refs = {
        one.ref
        for segmentation in settings.segmentations.values()
        if isinstance(segmentation, FittedSegmentation)
        for one in segmentation.inputs
        if one.kind in ("encoder", "forecast")
    }
    roots = [resource_root("onnx_models"), settings.directory / "onnx_models"]
    check_references(settings, registry, roots)
    encoders = tuple(load_encoder(ref, roots) for ref in sorted(refs))
    project = Project(settings, registry, encoders)
    check_algorithms(settings)
    if any(view.holds_texts for view in project.contents().values()):
        project = replace(project, text_encoder=text_encoder_of(settings, roots))
    if any(view.holds_images for view in project.contents().values()):
        looks = image_encoder_of(settings, roots)
        project = replace(project, image_encoder=looks, image_root=settings.directory.absolute())
    project = replace(project, forecasts=_forecasts(project), sentiment=_sentiment(settings))
    project.computed_views()  # every reference is looked up before any work begins
    return project
