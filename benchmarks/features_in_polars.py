"""The ten shipped feature views in polars, lazily and for all cores, as a person who knows it well would write them.

Times are in UTC, as the benchmark's shop is. `all_features` is what features.py times.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

USER = "user_id"


def _is(kind: str) -> pl.Expr:
    return pl.col("event_type") == kind


def _over(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole != 0).then(part / whole)


def _days_before(as_of: datetime, time: pl.Expr) -> pl.Expr:
    return (pl.lit(as_of.date()) - time.dt.date()).dt.total_days()


def _sum(values: pl.Expr) -> pl.Expr:
    """The sum, missing where all values are: polars gives 0 there."""
    return pl.when(values.count() > 0).then(values.sum())


def _orders(events: pl.LazyFrame, cuts: pl.LazyFrame) -> pl.LazyFrame:
    lines = events.filter(pl.col("event_type").is_in(["purchase", "return", "coupon"])).with_columns(
        value=pl.col("price") * pl.col("quantity")
    )
    shop = cuts.filter(pl.col("category").is_null()).drop("category", "lines")
    own = cuts.filter(pl.col("category").is_not_null()).drop("lines")
    names = [f"p{tenth}0" for tenth in range(1, 10)]
    lines = lines.join(own, on="category", how="left").join(
        shop.rename({name: f"shop_{name}" for name in names}), how="cross"
    )
    bounds = [pl.coalesce(name, f"shop_{name}") for name in names]
    level = pl.sum_horizontal(
        *((pl.col("price") > bound).cast(pl.Int32) + (pl.col("price") >= bound).cast(pl.Int32) for bound in bounds)
    )
    priced = pl.col("price") > 0
    instant = pl.when(pl.col("order_id").is_null()).then(pl.col("event_time")).alias("instant")
    return lines.group_by(USER, "event_type", "order_id", instant).agg(
        pl.col("event_time").min(),
        lines=pl.len(),
        quantity=pl.col("quantity").sum(),
        value=_sum(pl.col("value")),
        discount=pl.col("discount").filter(pl.col("price").is_not_null()).clip(lower_bound=0).sum(),
        discounted=pl.col("value").filter(pl.col("discount").is_not_null()).sum(),
        level=level.filter(priced).sum(),
        levelled=priced.sum(),
    )


def _items(events: pl.LazyFrame) -> pl.LazyFrame:
    kinds = {"views": "view", "searches": "search", "carts": "cart", "favorites": "favorite", "purchases": "purchase"}
    looked = ["view", "cart", "favorite", "purchase"]
    shown, bought = pl.col("event_type").is_in(looked), _is("purchase")
    time = pl.col("event_time")
    return (
        events.filter(pl.col("event_type").is_in([*looked, "search"]))
        .group_by(USER, "item_id")
        .agg(
            pl.col("category").first(),
            *(_is(kind).sum().cast(pl.Int64).alias(name) for name, kind in kinds.items()),
            first_bought=time.filter(bought).min(),
            last_bought=time.filter(bought).max(),
            first_at=time.filter(shown).min(),
            last_at=time.filter(shown).max(),
        )
    )


def rfm(orders: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    bought, value = _is("purchase"), pl.col("value")
    at = pl.col("event_time").filter(bought)
    return (
        orders.filter(~_is("coupon"))
        .group_by(USER)
        .agg(
            recency_days=_days_before(as_of, at.max()),
            orders=bought.sum(),
            spend=_sum(pl.when(bought).then(value).otherwise(-value)).round(6),
            average_order_value=value.filter(bought).mean(),
            tenure_days=_days_before(as_of, at.min()),
        )
    )


def cadence(orders: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    gap, since = pl.col("gap"), _days_before(as_of, pl.col("day").max())
    return (
        orders.filter(_is("purchase"))
        .select(USER, day=pl.col("event_time").dt.date())
        .unique()
        .sort(USER, "day")
        .with_columns(gap=pl.col("day").diff().over(USER).dt.total_days())
        .group_by(USER)
        .agg(
            gap_median_days=gap.median(),
            gap_variation=pl.when(gap.count() >= 2).then(gap.std() / gap.mean()),
            overdue_ratio=since / gap.median(),
            next_purchase_in_days=gap.median() - since,
        )
    )


def basket(orders: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    value = pl.col("value").round(6)
    distinct = items.filter((pl.col("purchases") > 0) & pl.col("item_id").is_not_null()).group_by(USER)
    return (
        orders.filter(_is("purchase"))
        .group_by(USER)
        .agg(
            lines_per_order=pl.col("lines").mean(),
            quantity_per_order=pl.col("quantity").mean(),
            order_value_variation=pl.when(value.count() >= 2).then(_over(value.std(), value.mean())),
        )
        .join(distinct.agg(distinct_items=pl.len()), on=USER, how="left")
    )


def funnel(items: pl.LazyFrame) -> pl.LazyFrame:
    known = pl.col("item_id").is_not_null()
    viewed, carted, bought = (pl.col(name) > 0 for name in ("views", "carts", "purchases"))
    return items.group_by(USER).agg(
        pl.col("views", "searches", "carts", "favorites", "purchases").sum(),
        view_to_cart_rate=_over((known & viewed & carted).sum(), (known & viewed).sum()),
        cart_to_purchase_rate=_over((known & carted & bought).sum(), (known & carted).sum()),
        view_to_purchase_rate=_over((known & viewed & bought).sum(), (known & viewed).sum()),
    )


def affinity(items: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    since, count = as_of - timedelta(days=90), pl.col("events").cast(pl.Float64)
    first, last = pl.col("first_at"), pl.col("last_at")
    categories = (
        items.filter(pl.col("category").is_not_null() & first.is_not_null())
        .group_by(USER, "category")
        .agg(
            events=pl.sum_horizontal("views", "carts", "favorites", "purchases").sum(),
            first_at=first.min(),
            last_at=last.max(),
        )
    )
    interests = (
        categories.group_by(USER)
        .agg(
            distinct_categories=pl.len(),
            total=count.sum(),
            entropy=count.sum().log() - (count * count.log()).sum() / count.sum(),
            top=pl.struct("events", "category").sort_by("events", "category").last(),
            first_at=first.min(),
            recent=(last >= since).sum(),
            new=(first >= since).sum(),
        )
        .select(
            USER,
            "distinct_categories",
            category_evenness=pl.when(pl.col("distinct_categories") >= 2).then(
                (pl.col("entropy") / pl.col("distinct_categories").log()).clip(0, 1)
            ),
            top_category_share=pl.col("top").struct.field("events") / pl.col("total"),
            top_category=pl.col("top").struct.field("category"),
            new_category_share=pl.when(first < since).then(_over(pl.col("new"), pl.col("recent"))),
        )
    )
    begun, ended = pl.col("first_bought"), pl.col("last_bought")
    bought = (
        items.filter((pl.col("purchases") > 0) & pl.col("item_id").is_not_null())
        .group_by(USER)
        .agg(
            repeat_item_share=(ended.dt.date() > begun.dt.date()).mean(),
            begun=begun.min(),
            recent=(ended >= since).sum(),
            new=(begun >= since).sum(),
        )
        .select(
            USER,
            "repeat_item_share",
            new_item_share=pl.when(pl.col("begun") < since).then(_over(pl.col("new"), pl.col("recent"))),
        )
    )
    return interests.join(bought, on=USER, how="full", coalesce=True)


def price(orders: pl.LazyFrame) -> pl.LazyFrame:
    bought = _is("purchase")
    discount, full = pl.col("discount").filter(bought), pl.col("discounted").filter(bought)
    return (
        orders.filter(~_is("return"))
        .group_by(USER)
        .agg(
            price_level=_over(pl.col("level").filter(bought).sum() / 18, pl.col("levelled").filter(bought).sum()),
            discount_share=_over(discount.sum(), (discount + full).sum()),
            coupons_per_order=_over(pl.col("lines").filter(_is("coupon")).sum(), bought.sum()),
        )
    )


def returns(events: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    bought, back = _is("purchase"), _is("return")
    columns = [USER, "item_id", "event_time"]
    known = events.filter(pl.col("item_id").is_not_null())
    sent_back = known.filter(back).select(columns).unique().sort("event_time")
    purchases = known.filter(bought).select(*columns, bought_at="event_time").sort("event_time")
    waits = (
        sent_back.join_asof(purchases, on="event_time", by=[USER, "item_id"])
        .filter(pl.col("bought_at").is_not_null())
        .with_columns(days=(pl.col("event_time").dt.date() - pl.col("bought_at").dt.date()).dt.total_days())
        .group_by(USER)
        .agg(days_to_return=pl.col("days").mean())
    )

    def of(column: str, kind: pl.Expr) -> pl.Expr:
        return pl.col(column).filter(kind).sum()

    returned = pl.when(back.any()).then(_sum(pl.col("value").filter(back))).otherwise(0.0)
    value = _sum(pl.col("value").filter(bought))
    return (
        orders.filter(bought | back)
        .group_by(USER)
        .agg(
            returns=of("lines", back).cast(pl.Int64),
            return_rate_orders=_over(pl.min_horizontal(back.sum(), bought.sum()), bought.sum()),
            return_rate_quantity=_over(
                pl.min_horizontal(of("quantity", back), of("quantity", bought)), of("quantity", bought)
            ),
            return_rate_revenue=pl.when(returned.is_not_null()).then(_over(pl.min_horizontal(returned, value), value)),
        )
        .join(waits, on=USER, how="left")
    )


def _hours(events: pl.LazyFrame) -> pl.LazyFrame:
    time = pl.col("event_time")
    return (
        events.select(
            USER, hour=time.dt.truncate("1h"), clocked=time.dt.truncate("1s") != time.dt.date().cast(pl.Datetime("us"))
        )
        .group_by(USER, "hour")
        .agg(pl.col("clocked").any())
        .with_columns(day=pl.col("hour").dt.date())
    )


def rhythm(hours: pl.LazyFrame, holidays: Iterable[object]) -> pl.LazyFrame:
    quarter, hour_count = pl.col("hour").dt.hour() // 6, pl.len().cast(pl.Float64)
    clocked = pl.col("clocked")
    weekday = hours.group_by(USER, pl.col("day").dt.weekday().alias("weekday")).agg(
        hours=hour_count,
        clocked=clocked.sum(),
        night=(clocked & (quarter == 0)).sum(),
        morning=(clocked & (quarter == 1)).sum(),
        afternoon=(clocked & (quarter == 2)).sum(),
        evening=(clocked & (quarter == 3)).sum(),
        holiday=pl.col("day").is_in(list(holidays)).sum(),
    )
    total, number = pl.col("hours").sum(), pl.col("hours")
    entropy = (total.log() - (number * number.log()).sum() / total) / pl.min_horizontal(total, pl.lit(7.0)).log()
    return weekday.group_by(USER).agg(
        *(
            _over(pl.col(name).sum(), clocked.sum()).alias(f"{name}_share")
            for name in ("morning", "afternoon", "evening", "night")
        ),
        weekend_share=number.filter(pl.col("weekday") >= 6).sum() / total,
        weekday_entropy=pl.when(total >= 2).then(entropy.clip(0, 1)),
        holiday_share=pl.col("holiday").sum() / total,
    )


def sessions(events: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    time, timed, half_an_hour = pl.col("event_time"), pl.col("duration") >= 0, 1_800
    second, gap = time.dt.truncate("1s"), pl.col("gap")
    counted = {
        "events": pl.len(),
        "views": _is("view").sum(),
        "page_seconds": _sum(pl.col("duration").filter(timed)),
        "timed_pages": timed.sum(),
        "last_at": time.max(),
    }
    visited, named = events.filter(~_is("return")), pl.col("session_id").is_not_null()
    seconds = (time.max().dt.truncate("1s") - time.min().dt.truncate("1s")).dt.total_seconds()
    identified = (
        visited.filter(named)
        .group_by(USER, "session_id")
        .agg(sessions=pl.lit(1, pl.Int64).first(), seconds=seconds, **counted)
        .drop("session_id")
    )
    away = time.diff().over(USER).dt.total_microseconds() > half_an_hour * 1_000_000
    others = (
        visited.filter(~named)
        .sort(USER, "event_time")
        .with_columns(gap=second.diff().over(USER).dt.total_seconds(), away=away)
        .group_by(USER)
        .agg(
            sessions=(gap.is_null() | pl.col("away")).sum().cast(pl.Int64),
            seconds=gap.filter(~pl.col("away")).sum(),
            **counted,
        )
    )
    visits = pl.concat([identified, others], how="vertical_relaxed")
    views = pl.col("views").sum()
    return visits.group_by(USER).agg(
        sessions=pl.col("sessions").sum(),
        events_per_session=pl.col("events").sum() / pl.col("sessions").sum(),
        view_share=views / pl.col("events").sum(),
        minutes_per_session=pl.when(views > 0).then(pl.col("seconds").sum() / pl.col("sessions").sum() / 60),
        seconds_per_page=_over(pl.col("page_seconds").sum(), pl.col("timed_pages").sum()),
        idle_days=_days_before(as_of, pl.col("last_at").max()),
    )


def trend(hours: pl.LazyFrame, orders: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    now, start = as_of - timedelta(days=30), as_of - timedelta(days=120)
    day, at, value = pl.col("day"), pl.col("event_time"), pl.col("value")
    days = hours.group_by(USER).agg(
        age=(pl.lit(as_of.date()) - day.min()).dt.total_days(),
        days_now=day.filter(day >= now.date()).n_unique(),
        days_before=day.filter((day < now.date()) & (day >= start.date())).n_unique(),
    )
    bought = (
        orders.filter(_is("purchase") & (at >= start))
        .group_by(USER)
        .agg(
            orders_now=(at >= now).sum(),
            orders_before=(at < now).sum(),
            valued=value.count(),
            spend_now=value.filter(at >= now).sum().round(6),
            spend_before=value.filter(at < now).sum().round(6),
        )
    )
    spend = pl.col("spend_now") + pl.col("spend_before")
    counts = ("orders_now", "orders_before", "spend_now", "spend_before")

    def log_ratio(after: str, before: str, unit: pl.Expr) -> pl.Expr:
        length = pl.col("length")
        return ((pl.col(after) + 0.5 * unit) / 30 / ((pl.col(before) + 0.5 * unit * length / 30) / length)).log()

    return (
        days.join(bought, on=USER, how="left")
        .with_columns(
            length=pl.when(pl.col("age") >= 60).then((pl.col("age") - 30).clip(upper_bound=90)),
            unit=pl.when(pl.col("valued").is_null()).then(1.0).otherwise(_over(spend, pl.col("valued"))),
        )
        .with_columns(
            unit=pl.when(pl.col("unit") != 0).then(pl.col("unit")),
            **{name: pl.col(name).fill_null(0) for name in counts},
        )
        .select(
            USER,
            orders_trend=log_ratio("orders_now", "orders_before", pl.lit(1.0)),
            spend_trend=log_ratio("spend_now", "spend_before", pl.col("unit")),
            activity_trend=log_ratio("days_now", "days_before", pl.lit(1.0)),
        )
    )


def all_features(
    frame: pl.DataFrame, cuts: pl.DataFrame, holidays: Iterable[object], as_of: datetime
) -> dict[str, pl.DataFrame]:
    """Return the views by name; `frame` holds the events, `cuts` the price quantiles by category."""
    events = frame.lazy().with_columns(pl.col("quantity").fill_null(1.0))
    # What several views read is computed once; each of the collects uses all cores.
    orders, items, hours = pl.collect_all([_orders(events, cuts.lazy()), _items(events), _hours(events)])
    views = {
        "affinity": affinity(items.lazy(), as_of),
        "basket": basket(orders.lazy(), items.lazy()),
        "cadence": cadence(orders.lazy(), as_of),
        "funnel": funnel(items.lazy()),
        "price": price(orders.lazy()),
        "returns": returns(events, orders.lazy()),
        "rfm": rfm(orders.lazy(), as_of),
        "rhythm": rhythm(hours.lazy(), holidays),
        "sessions": sessions(events, as_of),
        "trend": trend(hours.lazy(), orders.lazy(), as_of),
    }
    return {name: view.collect() for name, view in views.items()}
