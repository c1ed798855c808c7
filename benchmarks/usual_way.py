"""The benchmark's job written the usual way: pandas, a padded ONNX session and scikit-learn, by a competent analyst.

Usage: python usual_way.py EVENTS.parquet RESULT.duckdb REPORT.json

It computes the columns of the ten feature views that sqlseg ships and the tokens of the behaviour encoder, from the
same events and as of the same moment, all in UTC. What is fair and unfair about it stands in README.md.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import holidays
import numpy as np
import onnxruntime
import pandas as pd
from peak_memory import peak_kb
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

COUNTRY = "GB"
INPUTS = ("rfm", "cadence", "basket", "price", "trend")
MODEL = Path(__file__).parents[1] / "onnx_models" / "behavior_v3"
BATCH_USERS = 2_048
KS = range(4, 13)
TYPE_ORDER = ["search", "view", "favorite", "cart", "coupon", "purchase", "review", "return"]

SECONDS: dict[str, float] = {}


@contextmanager
def step(name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    SECONDS[name] = SECONDS.get(name, 0.0) + time.perf_counter() - started


def read_events(path: Path) -> pd.DataFrame:
    events = pd.read_parquet(path).drop(columns=["true_group", "text"])
    events = events.sort_values("ingested_at").drop_duplicates("event_id", keep="last")
    usable = (
        events["user_id"].notna()
        & events["event_time"].notna()
        & ~(events["price"] < 0)
        & ~(events["quantity"] < 0)
        & ~(events["duration"] < 0)
    )
    events = events[usable].drop(columns=["event_id", "ingested_at"]).reset_index(drop=True)
    for column in ("user_id", "event_type", "item_id", "category"):
        events[column] = events[column].astype("category").cat.as_ordered()
    events["quantity"] = events["quantity"].fillna(1.0)
    events["value"] = events["price"] * events["quantity"]
    return events


def days_before(as_of: pd.Timestamp, times: pd.Series) -> pd.Series:
    return (as_of - times.dt.normalize()).dt.days


def order_table(events: pd.DataFrame) -> pd.DataFrame:
    """One row an order, of purchases and returns: first, last, lines, quantity, value."""
    lines = events[events["event_type"].isin(["purchase", "return"])]
    order = lines["order_id"].astype(object)
    order = order.where(order.notna(), lines["event_time"])
    grouped = lines.groupby(["user_id", "event_type", order.rename("order")], observed=True)
    orders = grouped.agg(
        first=("event_time", "min"), last=("event_time", "max"), lines=("value", "size"), quantity=("quantity", "sum")
    )
    orders["value"] = grouped["value"].sum(min_count=1)
    return orders.reset_index()


def rfm(orders: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    bought = orders[orders["event_type"] == "purchase"].groupby("user_id", observed=True)
    signed = orders["value"].where(orders["event_type"] == "purchase", -orders["value"])
    spend = signed.groupby(orders["user_id"], observed=True).sum(min_count=1)
    result = pd.DataFrame({"spend": spend.round(6)})
    result["recency_days"] = days_before(as_of, bought["last"].max())
    result["orders"] = bought.size()
    result["orders"] = result["orders"].fillna(0)
    result["average_order_value"] = bought["value"].mean()
    result["tenure_days"] = days_before(as_of, bought["first"].min())
    return result


def cadence(events: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    bought = events.loc[events["event_type"] == "purchase", ["user_id", "event_time"]]
    days = bought.assign(day=bought["event_time"].dt.normalize())[["user_id", "day"]].drop_duplicates()
    days = days.sort_values(["user_id", "day"])
    days["gap"] = days.groupby("user_id", observed=True)["day"].diff().dt.days
    grouped = days.groupby("user_id", observed=True)
    gaps = grouped["gap"]
    median, since = gaps.median(), days_before(as_of, grouped["day"].max())
    return pd.DataFrame(
        {
            "gap_median_days": median,
            "gap_variation": gaps.std().where(gaps.count() >= 2) / gaps.mean(),
            "overdue_ratio": since / median,
            "next_purchase_in_days": median - since,
        }
    )


def basket(events: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    bought = orders[orders["event_type"] == "purchase"]
    grouped = bought.assign(value=bought["value"].round(6)).groupby("user_id", observed=True)
    result = grouped.agg(lines_per_order=("lines", "mean"), quantity_per_order=("quantity", "mean"))
    purchases = events[events["event_type"] == "purchase"]
    items = purchases[["user_id", "item_id"]].dropna().drop_duplicates().groupby("user_id", observed=True).size()
    result["distinct_items"] = items
    values = grouped["value"]
    result["order_value_variation"] = values.std().where(values.count() >= 2) / values.mean().replace(0, np.nan)
    return result


def category_cuts(purchases: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    def cuts(prices: np.ndarray) -> np.ndarray:
        return np.sort(prices)[[-(-len(prices) * tenth // 10) - 1 for tenth in range(1, 10)]]

    priced = purchases[purchases["price"] > 0]
    by_category = {
        category: cuts(prices.to_numpy())
        for category, prices in priced.groupby("category", observed=True)["price"]
        if len(prices) >= 50
    }
    return pd.DataFrame.from_dict(by_category, orient="index"), cuts(priced["price"].to_numpy())


def price(events: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    purchases = events[events["event_type"] == "purchase"]
    own, shop = category_cuts(purchases)
    cuts = own.reindex(purchases["category"].astype(object)).fillna(dict(enumerate(shop))).to_numpy()
    paid = purchases["price"].where(purchases["price"] > 0).to_numpy()[:, None]
    level = (2 * (paid > cuts) + (paid == cuts)).sum(axis=1) / 18
    known = purchases["discount"].where(purchases["price"].notna())
    lines = pd.DataFrame(
        {
            "user_id": purchases["user_id"],
            "level": np.where(np.isnan(paid[:, 0]), np.nan, level),
            "discount": known.clip(lower=0),
            "full": known.clip(lower=0) + purchases["value"],
        }
    ).groupby("user_id", observed=True)
    coupons = events[events["event_type"] == "coupon"].groupby("user_id", observed=True).size()
    bought = orders[orders["event_type"] == "purchase"].groupby("user_id", observed=True).size()
    result = pd.DataFrame({"price_level": lines["level"].mean()})
    result["discount_share"] = lines["discount"].sum() / lines["full"].sum(min_count=1).replace(0, np.nan)
    result = result.reindex(result.index.union(coupons.index))
    result["coupons_per_order"] = coupons.reindex(result.index).fillna(0) / bought
    return result


def trend(events: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    now, start = as_of - pd.Timedelta(days=30), as_of - pd.Timedelta(days=120)
    age = days_before(as_of, events.groupby("user_id", observed=True)["event_time"].min())
    recent = events[events["event_time"] >= start]
    days = recent.assign(day=recent["event_time"].dt.normalize())[["user_id", "day"]].drop_duplicates()
    purchases = recent[recent["event_type"] == "purchase"]
    order = purchases["order_id"].astype(object)
    order = order.where(order.notna(), purchases["event_time"]).rename("order")
    grouped = purchases.groupby(["user_id", order], observed=True)
    orders = pd.DataFrame({"at": grouped["event_time"].max(), "value": grouped["value"].sum(min_count=1)}).reset_index()

    def count(frame: pd.DataFrame) -> pd.Series:
        return frame.groupby("user_id", observed=True).size().reindex(age.index).fillna(0)

    def spent(frame: pd.DataFrame) -> pd.Series:
        return frame.groupby("user_id", observed=True)["value"].sum().round(6).reindex(age.index).fillna(0)

    late = orders["at"] >= now
    length = (age - 30).clip(upper=90).where(age >= 60)
    spend_now, spend_before = spent(orders[late]), spent(orders[~late])
    bought = orders.groupby("user_id", observed=True)["value"].count().reindex(age.index)
    average = ((spend_now + spend_before).replace(0, np.nan) / bought.replace(0, np.nan)).where(bought.notna(), 1.0)

    def log_ratio(after: pd.Series, before: pd.Series, unit: float | pd.Series = 1.0) -> pd.Series:
        return np.log((after + 0.5 * unit) / 30 / ((before + 0.5 * unit * length / 30) / length))

    return pd.DataFrame(
        {
            "orders_trend": log_ratio(count(orders[late]), count(orders[~late])),
            "spend_trend": log_ratio(spend_now, spend_before, average),
            "activity_trend": log_ratio(count(days[days["day"] >= now]), count(days[days["day"] < now])),
        }
    )


def affinity(events: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    since = as_of - pd.Timedelta(days=90)
    touched = events[events["event_type"].isin(["view", "cart", "favorite", "purchase"]) & events["category"].notna()]
    categories = (
        touched.groupby(["user_id", "category"], observed=True)
        .agg(events=("event_time", "size"), first=("event_time", "min"), last=("event_time", "max"))
        .reset_index()
    )
    categories["spread"] = categories["events"] * np.log(categories["events"])
    categories["recent"], categories["new"] = categories["last"] >= since, categories["first"] >= since
    interests = categories.groupby("user_id", observed=True).agg(
        categories=("events", "size"),
        events=("events", "sum"),
        spread=("spread", "sum"),
        first=("first", "min"),
        recent=("recent", "sum"),
        new=("new", "sum"),
    )
    top = categories.sort_values(["events", "category"]).drop_duplicates("user_id", keep="last").set_index("user_id")
    entropy = np.log(interests["events"]) - interests["spread"] / interests["events"]
    several = interests["categories"].where(interests["categories"] >= 2)
    result = pd.DataFrame({"distinct_categories": interests["categories"]})
    result["category_evenness"] = (entropy / np.log(several)).clip(0, 1)
    result["top_category_share"] = top["events"] / interests["events"]
    result["top_category"] = top["category"].astype(object)

    bought = events[(events["event_type"] == "purchase") & events["item_id"].notna()]
    items = (
        bought.groupby(["user_id", "item_id"], observed=True)
        .agg(first=("event_time", "min"), last=("event_time", "max"))
        .reset_index()
    )
    items["repeated"] = items["last"].dt.normalize() > items["first"].dt.normalize()
    items["recent"], items["new"] = items["last"] >= since, items["first"] >= since
    purchases = items.groupby("user_id", observed=True).agg(
        repeated=("repeated", "mean"), first=("first", "min"), recent=("recent", "sum"), new=("new", "sum")
    )
    result = result.reindex(result.index.union(purchases.index))
    result["repeat_item_share"] = purchases["repeated"]
    for name, part in (("new_item_share", purchases), ("new_category_share", interests)):
        result[name] = (part["new"] / part["recent"].replace(0, np.nan)).where(part["first"] < since)
    return result


def funnel(events: pd.DataFrame) -> pd.DataFrame:
    kinds = {"views": "view", "searches": "search", "carts": "cart", "favorites": "favorite", "purchases": "purchase"}
    looked = events.loc[events["event_type"].isin(list(kinds.values())), ["user_id", "item_id", "event_type"]]
    flags = looked.assign(**{name: looked["event_type"] == kind for name, kind in kinds.items()})
    flags = flags.drop(columns="event_type")
    result = flags.groupby("user_id", observed=True)[list(kinds)].sum()
    items = flags.dropna(subset="item_id").groupby(["user_id", "item_id"], observed=True)[list(kinds)].max()
    reached = pd.DataFrame(
        {
            "viewed": items["views"],
            "carted": items["carts"],
            "viewed_and_carted": items["views"] & items["carts"],
            "viewed_and_bought": items["views"] & items["purchases"],
            "carted_and_bought": items["carts"] & items["purchases"],
        }
    )
    shares = (
        reached.groupby(level="user_id", observed=True).sum().replace({"viewed": {0: np.nan}, "carted": {0: np.nan}})
    )
    result["view_to_cart_rate"] = shares["viewed_and_carted"] / shares["viewed"]
    result["cart_to_purchase_rate"] = shares["carted_and_bought"] / shares["carted"]
    result["view_to_purchase_rate"] = shares["viewed_and_bought"] / shares["viewed"]
    return result


def returns(events: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    bought = orders[orders["event_type"] == "purchase"].groupby("user_id", observed=True)
    back = orders[orders["event_type"] == "return"].groupby("user_id", observed=True)
    users = orders["user_id"].drop_duplicates().sort_values()

    def of_users(values: pd.Series, missing: float | None = 0.0) -> pd.Series:
        values = values.reindex(users)
        return values if missing is None else values.fillna(missing)

    def rate(came_back: pd.Series, was_bought: pd.Series) -> pd.Series:
        return np.minimum(came_back, was_bought) / was_bought.replace(0, np.nan)

    returned_value = of_users(back["value"].sum(min_count=1), None).where(
        users.isin(back.groups.keys()).to_numpy(), 0.0
    )
    result = pd.DataFrame(
        {
            "returns": of_users(back["lines"].sum()),
            "return_rate_orders": rate(of_users(back.size()), of_users(bought.size())),
            "return_rate_quantity": rate(of_users(back["quantity"].sum()), of_users(bought["quantity"].sum())),
            "return_rate_revenue": rate(returned_value, of_users(bought["value"].sum(min_count=1), None)),
        }
    )
    columns = ["user_id", "item_id", "event_time"]
    known = events["item_id"].notna()
    sent_back = events.loc[(events["event_type"] == "return") & known, columns].drop_duplicates()
    purchases = events.loc[(events["event_type"] == "purchase") & known, columns]
    waits = pd.merge_asof(
        sent_back.sort_values("event_time"),
        purchases.assign(bought_at=purchases["event_time"]).sort_values("event_time"),
        on="event_time",
        by=["user_id", "item_id"],
    ).dropna(subset="bought_at")
    days = (waits["event_time"].dt.normalize() - waits["bought_at"].dt.normalize()).dt.days
    result["days_to_return"] = days.groupby(waits["user_id"], observed=True).mean()
    return result


def rhythm(events: pd.DataFrame) -> pd.DataFrame:
    times = events["event_time"]
    hours = pd.DataFrame(
        {
            "user_id": events["user_id"],
            "hour": times.dt.floor("h"),
            "clocked": times.dt.floor("s") != times.dt.normalize(),
        }
    )
    hours = hours.groupby(["user_id", "hour"], observed=True)["clocked"].max().reset_index()
    quarter = (hours["hour"].dt.hour // 6).where(hours["clocked"])
    weekday = hours["hour"].dt.day_of_week
    calendar = holidays.country_holidays(COUNTRY, years=sorted(times.dt.year.unique()))
    hours["holiday"] = hours["hour"].dt.normalize().isin(pd.to_datetime(list(calendar)))
    for number, name in enumerate(("night", "morning", "afternoon", "evening")):
        hours[name] = quarter == number
    hours["weekend"] = weekday >= 5
    grouped = hours.groupby("user_id", observed=True)
    sums = grouped[["clocked", "night", "morning", "afternoon", "evening", "weekend", "holiday"]].sum()
    total, clocked = grouped.size(), sums["clocked"].replace(0, np.nan)
    result = pd.DataFrame(
        {f"{name}_share": sums[name] / clocked for name in ("morning", "afternoon", "evening", "night")}
    )
    result["weekend_share"] = sums["weekend"] / total
    by_day = hours.groupby(["user_id", weekday.rename("weekday")], observed=True).size()
    spread = (by_day * np.log(by_day)).groupby(level="user_id", observed=True).sum()
    several = total.where(total >= 2)
    result["weekday_entropy"] = ((np.log(several) - spread / several) / np.log(several.clip(upper=7))).clip(0, 1)
    result["holiday_share"] = sums["holiday"] / total
    return result


def sessions(events: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    visited = events.loc[
        events["event_type"] != "return", ["user_id", "session_id", "event_type", "event_time", "duration"]
    ].sort_values(["user_id", "event_time"])
    visited["view"] = visited["event_type"] == "view"
    named = visited["session_id"].notna()
    with_id = visited[named].groupby(["user_id", "session_id"], observed=True)
    spans = with_id["event_time"].agg(["min", "max"])
    spans["seconds"] = (spans["max"].dt.floor("s") - spans["min"].dt.floor("s")).dt.total_seconds()
    by_user = spans.groupby(level="user_id", observed=True)
    counted, lengths = by_user.size(), by_user["seconds"].sum()
    others = visited[~named]
    gap = others.groupby("user_id", observed=True)["event_time"].diff().dt.total_seconds()
    pauses = (gap.isna() | (gap > 1800)).groupby(others["user_id"], observed=True).sum()
    lingered = gap.where(gap <= 1800, 0).groupby(others["user_id"], observed=True).sum()
    number, seconds = counted.add(pauses, fill_value=0), lengths.add(lingered, fill_value=0)
    users = visited.groupby("user_id", observed=True)
    pages = users["duration"]
    return pd.DataFrame(
        {
            "sessions": number,
            "events_per_session": users.size() / number,
            "view_share": users["view"].mean(),
            "minutes_per_session": (seconds / number / 60).where(users["view"].sum() > 0),
            "seconds_per_page": pages.sum() / pages.count().replace(0, np.nan),
            "idle_days": days_before(as_of, users["event_time"].max()),
        }
    )


DEFAULTS = {
    "rfm": {"orders": 0, "spend": 0},
    "basket": {"distinct_items": 0},
    "funnel": dict.fromkeys(("views", "searches", "carts", "favorites", "purchases"), 0),
    "returns": {"returns": 0},
    "sessions": {"sessions": 0},
}


def all_features(events: pd.DataFrame, as_of: pd.Timestamp) -> dict[str, pd.DataFrame]:
    orders = order_table(events)
    views = {
        "affinity": affinity(events, as_of),
        "basket": basket(events, orders),
        "cadence": cadence(events, as_of),
        "funnel": funnel(events),
        "price": price(events, orders),
        "returns": returns(events, orders),
        "rfm": rfm(orders, as_of),
        "rhythm": rhythm(events),
        "sessions": sessions(events, as_of),
        "trend": trend(events, as_of),
    }
    users = events["user_id"].cat.categories
    for name, view in views.items():
        absent = ~users.isin(view.index)
        view = view.reindex(users)
        for column, value in DEFAULTS.get(name, {}).items():
            view.loc[absent, column] = value
        views[name] = view
    return views


def half_up(values: pd.Series, digits: int) -> pd.Series:
    """Round as SQL does; NumPy rounds halves to even."""
    scaled = values * 10**digits
    return np.trunc(scaled + np.copysign(0.5, scaled)) / 10**digits


def tokens_of(events: pd.DataFrame) -> pd.DataFrame:
    """The last 64 tokens of every user, oldest first: user_id and the encoder's columns."""
    about_items = events[events["item_id"].notna()]
    by_item = about_items.groupby("item_id", observed=True)
    items = pd.DataFrame({"count": by_item.size()})
    items["typical_price"] = about_items[about_items["price"] > 0].groupby("item_id", observed=True)["price"].median()
    items = items.sort_index().sort_values("count", ascending=False, kind="stable")
    items["popularity"] = half_up(1 - (items["count"].cumsum() - items["count"] / 2) / items["count"].sum(), 3)
    purchases = events[events["event_type"] == "purchase"]
    paid = purchases["price"]
    steps = np.quantile(paid[paid > 0], np.arange(0.05, 1, 0.1))
    key = purchases["order_id"].astype(object).where(purchases["order_id"].notna(), purchases["event_time"])
    spends = purchases["value"].groupby([purchases["user_id"], key.rename("order")], observed=True).sum(min_count=1)
    typical_spend = spends[spends > 0].median()

    lines = events[events["event_type"].isin(TYPE_ORDER)]
    bought = lines["event_type"] == "purchase"
    lines = pd.DataFrame(
        {
            "user_id": lines["user_id"],
            "event_type": lines["event_type"],
            "order_id": lines["order_id"].where(bought),
            "instant": lines["event_time"].where(~bought | lines["order_id"].isna()),
            "time": lines["event_time"],
            "quantity": lines["quantity"],
            "discount": lines["discount"],
            "value": lines["value"],
            "item": lines["item_id"],
            "category": lines["category"],
            "popularity": lines["item_id"].map(items["popularity"]).astype(float),
            "price": lines["price"].where(
                lines["price"] > 0, lines["item_id"].map(items["typical_price"]).astype(float)
            ),
        }
    )
    place = np.searchsorted(steps, lines["price"].to_numpy(), side="left").astype(float)
    lines["steps"] = np.where(lines["price"].isna(), np.nan, place)
    grouped = lines.groupby(["user_id", "event_type", "order_id", "instant"], observed=True, dropna=False, sort=False)
    tokens = grouped.agg(
        time=("time", "min"),
        lines=("time", "size"),
        quantity=("quantity", "sum"),
        discount=("discount", "sum"),
        price_quantile=("steps", "mean"),
        popularity=("popularity", "mean"),
        item=("item", "min"),
        category=("category", "min"),
    )
    tokens["value"] = grouped["value"].sum(min_count=1)
    del lines, grouped
    tokens = tokens.reset_index().drop(columns="instant")
    tokens["type_order"] = tokens["event_type"].map({kind: n for n, kind in enumerate(TYPE_ORDER)}).astype(int)
    tokens = tokens.sort_values(["user_id", "time", "type_order", "order_id"], ignore_index=True)
    of_user = tokens.groupby("user_id", observed=True)
    place, count = of_user.cumcount() + 1, of_user["time"].transform("size")
    previous = of_user[["time", "item", "category"]].shift()
    second = tokens["time"].dt.floor("s")
    gap = (second - previous["time"].dt.floor("s")).dt.total_seconds()
    tenure = (second - of_user["time"].transform("min").dt.floor("s")).dt.total_seconds()
    clock = tokens["time"].dt
    value, discount = tokens["value"].round(6), tokens["discount"].round(6)
    worth = value.where(tokens["event_type"].isin(["purchase", "return"])).replace(0, np.nan) / typical_spend
    columns = {
        "kind": tokens["type_order"] + 1,
        "minute": 1440 * ((clock.dayofweek + 1) % 7) + 60 * clock.hour + clock.minute,
        "tenure": tenure,
        "place": place,
        "lines": tokens["lines"],
        "quantity": tokens["quantity"].round(6),
        "gap": gap.fillna(-1),
        "relative_spend": worth.clip(upper=1000).fillna(-1),
        "price_quantile": (tokens["price_quantile"] / 10).fillna(-1),
        "popularity": tokens["popularity"].fillna(-1),
        "same_item": tokens["item"].notna() & (tokens["item"].cat.codes == previous["item"].cat.codes),
        "same_category": tokens["category"].notna() & (tokens["category"].cat.codes == previous["category"].cat.codes),
        "discount_share": (discount / (discount + value).replace(0, np.nan)).fillna(0),
    }
    result = pd.DataFrame({name: column.astype(np.float32) for name, column in columns.items()})
    result.insert(0, "user_id", tokens["user_id"])
    return result[place > count - 64]


def embeddings_of(tokens: pd.DataFrame) -> pd.DataFrame:
    manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))
    values = tokens[manifest["columns"]].to_numpy(dtype=np.float32)
    users, lengths = np.unique(tokens["user_id"].cat.codes.to_numpy(), return_counts=True)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    session = onnxruntime.InferenceSession(str(MODEL / manifest["model"]), providers=["CPUExecutionProvider"])
    parts = []
    for first in range(0, len(users), BATCH_USERS):
        length, start = lengths[first : first + BATCH_USERS], starts[first : first + BATCH_USERS]
        batch = np.zeros((len(length), 64, values.shape[1]), dtype=np.float32)
        real = np.arange(64) < length[:, None]
        batch[real] = values[start[0] : start[-1] + length[-1]]
        parts.append(session.run(None, {"tokens": batch, "lengths": length.astype(np.int64)})[0])
    return pd.DataFrame(np.vstack(parts), index=tokens["user_id"].cat.categories[users])


def segment(views: dict[str, pd.DataFrame], embeddings: pd.DataFrame) -> pd.DataFrame:
    readable = pd.concat([views[name].add_prefix(f"{name}__") for name in INPUTS], axis=1)
    inputs = readable.join(embeddings.add_prefix("embedding_"))
    inputs = inputs.fillna(inputs.median()).fillna(0.0)
    X = PCA(0.9, random_state=0).fit_transform(StandardScaler().fit_transform(inputs.to_numpy(dtype=float)))
    best, best_score = None, -np.inf
    for k in KS:
        model = KMeans(k, n_init=10, random_state=0).fit(X)
        score = silhouette_score(X, model.labels_, sample_size=10_000, random_state=0)
        if score > best_score:
            best, best_score = model, score
    distances = np.sort(best.transform(X), axis=1)
    first, second = distances[:, 0] ** 2, distances[:, 1] ** 2
    return pd.DataFrame(
        {
            "user_id": inputs.index.astype(object),
            "segment_id": best.labels_,
            "distance": distances[:, 0],
            "confidence": second / (first + second),
        }
    )


def write_tables(
    path: Path, events: pd.DataFrame, views: dict[str, pd.DataFrame], embeddings: pd.DataFrame, members: pd.DataFrame
) -> None:
    segment_of = members["segment_id"].to_numpy()
    readable = pd.concat([view.select_dtypes("number").add_prefix(f"{name}__") for name, view in views.items()], axis=1)
    grouped = readable.groupby(segment_of)
    overall, spread = readable.mean(), readable.std()
    profile = pd.DataFrame(
        {
            "user_count": grouped.count().stack(),
            "mean": grouped.mean().stack(),
            "median": grouped.median().stack(),
            "p10": grouped.quantile(0.1).stack(),
            "p90": grouped.quantile(0.9).stack(),
            "z": ((grouped.mean() - overall) / spread).stack(),
        }
    ).reset_index(names=["segment_id", "feature"])
    active = events[events["event_type"].isin(["purchase", "return"])]
    revenue = active["value"].where(active["event_type"] == "purchase", -active["value"])
    daily = (
        pd.DataFrame(
            {
                "day": active["event_time"].dt.normalize(),
                "segment_id": segment_of[active["user_id"].cat.codes],
                "user_id": active["user_id"].cat.codes,
                "revenue": revenue,
            }
        )
        .groupby(["day", "segment_id"])
        .agg(buyers=("user_id", "nunique"), revenue=("revenue", "sum"))
        .reset_index()
    )
    vectors = pd.DataFrame({"user_id": embeddings.index.astype(object), "embedding": list(embeddings.to_numpy())})
    tables = {f"{name}_v1": view.rename_axis("user_id").reset_index() for name, view in views.items()}
    tables |= {"membership": members, "profile": profile, "daily": daily, "embeddings": vectors}
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        for name, frame in tables.items():
            if isinstance(frame["user_id"].dtype if "user_id" in frame else None, pd.CategoricalDtype):
                frame["user_id"] = frame["user_id"].astype(object)
            connection.register("frame", frame)
            connection.execute(f'create table "{name}" as select * from frame')
            connection.unregister("frame")


def main(events_path: Path, result_path: Path, report_path: Path) -> None:
    with step("events"):
        events = read_events(events_path)
        as_of = events["event_time"].max().normalize() + pd.Timedelta(days=1)
    with step("features"):
        views = all_features(events, as_of)
    with step("embeddings"):
        tokens = tokens_of(events)
        embeddings = embeddings_of(tokens)
        del tokens
    with step("segments"):
        members = segment(views, embeddings)
    with step("tables"):
        write_tables(result_path, events, views, embeddings, members)
    report = {
        "seconds": {name: round(value, 2) for name, value in SECONDS.items()},
        "segments": int(members["segment_id"].nunique()),
        "peak_kb": peak_kb(),
    }
    report_path.write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
