"""What segments are worth: how much of what users spend later lies between them, and how firmly they stand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.findings import Goal, Row, Table
from evaluation.learning import Moment, control_forecasts
from evaluation.measures import Counts, Figure, Floats, figure, quantile_groups, separations
from evaluation.repurchase import Inputs, rfm_score
from evaluation.segments import Segments, plain_kmeans, product_segments, stability

ETA, K, ARI = "eta squared", "segments", "ARI"
DEFAULT = "default segments"


@dataclass(eq=False)
class Worth:
    """Measures segmentations of the users of one moment; `amount` is ln(1 + later spend), or 0 and 1 without prices."""

    past: Sequence[Moment]
    now: Moment
    inputs: Inputs
    seeds: int
    counts: Counts
    stability_resamples: int
    _plain: dict[tuple[str, int], list[Segments]] = field(default_factory=dict)
    _control: list[Floats] = field(default_factory=list)

    @property
    def amount(self) -> Floats:
        """What segments should tell apart, one number a user."""
        spend = np.log1p(self.now.outcome.spend)
        return spend if np.isfinite(spend).all() else self.now.outcome.bought.astype(np.float64)

    def row(self, name: str, by_seed: Sequence[Segments], *, refitted: bool = False) -> Row:
        """Return the line of one segmentation, fitted once a seed."""
        amount = self.amount
        figures = {ETA: figure([lambda c, s=s: separations(amount, s.labels, c) for s in by_seed], self.counts)}
        if refitted:
            found = np.array([stability(s, self.stability_resamples, seed) for seed, s in enumerate(by_seed)])
            figures[ARI] = Figure(found, found)
        counts = [s.k for s in by_seed]
        words = {K: str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"}
        return Row(name, figures, words)

    def by_inputs(self, names: Sequence[str], weights: dict[str, float] | None = None) -> list[Segments]:
        """Return sqlseg's segments of these inputs, with the number of segments that each seed chooses."""
        blocks = [self.now.snapshot.blocks[name] for name in names]
        return [product_segments(blocks, seed, weights=weights) for seed in range(self.seeds)]

    def randomised(self, names: Sequence[str], weights: dict[str, float], seed: int, k: int) -> Segments:
        """Return segments of these inputs with the random-weights encoders of a seed in the encoders' place."""
        swapped = {name: self.inputs.shuffled[name][seed] for name in names if name in self.inputs.shuffled}
        blocks = [self.now.snapshot.blocks[swapped.get(name, name)] for name in names]
        return product_segments(blocks, seed, k, {swapped.get(name, name): w for name, w in weights.items()})

    def plain(self, kind: str, ks: Sequence[int]) -> list[Segments]:
        """Return a baseline with as many segments, seed by seed, as another segmentation has."""
        makers: dict[str, Callable[[int, int], Segments]] = {
            "k-means on RFM": lambda k, seed: plain_kmeans(self._values([self.inputs.rfm]), k, seed),
            "k-means on all feature views": lambda k, seed: plain_kmeans(self._values(self.inputs.rich), k, seed),
            "RFM score, cut in equal parts": lambda k, seed: self._cut(k),
            "back-dated control: k-means on boosted forecasts": lambda k, seed: plain_kmeans(
                self.control(seed), k, seed
            ),
        }
        for k in ks:
            if (kind, k) not in self._plain:
                self._plain[kind, k] = [makers[kind](k, seed) for seed in range(self.seeds)]
        return [self._plain[kind, k][seed] for seed, k in enumerate(ks)]

    def control(self, seed: int) -> Floats:
        """Return the forecasts of boosted trees on the shop's own past."""
        while len(self._control) <= seed:
            self._control.append(control_forecasts(self.past, self.now, list(self.inputs.rich), len(self._control)))
        return self._control[seed]

    def _cut(self, k: int) -> Segments:
        labels = quantile_groups(rfm_score(self.now, self.inputs.rfm), k)
        return Segments(labels, k, lambda rows: labels)

    def _values(self, names: Sequence[str]) -> Floats:
        return self.now.snapshot.matrix(list(names))


BASELINES = (
    "k-means on RFM",
    "k-means on all feature views",
    "RFM score, cut in equal parts",
    "back-dated control: k-means on boosted forecasts",
)


def default_worth(worth: Worth, names: Sequence[str], weights: dict[str, float]) -> tuple[Table, list[Goal]]:
    """Return the table of the default segments beside the baselines with as many segments, and the goals."""
    default = worth.by_inputs(names, weights)
    ks = [one.k for one in default]
    row = worth.row(DEFAULT, default, refitted=True)
    rows = [row, *(worth.row(kind, worth.plain(kind, ks), refitted=kind.startswith("k-means")) for kind in BASELINES)]
    rows.append(worth.row("RFM quintiles", worth.plain("RFM score, cut in equal parts", [5] * worth.seeds)))
    if worth.inputs.shuffled.keys() & set(names):
        others = [worth.randomised(names, weights, seed, k) for seed, k in enumerate(ks)]
        rows.append(worth.row("default inputs with the random-weights encoder", others))
    what = "ln(1 + later spend)" if np.isfinite(worth.now.outcome.spend).all() else "whether they bought"
    weighed = [name if weights.get(name, 1.0) == 1.0 else f"{name} (weight {weights[name]:g})" for name in names]
    table = Table(
        "What segments are worth",
        "segments",
        (ETA, K, ARI),
        tuple(rows),
        f"{len(worth.now.snapshot.users):,} users. "
        f"Eta squared is the share of the variance of {what} between segments. "
        f"Inputs of the default segments: {', '.join(weighed)}. Baselines have as many segments as the default.",
    )
    return table, worth_goals(row, {other.name: other for other in rows})


def worth_goals(row: Row, others: dict[str, Row], name: str = "default segments") -> list[Goal]:
    """Return the goals of a segmentation against its baselines."""
    eta = row.figures[ETA]
    rivals = [others[kind].figures[ETA] for kind in BASELINES[:2]]
    best = max(rivals, key=lambda figure: figure.mean)
    control = others[BASELINES[3]].figures[ETA]
    return [
        Goal(f"eta squared of {name}, less the better k-means on RFM or all feature views", eta - best, 0.02),
        Goal(f"eta squared of {name}, less that of the back-dated control", eta - control, -0.005),
        Goal(f"ARI of {name} fitted on bootstrap samples", row.figures[ARI], 0.85),
    ]


def candidates(worth: Worth, inputs: Sequence[tuple[tuple[str, ...], dict[str, float]]]) -> Table:
    """Return the table of several choices of inputs and weights, each beside baselines with as many segments."""
    rows = []
    for names, weights in inputs:
        found = worth.by_inputs(names, weights)
        ks = [one.k for one in found]
        name = ", ".join(one if one not in weights else f"{one} x {weights[one]:g}" for one in names)
        row = worth.row(name, found, refitted=True)
        rivals = [worth.row(kind, worth.plain(kind, ks)).figures[ETA] for kind in BASELINES[:2]]
        best = max(rivals, key=lambda figure: figure.mean)
        control = worth.row(BASELINES[3], worth.plain(BASELINES[3], ks)).figures[ETA]
        more = {"less the better k-means": row.figures[ETA] - best, "less the control": row.figures[ETA] - control}
        rows.append(Row(row.name, row.figures | more, row.words))
    columns = (ETA, K, ARI, "less the better k-means", "less the control")
    return Table("Which inputs serve best", "inputs", columns, tuple(rows))
