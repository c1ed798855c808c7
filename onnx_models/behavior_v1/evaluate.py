"""Measures the shipped encoder beside plain RFM figures; prints the tables of README.md.

    python onnx_models/behavior_v1/evaluate.py

Question: who orders within 90 days? A logistic regression learns it from how users stood 180 days before the end
of a shop's data, and answers for how they stood 90 days before the end; the score is the area under the ROC curve.
Asked of simulated shops that no training saw, and of Online Retail (a real shop; from the folder SQLSEG_DATA).
"""

import argparse
import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pretrain import random_groups, random_shop, simulate_shop
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tokens import WINDOWS, Snapshot, load_shop, snapshot

from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.manifest import Encoder, load_manifest
from sqlseg.encoders.session import EncoderSession, open_session
from sqlseg.engine.duckdb import Engine
from sqlseg.synth import KNOWN_GROUPS, Shop

FOLDER = Path(__file__).resolve().parent
WINDOW = WINDOWS.index(90)

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


def embeddings(session: EncoderSession, shot: Snapshot) -> np.ndarray:
    """Return the embeddings of a snapshot's users."""
    return encode_ragged(shot.tokens, shot.offsets, session.run, session.encoder.manifest.dimensions)


def feature_sets(session: EncoderSession, shot: Snapshot) -> dict[str, np.ndarray]:
    """Return what the regressions may know, by name."""
    embedding = embeddings(session, shot)
    idle = np.log1p(shot.recency_days)[:, None]
    return {
        "RFM (4 figures)": shot.rfm,
        "embedding": embedding,
        "embedding + days since last event": np.hstack([embedding, idle]),
        "RFM + embedding": np.hstack([shot.rfm, embedding]),
    }


def scores(session: EncoderSession, before: Snapshot, after: Snapshot) -> dict[str, tuple[float, float]] | None:
    """Return (AUC of any order, R2 of log spend) by feature set; None where all or none ordered."""
    ordered = [shot.orders[:, WINDOW] > 0 for shot in (before, after)]
    if any(not 20 <= side.sum() <= len(side) - 20 for side in ordered):
        return None
    found = {}
    known, asked = feature_sets(session, before), feature_sets(session, after)
    for name in known:
        chance = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
        chance.fit(known[name], ordered[0])
        area = roc_auc_score(ordered[1], chance.predict_proba(asked[name])[:, 1])
        worth = float("nan")
        if np.isfinite(before.spend).all() and np.isfinite(after.spend).all():
            amount = make_pipeline(StandardScaler(), Ridge(alpha=10.0))
            amount.fit(known[name], np.log1p(before.spend[:, WINDOW]))
            worth = amount.score(asked[name], np.log1p(after.spend[:, WINDOW]))
        found[name] = (area, worth)
    return found


def snapshots(engine: Engine, end: datetime) -> tuple[Snapshot, Snapshot]:
    """Return the loaded shop 180 and 90 days before its end."""
    return snapshot(engine, end - timedelta(days=180), end), snapshot(engine, end - timedelta(days=90), end)


def show(title: str, rows: list[dict[str, tuple[float, float]]]) -> None:
    """Print the mean scores as a Markdown table."""
    print(f"\n{title}\n\n| what the regression knows | AUC: orders within 90 days | R2: log spend in 90 days |")
    print("|---|---|---|")
    for name in rows[0]:
        area = np.mean([row[name][0] for row in rows])
        worth = np.nanmean([row[name][1] for row in rows])
        print(f"| {name} | {area:.3f} | {worth:.3f} |")


def simulated(session: EncoderSession, count: int) -> None:
    """Measure on random shops with seeds that pretraining never uses."""
    rows, seed = [], 900_000
    while len(rows) < count:
        seed += 1
        rng = np.random.default_rng([20_231, seed])
        shop = random_shop(rng)
        groups = random_groups(rng)
        if shop.days < 400:
            continue
        with Engine.open(None, threads=1) as engine:
            load_shop(engine, simulate_shop(shop, groups, 1_200, seed))
            end = datetime.combine(shop.first_day, datetime.min.time()) + timedelta(days=shop.days)
            found = scores(session, *snapshots(engine, end))
        if found is not None:
            rows.append(found)
    better = sum(row["RFM + embedding"][0] > row["RFM (4 figures)"][0] for row in rows)
    show(f"Mean over {count} simulated shops that training did not see (RFM + embedding beats RFM in {better}):", rows)


def known_groups(session: EncoderSession) -> None:
    """Measure whether k-means finds the groups of the shop of `sqlseg synth`."""
    shop = Shop(days=240, views_per_visit=1.6, lines_per_order=1.4)
    events = simulate_shop(shop, KNOWN_GROUPS, 3_000, seed=5, pace=0.5)
    end = datetime.combine(shop.first_day, datetime.min.time()) + timedelta(days=shop.days)
    with Engine.open(None, threads=1) as engine:
        load_shop(engine, events)
        shot = snapshot(engine, end, end)
        truth = dict(engine.rows("select distinct user_id, true_group from history"))
    labels = [truth[user] for user in shot.users]
    print(f"\nAdjusted Rand index of k-means with {len(KNOWN_GROUPS)} clusters against the true groups:\n")
    print("| clustered on | adjusted Rand index |\n|---|---|")
    for name, values in feature_sets(session, shot).items():
        scaled = values if name == "embedding" else StandardScaler().fit_transform(values)
        found = KMeans(len(KNOWN_GROUPS), n_init=5, random_state=0).fit_predict(scaled)
        print(f"| {name} | {adjusted_rand_score(labels, found):.3f} |")


def real(session: EncoderSession, path: Path) -> None:
    """Measure on Online Retail."""
    with Engine.open(None, threads=1) as engine:
        events: pa.Table = engine.table(ONLINE_RETAIL, {"path": str(path)})
        load_shop(engine, events)
        end = engine.value("select max(event_time) from history")
        before, after = snapshots(engine, end)
    found = scores(session, before, after)
    assert found is not None
    share = float((after.orders[:, WINDOW] > 0).mean())
    show(f"Online Retail, {len(before.users)} then {len(after.users)} users, of whom {share:.0%} ordered:", [found])


def main() -> None:
    """Print all tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shops", type=int, default=12)
    options.add_argument("--encoder", type=Path, default=FOLDER, help="folder of model.onnx and manifest.json")
    given = options.parse_args()
    session = open_session(Encoder(given.encoder, load_manifest(given.encoder / "manifest.json")), "cpu")
    simulated(session, given.shops)
    known_groups(session)
    folder = os.environ.get("SQLSEG_DATA")
    if folder is None:
        print("\nOnline Retail is left out: SQLSEG_DATA does not name the folder of its data.")
    else:
        real(session, Path(folder) / "online_retail_2011.parquet")


if __name__ == "__main__":
    main()
