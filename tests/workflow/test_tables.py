"""The segment tables against the same figures worked out by pandas from the events."""

import json
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind


def frame(shop, sql):
    rows = shop.rows(f"select column_name from (describe {sql})")
    return pd.DataFrame(shop.rows(sql), columns=[name for (name,) in rows])


@pytest.fixture(scope="module")
def lines(busy_shop):
    """Purchases and returns with their revenue and day, of the source's rows that have a user."""
    events = pd.read_parquet(busy_shop.directory / "data" / "events.parquet")
    lines = events[events.event_type.isin(["purchase", "return"])].copy()
    sign = lines.event_type.map({"purchase": 1.0, "return": -1.0})
    lines["revenue"] = (sign * lines.price * lines.quantity.fillna(1)).fillna(0)
    local = lines.event_time.dt.tz_localize("UTC").dt.tz_convert(ZoneInfo("Europe/London"))
    lines["day"] = local.dt.date
    lines["order"] = lines.order_id.fillna(lines.event_time.astype(str))
    return lines


@pytest.fixture(scope="module")
def members(busy_shop):
    return frame(busy_shop, "select user_id, segmentation, segment_id from segments.membership")


@pytest.mark.parametrize("segmentation", ["groups", "tier"])
def test_sizes_and_revenue_of_segments(busy_shop, lines, members, segmentation):
    mine = members[members.segmentation == segmentation]
    revenue = lines.groupby("user_id").revenue.sum()
    expected = (
        mine.assign(revenue=mine.user_id.map(revenue).fillna(0)).groupby("segment_id").revenue.agg(["size", "sum"])
    )
    found = frame(
        busy_shop,
        "select segment_id, user_count, share, revenue, revenue_share from segments.segment "
        f"where segmentation = '{segmentation}' and retired_at is null order by 1",
    ).set_index("segment_id")
    assert list(found.user_count) == list(expected["size"])
    np.testing.assert_allclose(found.revenue, expected["sum"], rtol=1e-9)
    np.testing.assert_allclose(found.share, expected["size"] / len(mine), rtol=1e-12)
    np.testing.assert_allclose(found.revenue_share, expected["sum"] / lines.revenue.sum(), rtol=1e-9)
    assert found.share.sum() == pytest.approx(1) and found.revenue_share.sum() == pytest.approx(1)


@pytest.mark.parametrize("segmentation", ["groups", "tier"])
def test_daily_activity_by_the_stays(busy_shop, lines, segmentation):
    """Day by day and user by user in Python: who was where at the end of the day, and what they bought on it."""
    stays = frame(
        busy_shop,
        "select user_id, segment_id, valid_from, valid_to from segments.membership_history "
        f"where segmentation = '{segmentation}' order by user_id, valid_from",
    )
    zone = ZoneInfo("Europe/London")

    def day_of(moment):
        return moment.tz_localize("UTC").tz_convert(zone).date()

    events = pd.read_parquet(busy_shop.directory / "data" / "events.parquet", columns=["user_id", "event_time"])
    first_day = events.groupby("user_id").event_time.min().map(day_of)
    last = day_of(events.event_time.max())
    found = frame(busy_shop, f"select * from segments.daily where segmentation = '{segmentation}'")
    assert found.date.max() == last
    assert found.date.min() == first_day.min()

    def segment_on(day):
        held = {}
        for user, its in stays.groupby("user_id"):
            if day < first_day[user]:
                continue
            begun = [row.segment_id for row in its.itertuples() if day_of(row.valid_from) <= day]
            held[user] = begun[-1] if begun else its.iloc[0].segment_id
        return held

    for day in [first_day.min(), *sorted(lines.day.unique())[::40], last]:
        held = segment_on(day)
        that_day = lines[(lines.day == day) & lines.user_id.isin(held)]
        segments = that_day.user_id.map(held)
        of_day = found[found.date == day].set_index("segment_id")
        assert of_day.user_count.to_dict() == pd.Series(held).value_counts().to_dict(), day
        bought = that_day[that_day.event_type == "purchase"]
        assert of_day.buyers.sum() == bought.user_id.nunique()
        assert of_day.orders.sum() == len(bought[["user_id", "order"]].drop_duplicates())
        for segment, revenue in that_day.groupby(segments).revenue.sum().items():
            assert of_day.revenue[segment] == pytest.approx(revenue)
        assert of_day.revenue.sum() == pytest.approx(that_day.revenue.sum())
    assert found.revenue.sum() == pytest.approx(lines.revenue.sum())


def test_profiles(busy_shop, members):
    mine = members[members.segmentation == "groups"].set_index("user_id").segment_id
    rfm = frame(busy_shop, "select * from features.rfm").set_index("user_id").astype(float)
    found = frame(busy_shop, "select * from segments.profile where segmentation = 'groups'")
    assert "embedding" not in " ".join(found.feature)
    for column in rfm:
        values = rfm[column].dropna()
        rows = found[found.feature == f"rfm__{column}"].set_index("segment_id")
        if rows.empty:
            assert values.nunique() <= 1
            continue
        groups = values.groupby(mine)
        expected = groups.agg(["count", "mean", "median"])
        np.testing.assert_allclose(rows["mean"].reindex(expected.index), expected["mean"], rtol=1e-9)
        np.testing.assert_allclose(rows["median"].reindex(expected.index), expected["median"], rtol=1e-9)
        np.testing.assert_allclose(rows.p10.reindex(expected.index), groups.quantile(0.1), rtol=1e-6)
        np.testing.assert_allclose(rows.p90.reindex(expected.index), groups.quantile(0.9), rtol=1e-6)
        np.testing.assert_allclose(rows.overall_mean, values.mean(), rtol=1e-9)
        np.testing.assert_allclose(rows.lift, rows["mean"] / values.mean(), rtol=1e-9)
        apart = pd.Series({s: ttest_ind(values[mine == s], values[mine != s]).statistic for s in expected.index})
        rest = len(values) - expected["count"]
        d = apart * np.sqrt((expected["count"] + rest) / (expected["count"] * rest))
        g = rows.effect_size.reindex(expected.index)
        np.testing.assert_allclose(g, d * (1 - 3 / (4 * len(values) - 9)), rtol=1e-4)
        assert (rows.effect_low < rows.effect_size).all() and (rows.effect_size < rows.effect_high).all()
        assert (rows.mean_low < rows["mean"]).all() and (rows["mean"] < rows.mean_high).all()
    assert sorted(found.groupby("segment_id")["rank"].min().unique()) == [1]


def test_how_probable_segments_are(busy_shop):
    found = frame(busy_shop, "select segmentation, assignment_probability from segments.membership")
    probability = found.set_index("segmentation").assignment_probability.astype(float)
    groups = probability["groups"]
    assert groups.between(0, 1).all() and np.allclose(groups * 10, (groups * 10).round())
    assert groups.mean() > 0.5
    assert probability["tier"].isna().all()


def test_features_of_every_user_side_by_side_with_the_segment(busy_shop):
    wide = frame(busy_shop, "select * from segments.groups_users")
    rfm = frame(busy_shop, "select * from features.rfm order by user_id")
    assert len(wide) == wide.user_id.nunique() == len(rfm) == 120
    merged = wide.sort_values("user_id").reset_index(drop=True)
    np.testing.assert_allclose(merged.rfm__spend.astype(float), rfm.spend.astype(float))
    assert {"segment_name", "segment_id", "cadence__gap_median_days"} <= set(wide.columns)


def test_a_segmentation_sums_itself_up(busy_shop):
    rows = busy_shop.rows("""
        select segmentation, kind, algorithm, model_version, segment_count, user_count, status, as_of, data_through
        from segments.segmentation order by 1
    """)
    newest = pd.read_parquet(busy_shop.directory / "data" / "events.parquet").event_time.max()
    assert [row[:2] for row in rows] == [("groups", "cluster"), ("tier", "rules")]
    assert rows[0][2] == "kmeans" and rows[0][4] == 3
    for row in rows:
        assert row[5] == 120 and row[6] == "ready"
        assert row[8] == newest.to_pydatetime()
        assert row[7] == pd.Timestamp(newest).normalize() + pd.Timedelta(days=1)  # winter: London keeps UTC


def test_confidence_is_that_of_the_two_nearest_centroids(busy_shop):
    for confidence, distance, runner_up, segment in busy_shop.rows(
        "select confidence, distance, runner_up_segment_id, segment_id from segments.membership "
        "where segmentation = 'groups'"
    ):
        assert 0.5 <= confidence <= 1
        assert distance >= 0
        assert runner_up is not None and runner_up != segment


def test_quarantine_and_counts(busy_shop):
    assert busy_shop.rows("select reason, count(*) from quality.rejected_events group by 1") == [("no user", 7)]
    assert busy_shop.rows("select events_total, events_rejected from segments.run order by run_id")[-1] == (3000, 7)


def test_every_check_passed(busy_shop):
    rows = busy_shop.rows("select check_name, relation, severity, passed, failing_rows from quality.check")
    assert {"one_segment_a_user", "daily_revenue_adds_up", "rfm@1.orders.not_null"} <= {row[0] for row in rows}
    assert all(passed == (failing == 0) for *_, passed, failing in rows)
    assert all(passed for _, _, severity, passed, _ in rows if severity == "error")


def test_reasons_say_what_the_command_says(busy_shop, members):
    found = frame(busy_shop, "select * from segments.reason")
    assert set(found.segmentation) == {"groups"}  # a rule is its own reason
    assert found.contribution.min() > 0
    assert found["rank"].between(1, 3).all()
    mine = members[members.segmentation == "groups"].set_index("user_id").segment_id
    profile = frame(busy_shop, "select * from segments.profile where segmentation = 'groups'").set_index(
        ["segment_id", "feature"]
    )
    for user in sorted(mine.index)[::40]:
        rows = found[found.user_id == user].sort_values("rank")
        told = json.loads(busy_shop.sqlseg("segments", "explain", user, "--json").out)
        reasons = next(one["reasons"] for one in told if one["segmentation"] == "groups")
        spoken = [one for one in reasons if one["contribution"] > 0][:3]
        assert list(rows.feature) == [one["feature"] for one in spoken]
        assert list(rows.contribution) == pytest.approx([one["contribution"] for one in spoken])
        for row, one in zip(rows.itertuples(), spoken, strict=True):
            if row.feature.startswith("encoder:"):
                assert pd.isna(row.value) and pd.isna(row.segment_mean)
                continue
            assert row.value == pytest.approx(one["value"], nan_ok=True)
            assert row.segment_mean == profile.loc[(mine[user], row.feature), "mean"]
            assert row.overall_mean == profile.loc[(mine[user], row.feature), "overall_mean"]


def test_rules_imitate_the_model_in_sql(busy_shop, members):
    mine = members[members.segmentation == "groups"].set_index("user_id").segment_id
    found = frame(busy_shop, "select * from segments.rule")
    assert set(found.segmentation) == {"groups"}
    assert set(found.segment_id) == set(mine)
    right = 0
    for row in found.dropna(subset="condition").itertuples():
        users = frame(busy_shop, f"select user_id from segments.groups_users where {row.condition}").user_id
        right += (mine[users] == row.segment_id).sum()
    fidelity = busy_shop.rows("select value from segments.metric where metric = 'rule_fidelity' order by run_id desc")
    assert right / len(mine) > 0.6
    assert 0.4 < fidelity[0][0] <= 1.0


def test_every_feature_of_every_model_is_kept_or_dropped_for_a_reason(busy_shop):
    rows = frame(busy_shop, "select * from segments.input")
    models = frame(busy_shop, "select segmentation, model_version, parameters from segments.model")
    fitted = {
        (row.segmentation, row.model_version): json.loads(row.parameters)["preprocessing"]
        for row in models.itertuples()
        if "preprocessing" in row.parameters
    }
    assert fitted and set(zip(rows.segmentation, rows.model_version, strict=True)) == set(fitted)
    for (name, version), preprocessing in fitted.items():
        mine = rows[(rows.segmentation == name) & (rows.model_version == version)].set_index("feature")
        dropped = {one["column"]: one["reason"] for one in preprocessing["dropped"]}
        assert mine[mine.status == "dropped"].reason.to_dict() == dropped
        kept = {
            feature
            for block in preprocessing["blocks"]
            for feature in ([c["name"] for c in block["columns"]] if "columns" in block else [block["name"]])
        }
        assert set(mine[mine.status == "kept"].index) == kept
        assert mine[["measure", "score", "rank"]].isna().all(axis=None)
