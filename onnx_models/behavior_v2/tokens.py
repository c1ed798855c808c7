"""Turns a shop's events into what the encoder reads and what it is to foretell, by the SQL that serves it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.synth import Shop, changing_groups, eventful_shop, random_groups, random_shop, simulate_shop

HORIZONS = (7, 14, 30, 60, 90, 180)
"""Days after a cut over which orders and spend are foretold."""


@dataclass(frozen=True)
class Snapshot:
    """All users of a shop as they stood at a cut.

    `tokens` has the shape (all tokens, columns), user i holds rows `offsets[i]:offsets[i + 1]`; `recency_days`
    (users,) is the time from the last token to the cut; `orders` and `spend` (users, horizons) are what followed,
    spend over the shop's typical order (NaN where it has no prices); `observed` (horizons,) says whether the
    horizon ended before the shop's data did. `rfm` (users, 4) holds the logs of recency, orders, spend and tenure.
    """

    users: list[str]
    columns: tuple[str, ...]
    tokens: np.ndarray
    offsets: np.ndarray
    recency_days: np.ndarray
    orders: np.ndarray
    spend: np.ndarray
    observed: np.ndarray
    rfm: np.ndarray


def simulated_shop(seed: int, users: int) -> tuple[Shop, pa.Table]:
    """Return a random shop and its events; every other shop has a calendar and users whose habits change."""
    rng = np.random.default_rng([20_232, seed])
    shop, groups = random_shop(rng), random_groups(rng)
    pace = float(np.exp(rng.normal(0.0, 0.5)))
    if seed % 2:
        shop, groups = eventful_shop(shop, rng), changing_groups(groups, rng)
        pace *= shop.campaign_lift if shop.campaigns else 1.5
    return shop, simulate_shop(shop, groups, users, seed, pace)


def load_shop(engine: Engine, events: pa.Table) -> None:
    """Put a shop's events into the engine as `history`; times count as local."""
    with engine.registered("incoming", events):
        engine.execute("create or replace table history as select *, event_time as local_time from incoming")


def snapshot(engine: Engine, cut: datetime, end: datetime) -> Snapshot:
    """Return every user with a token before `cut`, and what followed until `end`, from the loaded shop."""
    engine.execute("create schema if not exists stats")
    engine.execute(
        "create or replace table events as select * from history where event_time < $cut::timestamp", {"cut": cut}
    )
    for name in ("shop_scale", "item_standing"):
        text = sql_text(f"statistics/{name}__v1.sql")
        engine.execute(f"create or replace table stats.{name}_v1 as {text}")
    table = engine.table(f"select * from ({sql_text('sequences/behavior__v1.sql')}) order by user_id, position")
    columns = tuple(table.column_names[2:])
    tokens = np.stack([table[name].to_numpy() for name in columns], axis=1).astype(np.float32)
    starts = np.flatnonzero(table["position"].to_numpy() == 1)
    users = table["user_id"].take(pa.array(starts)).to_pylist()
    future = engine.table(_FUTURE, {"cut": cut, "windows": list(HORIZONS)}).filter(
        pc.is_in(pc.field("user_id"), pa.array(users))
    )
    typical = engine.value("select typical_order_spend from stats.shop_scale_v1")
    shape = (len(users), len(HORIZONS))
    standing = engine.table(_STANDING, {"cut": cut}).filter(pc.is_in(pc.field("user_id"), pa.array(users)))
    spend = future["spend"].to_numpy().reshape(shape)
    days = (end - cut).total_seconds() / 86_400
    scale = typical if typical else np.nan
    rfm = np.stack(
        [
            np.log1p(standing["recency_days"].to_numpy()),
            np.log1p(standing["orders"].to_numpy()),
            np.log1p(standing["spend"].to_numpy() / (typical or 1.0)),
            np.log1p(standing["tenure_days"].to_numpy()),
        ],
        axis=1,
    )
    return Snapshot(
        users=users,
        columns=columns,
        tokens=tokens,
        offsets=np.append(starts, len(tokens)),
        recency_days=standing["idle_days"].to_numpy(),
        orders=future["orders"].to_numpy().reshape(shape).astype(np.float64),
        spend=spend / scale,
        observed=np.array([days_ahead <= days for days_ahead in HORIZONS]),
        rfm=rfm,
    )


_FOLDER = Path(__file__).resolve().parent
_FUTURE = (_FOLDER / "future.sql").read_text(encoding="utf-8")
_STANDING = (_FOLDER / "standing.sql").read_text(encoding="utf-8")
