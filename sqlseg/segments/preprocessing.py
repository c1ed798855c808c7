"""Turns blocks of raw inputs into the matrix that is clustered, by arithmetic simple enough to be written as SQL.

A readable column x becomes

    z = clip((f(clip(coalesce(x, median), low, high)) - mean) / std, -CAP, CAP) * scale

with f = ln(1 + x) where `log`, else the identity. An embedding is centred and turned onto its principal axes, then
times `scale`; a user without one sits at the centre. Every result is rounded to 1e-6, so that the order in which a
database added up its doubles does not decide a segment.

What is decided here, and why:

- Imputing the median, winsorising at 1% and 99%, and the cap at three standard deviations keep rare values from
  making segments of their own; k-means squares every distance.
- ln(1 + x) for columns without negative values whose skewness is above 1 ("highly skewed", Bulmer 1979, ch. 4) and
  comes nearer to 0 by it.
- A column that repeats an earlier one (|correlation| > 0.98 or another limit, in the order of the inputs) is dropped:
  it would count that one thing twice.
- Every block gets the same total variance, so a view of ten columns does not drown one of three. This is the aim of
  multiple factor analysis (Escofier & Pages 1994), by total variance as in block scaling (Westerhuis, Kourti &
  MacGregor 1998) rather than by the leading axis, since total variance is what k-means divides up.
- What users buy is projected as content.py says, and then treated as an embedding is, with all its axes.
- A text column becomes one column a level, as categories.py says; these are neither winsorised nor logged.
- Readable blocks are not turned onto principal axes, however wide: reasons and drift speak of their columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sqlseg.segments.axes import EmbeddingProjection, fit_embedding
from sqlseg.segments.blocks import Block, FloatArray, UnusableInput, rounded, user_count
from sqlseg.segments.categories import Category, expanded, fit_category
from sqlseg.segments.content import ContentProjection, fit_content
from sqlseg.segments.scaling import ColumnScaling, fit_columns, fit_level, scale_columns

REPEATED_ABOVE = 0.98


@dataclass(frozen=True)
class FeatureScaling:
    """The frozen parameters of a block of readable columns; `scale` gives the block its weight."""

    name: str
    columns: tuple[ColumnScaling, ...]
    scale: float


@dataclass(frozen=True)
class Dropped:
    """An input that is not used, and why; `column` is the block's name for an embedding."""

    block: str
    column: str
    reason: str
    score: float | None = None
    """How much it tells of the labels, where inputs were chosen by that."""


FittedBlock = FeatureScaling | EmbeddingProjection | ContentProjection


@dataclass(frozen=True)
class Preprocessing:
    """A fitted way from raw blocks to the matrix that is clustered.

    Where inputs were chosen by what they tell of labels, `measure` says how, and `scores` has those that were kept.
    """

    blocks: tuple[FittedBlock, ...]
    dropped: tuple[Dropped, ...]
    categories: tuple[Category, ...] = ()
    measure: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    def expanded(self, blocks: Sequence[Block]) -> list[Block]:
        """Return the blocks with their text columns as the numbers that this was fitted with."""
        return [expanded(block, self.categories) for block in blocks]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The readable name behind each column of the matrix: a feature, or the block for axes."""
        names: list[str] = []
        for block in self.blocks:
            if isinstance(block, FeatureScaling):
                names.extend(column.name for column in block.columns)
            else:
                names.extend(block.name for _ in block.components)
        return tuple(names)

    @property
    def places(self) -> dict[str, slice]:
        """Which columns of the matrix each block has, by its name."""
        places: dict[str, slice] = {}
        first = 0
        for block in self.blocks:
            width = len(block.columns if isinstance(block, FeatureScaling) else block.components)
            places[block.name] = slice(first, first + width)
            first += width
        return places

    def transform(self, blocks: Sequence[Block]) -> FloatArray:
        """Return users x inputs of these users under the frozen parameters; extra columns are ignored."""
        count = user_count(blocks)
        given = {block.name: block for block in self.expanded(blocks)}
        result = np.empty((count, len(self.inputs)))
        first = 0
        for fitted in self.blocks:
            if fitted.name not in given:
                raise UnusableInput(f"The model was fitted with {fitted.name}, which is not among the inputs.")
            values = given[fitted.name].values
            if isinstance(fitted, ContentProjection):
                last = first + len(fitted.components)
                result[:, first:last] = _scaled(fitted.along(given[fitted.name].terms, values), fitted.scale)
            elif isinstance(fitted, FeatureScaling):
                last = first + len(fitted.columns)
                block = given[fitted.name]
                where = _positions(fitted, block.columns)
                scale_columns(block.figures, where, fitted.columns, fitted.scale, out=result[:, first:last])
            else:
                last = first + len(fitted.components)
                if values.shape[1] != len(fitted.center):
                    raise UnusableInput(
                        f"{fitted.name} has {values.shape[1]} dimensions, the model knows {len(fitted.center)}."
                    )
                result[:, first:last] = _scaled(fitted.along(values), fitted.scale)
            first = last
        return rounded(result)

    def without(
        self, reasons: Mapping[str, str], scores: Mapping[str, float] | None = None, measure: str = "none"
    ) -> "Preprocessing":
        """Return what is left when features are dropped for these reasons; an embedding goes as a whole.

        `scores` by this measure are of all features, those that stay too. The scale of a block stays what it was.
        """
        scores = scores or {}
        blocks: list[FittedBlock] = []
        dropped = list(self.dropped)
        for block in self.blocks:
            names = [column.name for column in block.columns] if isinstance(block, FeatureScaling) else [block.name]
            gone = [name for name in names if name in reasons]
            dropped.extend(Dropped(block.name, name, reasons[name], scores.get(name)) for name in gone)
            if len(gone) == len(names):
                continue
            if isinstance(block, FeatureScaling) and gone:
                block = replace(block, columns=tuple(column for column in block.columns if column.name not in gone))
            blocks.append(block)
        kept = {name: score for name, score in scores.items() if name not in reasons}
        by = measure if scores else self.measure
        return replace(self, blocks=tuple(blocks), dropped=tuple(dropped), measure=by, scores=kept or self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, texts and numbers, ready for JSON."""
        data = asdict(self)
        data["dropped"] = [{k: part for k, part in one.items() if part is not None} for one in data["dropped"]]
        return {name: part for name, part in data.items() if part or name not in ("categories", "measure", "scores")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """Return what `to_dict` wrote."""
        blocks: list[FittedBlock] = []
        for block in data["blocks"]:
            if "terms" in block:
                blocks.append(_content_from_dict(block))
            elif "columns" in block:
                columns = tuple(ColumnScaling(**column) for column in block["columns"])
                blocks.append(FeatureScaling(block["name"], columns, block["scale"]))
            else:
                components = tuple(tuple(axis) for axis in block["components"])
                blocks.append(
                    EmbeddingProjection(
                        block["name"], tuple(block["center"]), components, block["variance_kept"], block["scale"]
                    )
                )
        categories = tuple(Category.from_dict(category) for category in data.get("categories", ()))
        dropped = tuple(Dropped(**dropped) for dropped in data["dropped"])
        return cls(tuple(blocks), dropped, categories, data.get("measure"), data.get("scores", {}))


def fit_preprocessing(
    blocks: Sequence[Block], weights: Mapping[str, float] | None = None, repeated_above: float = REPEATED_ABOVE
) -> Preprocessing:
    """Return the parameters that these users give; `weights` by block name stand for 1 where they are left out.

    A column whose correlation with an earlier one is above `repeated_above`, or below its negative, is dropped.

    >>> from sqlseg.segments.blocks import feature_block
    >>> fitted = fit_preprocessing([feature_block("rfm@1", ["rfm__orders", "rfm__same"], [[1, 5], [2, 5], [3, 5]])])
    >>> fitted.inputs
    ('rfm__orders',)
    >>> fitted.dropped[0].reason
    'the same for every user'
    """
    user_count(blocks)
    weight_of = _weights(blocks, weights or {})
    fitted: list[FittedBlock] = []
    dropped: list[Dropped] = []
    kept_names: list[str] = []
    kept = np.empty((blocks[0].user_count, 0))
    categories, unusable = _fit_categories(blocks)
    dropped.extend(unusable)
    of_levels = {name: category for category in categories for name in category.names}
    for block in (expanded(block, categories) for block in blocks):
        if block.kind != "features":
            projection = _fit_axes(block, weight_of[block.name])
            if isinstance(projection, Dropped):
                dropped.append(projection)
            else:
                fitted.append(projection)
            continue
        columns: list[ColumnScaling] = []
        values = dict(zip(block.columns, block.values.T, strict=True))
        readable = {name: column for name, column in values.items() if name not in of_levels}
        scalings = dict(zip(readable, fit_columns(readable), strict=True))
        for name, column in values.items():
            scaling = scalings.get(name) or fit_level(name, column, len(of_levels[name].names))
            if isinstance(scaling, str):
                dropped.append(Dropped(block.name, name, scaling))
            else:
                columns.append(scaling)
        z = np.empty((block.user_count, len(columns)))
        scale_columns(block.figures, [block.columns.index(c.name) for c in columns], columns, 1.0, out=z)
        unique: list[int] = []
        repeated = _repeats(kept_names, kept, columns, z, repeated_above)
        for position, (column, repeats) in enumerate(zip(columns, repeated, strict=True)):
            if repeats:
                dropped.append(Dropped(block.name, column.name, repeats))
            else:
                unique.append(position)
        if unique:
            z = z[:, unique]
            scale = float(np.sqrt(weight_of[block.name] / z.var(axis=0).sum()))
            fitted.append(FeatureScaling(block.name, tuple(columns[i] for i in unique), scale))
            kept_names.extend(columns[i].name for i in unique)
            kept = np.hstack([kept, z])
    return Preprocessing(tuple(fitted), tuple(dropped), categories)


def _fit_categories(blocks: Sequence[Block]) -> tuple[tuple[Category, ...], list[Dropped]]:
    categories: list[Category] = []
    dropped: list[Dropped] = []
    for block in blocks:
        for column, values in block.texts.items():
            found = fit_category(block.name, column, values)
            if isinstance(found, str):
                dropped.append(Dropped(block.name, column, found))
            else:
                categories.append(found)
    return tuple(categories), dropped


def _fit_axes(block: Block, weight: float) -> EmbeddingProjection | ContentProjection | Dropped:
    projection = (
        fit_embedding(block.name, block.values, weight)
        if block.kind == "embedding"
        else fit_content(block.name, block.terms, block.values, weight)
    )
    return Dropped(block.name, block.name, projection) if isinstance(projection, str) else projection


def _content_from_dict(block: Mapping[str, Any]) -> ContentProjection:
    lists = {name: tuple(block[name]) for name in ("terms", "idf", "center")}
    components = tuple(tuple(axis) for axis in block["components"])
    return ContentProjection(**{**block, **lists, "components": components})


def _repeats(
    kept_names: Sequence[str], kept: FloatArray, columns: Sequence[ColumnScaling], z: FloatArray, above: float
) -> list[str | None]:
    """Return for each new column which earlier, surviving one it repeats."""
    names = [*kept_names, *(column.name for column in columns)]
    together = np.hstack([kept, z])
    together = together - together.mean(axis=0)
    together /= np.sqrt((together**2).sum(axis=0))
    correlation = np.round(together.T @ together, 6)
    alive = list(range(len(kept_names)))
    result: list[str | None] = []
    for position in range(len(kept_names), len(names)):
        twin = next((other for other in alive if abs(correlation[position, other]) > above), None)
        if twin is None:
            alive.append(position)
            result.append(None)
        else:
            result.append(f"repeats {names[twin]} (correlation {correlation[position, twin]:.3f})")
    return result


def _positions(fitted: FeatureScaling, columns: Sequence[str]) -> list[int]:
    missing = [column.name for column in fitted.columns if column.name not in columns]
    if missing:
        raise UnusableInput(
            f"The model was fitted with {', '.join(missing)}, which {fitted.name} does not have.",
            hint="A published view never changes its columns; restore it, or refit with --refit always.",
        )
    return [columns.index(column.name) for column in fitted.columns]


def _weights(blocks: Sequence[Block], weights: Mapping[str, float]) -> dict[str, float]:
    names = [block.name for block in blocks]
    for name, weight in weights.items():
        if name not in names:
            raise UnusableInput(
                f"A weight is given for {name!r}, which is no input.", hint=f"Inputs: {', '.join(names)}."
            )
        if not (np.isfinite(weight) and weight > 0):
            raise UnusableInput(f"The weight of {name!r} must be a positive number, got {weight}.")
    return {name: float(weights.get(name, 1.0)) for name in names}


def _scaled(along: FloatArray, scale: float) -> FloatArray:
    """Scale users x axes in place; who has nothing there sits at the centre."""
    np.copyto(along, 0.0, where=np.isnan(along))
    along *= scale
    return along
