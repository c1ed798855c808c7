"""Segments learned from users whose segment is known, from the settings to the tables."""

import json

import pytest
from shops import RULES, bought, new_shop, viewed

from sqlseg.errors import SqlsegError
from sqlseg.segments import boosting
from sqlseg.settings import InvalidSettings
from sqlseg.workflow.ruling import RuleFailed

LEARNED = """
[segmentations.worth]
kind = "supervised"
inputs = ["rfm@1"]
labels = "sql/labels/worth.sql"
"""
POOR = [bought(f"poor{n:02}", f"2024-03-{1 + n % 9:02} 10:00", 10 + n) for n in range(30)]
RICH = [bought(f"rich{n:02}", f"2024-03-{1 + n % 9:02} 11:00", 1000 + n) for n in range(30)]
EVENTS = [*POOR, *RICH]
LATER = viewed("rich01", "2024-03-09 18:00")
USERS = "select user_id, label from read_csv('data/labels.csv', header = true, nullstr = '')"


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(boosting, "ROUNDS", 8)


def label(shop, **other):
    """The first 25 poor and rich are labelled, the others not; `other` labels win."""
    labels = {f"{kind.lower()}{n:02}": kind for kind in ("Poor", "Rich") for n in range(25)} | other
    rows = "".join(f"{user},{name}\n" for user, name in labels.items())
    shop.write("data/labels.csv", f"user_id,label\n{rows}")


def learning_shop(directory):
    shop = new_shop(directory, EVENTS, RULES + LEARNED)
    shop.write("sql/labels/worth.sql", "select user_id, label as segment_name from users\n")
    shop.write("sql/users.sql", USERS)
    label(shop)
    return shop


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "ROUNDS", 8)
        shop = learning_shop(tmp_path_factory.mktemp("learned") / "shop")
        shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def versions(shop):
    return [v for (v,) in shop.rows("select model_version from segments.model where segmentation = 'worth' order by 1")]


def members(shop):
    return dict(
        shop.rows("select user_id, segment_name from segments.membership where segmentation = 'worth' order by 1")
    )


def test_everybody_is_placed_as_the_labels_teach(shop):
    assert members(shop) == {row["user_id"]: row["user_id"][:4].capitalize() for row in EVENTS}
    rows = shop.published(
        "select distinct segment_id, runner_up_segment_id, distance, assignment_probability, "
        "confidence between 0.5 and 1 from segments.membership where segmentation = 'worth' order by 1"
    )
    assert rows == [("worth-1", "worth-2", None, None, True), ("worth-2", "worth-1", None, None, True)]
    assert shop.published(
        "select kind, algorithm, segment_count from segments.segmentation where segmentation = 'worth'"
    ) == [("supervised", "gradient_boosting", 2)]
    metrics = dict(shop.published("select metric, value from segments.metric where segmentation = 'worth'"))
    assert metrics["accuracy"] == metrics["auc"] == metrics["f1[worth-2]"] == 1.0
    assert (metrics["labelled_users"], metrics["held_out_users"]) == (50.0, 14.0)
    assert {"precision", "recall[worth-1]", "calibration_error", "mean_confidence", "rule_fidelity"} <= set(metrics)
    reasons = shop.published(
        "select count(distinct user_id), min(rank), max(rank) <= 3, min(contribution) > 0, count(distinct user_id) "
        "filter (feature in ('rfm__spend', 'rfm__average_order_value')) "
        "from segments.reason where segmentation = 'worth'"
    )
    assert reasons == [(60, 1, True, True, 60)]
    assert shop.published("select count(*) from segments.rule where segmentation = 'worth'") != [(0,)]


@pytest.mark.parametrize(
    ("algorithm", "stored"),
    [("logistic_regression", "regression"), ("label_spreading", "graph"), ("self_training", "regression")],
)
def test_other_algorithms_place_everybody_too_and_later_users_by_the_frozen_model(shop, algorithm, stored):
    shop.settings(RULES + LEARNED + f'algorithm = "{algorithm}"\n')
    outcome = shop.refresh()
    assert outcome.plan.segmentations[1].reasons == (f"algorithm is {algorithm}, was gradient_boosting",)
    assert members(shop) == {row["user_id"]: row["user_id"][:4].capitalize() for row in EVENTS}
    [(version, text)] = shop.rows(
        "select model_version, parameters from segments.model where segmentation = 'worth' and model_version = 2"
    )
    assert stored in json.loads(text) and "trees" not in json.loads(text)
    metrics = dict(
        shop.rows("select metric, value from segments.metric where segmentation = 'worth' order by run_id, metric")
    )
    assert metrics["accuracy"] == metrics["auc"] == 1.0 and metrics["held_out_users"] == 14.0
    assert ("bridge_agreement" in metrics) == (algorithm == "label_spreading")
    assert shop.refresh().plan.kind == "noop"
    confidence = "select user_id, confidence from segments.membership where segmentation = 'worth' order by 1"
    before = dict(shop.rows(confidence))
    shop.settings(RULES + LEARNED + f'algorithm = "{algorithm}"\nrefit = "never"\n')
    shop.events(*EVENTS, bought("stranger", "2024-03-09 10:00", 1010))
    assert shop.refresh().plan.kind == "warm" and versions(shop) == [1, version]
    assert members(shop)["stranger"] == "Rich"
    after = dict(shop.rows(confidence))
    assert {user: value for user, value in after.items() if user != "stranger"} == before
    ran = shop.sqlseg("segments", "show", "worth", "--sql")
    if stored == "graph":
        assert ran.code == 1 and "cannot be written as SQL: label_spreading places users by those" in ran.err
    else:
        assert ran.code == 0 and "features.rfm_v1" in ran.out


def test_nothing_new_changes_nothing_and_new_events_fit_nothing(shop):
    assert shop.refresh().plan.kind == "noop"
    shop.events(*EVENTS, LATER)
    outcome = shop.refresh()
    assert outcome.plan.kind == "warm" and versions(shop) == [1]
    assert (
        "inputs have shifted" in next(plan for plan in outcome.plan.segmentations if plan.name == "worth").reasons[-1]
    )
    assert shop.rows("select count(*) > 0 from segments.drift where segmentation = 'worth'") == [(True,)]


def test_a_label_that_changed_is_learned_at_the_next_refresh(shop):
    label(shop, rich29="Rich")
    planned = shop.plan().plan
    assert planned.kind == "refit"
    outcome = shop.refresh()
    assert outcome.plan.kind == "refit" and versions(shop) == [1, 2]
    [(told,)] = shop.rows("select inputs from segments.model where segmentation = 'worth' and model_version = 2")
    assert json.loads(told)["fitted_because"] == ["the labels have changed"]
    lineage = "select from_segment_id, to_segment_id, relation, overlap from segments.lineage where model_version = 2"
    assert shop.rows(f"{lineage} and segmentation = 'worth' order by 1") == [
        ("worth-1", "worth-1", "kept", 1.0),
        ("worth-2", "worth-2", "kept", 1.0),
    ]
    assert shop.refresh().plan.kind == "noop"


def test_refit_never_leaves_changed_labels_alone(shop):
    shop.settings(RULES + LEARNED + 'refit = "never"\n')
    label(shop, rich29="Rich")
    shop.refresh()
    assert versions(shop) == [1]


def test_labels_that_are_turned_around_move_everybody_because_of_the_model(shop):
    before = dict(shop.rows("select segment_name, segment_id from segments.segment where segmentation = 'worth'"))
    turned = {f"poor{n:02}": "Rich" for n in range(25)} | {f"rich{n:02}": "Poor" for n in range(25)}
    label(shop, **turned)
    shop.refresh()
    assert members(shop)["poor29"] == "Rich" and members(shop)["rich29"] == "Poor"
    assert (
        dict(shop.rows("select segment_name, segment_id from segments.segment where segmentation = 'worth'")) == before
    )
    causes = "select cause, sum(user_count)::int from segments.transition where segmentation = 'worth' and cause <> "
    assert shop.rows(f"{causes} 'first_seen' group by all") == [("model", 60)]


def test_labels_by_other_sql_are_another_definition(shop):
    shop.write(
        "sql/labels/worth.sql",
        "select user_id, case when spend > 500 then 'Dear' else 'Cheap' end as segment_name, timestamp '2024-01-01' "
        "+ interval (orders) day as labelled_at from features.rfm where spend < 1025\n",
    )
    outcome = shop.refresh()
    assert "labels changed" in next(plan for plan in outcome.plan.segmentations if plan.name == "worth").reasons
    assert set(members(shop).values()) == {"Dear", "Cheap"}
    causes = "select distinct cause from segments.transition where segmentation = 'worth' and cause <> 'first_seen'"
    assert shop.rows(causes) == [("definition",)]
    relations = "select relation, count(*) from segments.lineage where model_version = 2 and segmentation = 'worth'"
    assert shop.rows(f"{relations} group by all order by all") == [("born", 2), ("retired", 2)]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select user_id, 'Same' as segment_name from users", "at least two different labels"),
        ("select user_id, label as segment_name from users where user_id < 'rich10'", "'Rich' has 10"),
        ("select user_id, null as segment_name from users", "no user has a label"),
    ],
)
def test_too_few_labels_are_refused_at_their_key(shop, sql, told):
    shop.write("sql/labels/worth.sql", sql)
    with pytest.raises(InvalidSettings, match=r"sqlseg\.toml:\d+: segmentations.worth.labels: .*" + told):
        shop.refresh()


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select user_id, label as segment_name from users union all select 'rich01', 'Poor'", "two labels"),
        ("select user_id, if(user_id = 'rich01', 'RICH', label) as segment_name from users", "'RICH' and 'Rich'"),
        ("select user_id, label from users", "Return two columns"),
        ("select user_id, label as segment_name, 'soon' as labelled_at from users", "worth.sql"),
    ],
)
def test_labels_that_cannot_be_read_are_refused(shop, sql, told):
    shop.write("sql/labels/worth.sql", sql)
    with pytest.raises(RuleFailed) as caught:
        shop.refresh()
    assert told in f"{caught.value.message} {caught.value.hint}"


def test_an_unknown_algorithm_is_refused_at_its_line(shop):
    shop.settings(RULES + LEARNED + 'algorithm = "kmeans"\n')
    with pytest.raises(InvalidSettings, match=r'segmentations\.worth\.algorithm: there is no .* "gradient_boosting"'):
        shop.refresh()


def test_what_needs_a_formula_or_a_past_says_so(shop):
    ran = shop.sqlseg("segments", "show", "worth", "--sql")
    assert ran.code == 1 and "boosted trees" in ran.err
    assert shop.rows("select count(*) from duckdb_views() where view_name = 'worth_live'") == [(0,)]
    ran = shop.sqlseg("backtest", "--segmentation", "worth")
    assert ran.code == 1 and "labels are those of today" in ran.err
    ran = shop.sqlseg("segments", "show", "worth")
    assert ran.code == 0 and "supervised" in ran.out


def test_what_is_left_out_is_told(shop):
    dropped = dict(shop.published("select feature, reason from segments.input where status = 'dropped'"))
    assert dropped["rfm__orders"] == "the same for every user"
    assert dropped["rfm__average_order_value"] == "repeats rfm__spend (correlation 1.000)"
    told = shop.published("select parameters from segments.model where segmentation = 'worth'")
    kept = {name for (name,) in shop.published("select feature from segments.input where status = 'kept'")}
    assert kept == {c["name"] for block in json.loads(told[0][0])["preprocessing"]["blocks"] for c in block["columns"]}
    ran = shop.sqlseg("segments", "show", "worth")
    assert "Not used" in ran.out and "rfm__orders" in ran.out
    used = json.loads(shop.sqlseg("segments", "show", "worth", "--json").out)["inputs_used"]
    assert {one["feature"]: one["reason"] for one in used} == dropped


def test_features_that_go_together_are_kept_up_to_the_limit(shop):
    shop.settings(RULES + LEARNED + "correlation_limit = 1.0\n")
    outcome = shop.refresh()
    reasons = next(plan for plan in outcome.plan.segmentations if plan.name == "worth").reasons
    assert "correlation_limit is new" in reasons
    left_out = "select reason from segments.input where status = 'dropped' and model_version = "
    assert any("repeats" in reason for (reason,) in shop.rows(left_out + "1"))
    assert not any("repeats" in reason for (reason,) in shop.rows(left_out + "2"))
    shop.settings(RULES + LEARNED + "correlation_limit = 1.5\n")
    with pytest.raises(InvalidSettings, match=r"toml:\d+: segmentations\.worth\.correlation_limit: must be at most 1"):
        shop.refresh()


def test_inputs_are_chosen_by_what_they_tell_and_ranked(shop):
    more = 'inputs = ["rfm@1", "rhythm@1"]\nselect = "chi_squared"\nkeep = 2\n'
    shop.settings(RULES + LEARNED.replace('inputs = ["rfm@1"]\n', more))
    outcome = shop.refresh()
    reasons = next(plan for plan in outcome.plan.segmentations if plan.name == "worth").reasons
    assert {"select is new", "keep is new"} <= set(reasons)
    ranked = shop.published(
        "select feature, status, score, measure, rank from segments.input where rank is not null and model_version = 2 "
        "order by rank"
    )
    # Spend tells all there is to tell of two labels of 25 users each: chi squared is the number of users.
    assert ranked[0] == ("rfm__spend", "kept", 50.0, "chi_squared", 1)
    assert [status for _, status, *_ in ranked] == ["kept"] * 2 + ["dropped"] * (len(ranked) - 2)
    assert members(shop)["poor29"] == "Poor" and members(shop)["rich29"] == "Rich"
    ran = shop.sqlseg("segments", "show", "worth")
    assert "Inputs by chi_squared" in ran.out and "rank 3 of" not in ran.out
    told = json.loads(shop.sqlseg("segments", "show", "worth", "--json").out)["inputs_used"]
    assert told[2]["reason"] == f"rank 3 of {len(ranked)} by chi squared; 2 are kept"
    assert shop.refresh().plan.kind == "noop"


def test_inputs_are_turned_onto_axes_where_that_is_possible(shop):
    shop.settings(RULES + LEARNED + 'algorithm = "logistic_regression"\nprojection = "lda"\n')
    shop.refresh()
    assert shop.published("select feature, status, reason from segments.input where input = 'projection'") == [
        ("lda:1", "kept", "holds 100.0% of the differences between labels")
    ]
    assert members(shop)["poor29"] == "Poor" and members(shop)["rich29"] == "Rich"
    found = explained(shop, "rich01")
    assert found["reasons"][0]["feature"] == "rfm__spend"
    moves = [(move["feature"], move["segment_name"]) for move in found["moves"] if move["feature"]]
    assert moves == [("rfm__spend", "Poor")]
    columns = "user_id, segment_id, segment_name, runner_up_segment_id, round(confidence, 9)"
    live = shop.published(f"select {columns} from segments.worth_live order by 1")
    assert live == shop.published(f"select {columns} from segments.membership where segmentation = 'worth' order by 1")
    assert "features.rfm_v1" in shop.sqlseg("segments", "show", "worth", "--sql", "--dialect", "postgres").out
    shop.settings(RULES + LEARNED + 'projection = "lda"\n')
    with pytest.raises(InvalidSettings, match=r"toml:\d+: segmentations\.worth\.projection: must be .none. with grad"):
        shop.refresh()


def explained(shop, user):
    ran = shop.sqlseg("segments", "explain", user, "--json")
    assert ran.code == 0, ran.err
    return next(one for one in json.loads(ran.out) if one["segmentation"] == "worth")


def test_explain_splits_the_odds_and_says_what_would_move_the_user(shop):
    found = explained(shop, "rich01")
    strongest = found["reasons"][0]
    unknown = {reason["feature"] for reason in found["reasons"] if reason["value"] is None}
    assert "nan" not in shop.sqlseg("segments", "explain", "rich01").out.split() and not unknown & {"rfm__spend"}
    assert strongest["feature"] in ("rfm__spend", "rfm__average_order_value")
    assert strongest["value"] == 1001.0 and strongest["segment_mean"] > 1000.0
    kept = shop.published(
        "select feature, contribution from segments.reason where segmentation = 'worth' and user_id = 'rich01' "
        "order by rank"
    )
    expected = [(r["feature"], r["contribution"]) for r in found["reasons"] if r["contribution"] > 0]
    assert [name for name, _ in kept] == [name for name, _ in expected[:3]]
    assert [value for _, value in kept] == pytest.approx([value for _, value in expected[:3]])
    # Half of the labelled users are rich, so nobody in particular is as likely the one as the other.
    assert found["expected"] == pytest.approx(0.0, abs=0.01)
    # The poor spend 10 to 34, the rich from 1000 on: the border is between them.
    moves = {move["feature"]: move for move in found["moves"]}
    for feature in set(moves) & {"rfm__spend", "rfm__average_order_value"}:
        assert moves[feature]["segment_name"] == "Poor" and 34 <= moves[feature]["value"] < 1000
    ran = shop.sqlseg("segments", "explain", "rich01")
    assert ran.code == 0, ran.err
    assert "Of Rich against Poor, the odds are 1.0 to 1 for nobody in particular" in ran.out
    assert "the next likeliest is Poor" in ran.out and "If nothing happens: stays here for a year." in ran.out


def test_who_learns_from_days_leaves_with_time(shop):
    # Labels by recency, 1 to 9 days: whoever waits goes over to the late ones, on the day that the model says.
    shop.write(
        "sql/labels/worth.sql",
        "select user_id, if(recency_days <= 5, 'Early', 'Late') as segment_name from features.rfm\n",
    )
    shop.refresh()
    user, days = shop.rows(
        "select user_id, recency_days from features.rfm join segments.membership using (user_id) "
        "where segmentation = 'worth' and segment_name = 'Early' order by recency_days, user_id limit 1"
    )[0]
    found = explained(shop, user)
    ahead = [move for move in found["moves"] if move["days"] is not None]
    alone = next(move for move in found["moves"] if move["feature"] == "rfm__recency_days")
    assert ahead[0]["segment_name"] == "Late" and alone["segment_name"] == "Late"
    assert days < alone["value"] and 5 <= alone["value"] < 7
    assert ahead[0]["days"] >= 6 - days


def test_clusters_can_become_learned_segments_and_back(shop):
    clusters = '[segmentations.worth]\nkind = "cluster"\ninputs = ["rfm@1"]\nk = 2\n'
    shop.settings(RULES + clusters)
    shop.refresh()
    assert len(set(members(shop).values())) == 2
    shop.settings(RULES + LEARNED)
    shop.refresh()
    assert set(members(shop).values()) == {"Poor", "Rich"}
    assert shop.refresh().plan.kind == "noop"


def test_it_fits_beside_other_errors(shop):
    shop.write("sql/labels/worth.sql", "select user_id, event_type as segment_name from events")
    with pytest.raises(SqlsegError, match="cannot read 'events'"):
        shop.refresh()
