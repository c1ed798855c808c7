"""What analysts and BI tools rely on: relations, columns, comments and the format of the published file."""

import duckdb
import pytest

PUBLISHED = {
    "segments.segmentation": "segmentation kind algorithm model_version inputs segment_count user_count as_of "
    "data_through fitted_at refreshed_at status",
    "segments.segment": "segment_id segmentation segment_name description rule_sql user_count share revenue "
    "revenue_share created_at retired_at",
    "segments.membership": "user_id segmentation segment_id segment_name confidence distance runner_up_segment_id "
    "member_since as_of model_version assignment_probability",
    "segments.membership_history": "user_id segmentation segment_id valid_from valid_to cause run_id",
    "segments.transition": "run_id as_of segmentation from_segment_id to_segment_id cause user_count",
    "segments.lineage": "segmentation model_version from_segment_id to_segment_id relation overlap",
    "segments.daily": "date segmentation segment_id segment_name user_count buyers orders revenue",
    "segments.rule": "segmentation segment_id model_version condition precision recall",
    "segments.input": "segmentation model_version feature input status reason measure score rank",
    "segments.user_reason": "user_id segmentation segment_id rank feature value contribution",
    "segments.reason": "user_id segmentation rank feature value segment_mean overall_mean contribution",
    "segments.profile": "segmentation segment_id feature user_count mean median p10 p90 overall_mean lift z rank "
    "mean_low mean_high effect_size effect_low effect_high",
    "segments.content_profile": "segmentation segment_id input term user_count share overall_share lift rank",
    "segments.metric": "run_id as_of segmentation metric value",
    "segments.drift": "run_id as_of segmentation feature psi ks status",
    "segments.model": "segmentation model_version algorithm parameters inputs fitted_at fitted_as_of seed "
    "fit_user_count",
    "segments.run": "run_id kind status started_at finished_at as_of data_through events_total events_new "
    "events_rejected users_total users_touched users_embedded users_moved provider seconds versions error "
    "content_hash",
    "quality.rejection": "run_id reason row_count",
    "quality.check": "run_id check_name relation severity passed failing_rows",
    "segments.groups_users": "user_id segment_id segment_name confidence rfm__spend cadence__gap_median_days",
    "segments.tier_users": "user_id segment_id segment_name rfm__spend",
    "features.rfm_v1": "user_id recency_days orders spend",
    "features.rfm": "user_id recency_days orders spend",
    "stats.category_price_v1": "computed_as_of",
}
WAREHOUSE_ONLY = {
    "embeddings.behavior_v1": "user_id embedding input_hash model_sha256 provider embedded_at",
    "quality.rejected_events": "run_id reason row",
}
SHIPPED_VIEWS = dict.fromkeys(("affinity", "basket", "cadence", "funnel", "price", "returns", "rfm", "rhythm"), 1)
SHIPPED_VIEWS |= {"sessions": 1, "trend": 2}


@pytest.fixture(scope="module")
def published(busy_shop):
    with duckdb.connect(str(busy_shop.published_file), read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def warehouse(busy_shop):
    with duckdb.connect(str(busy_shop.warehouse_file), read_only=True) as connection:
        yield connection


def columns(connection, relation):
    schema, _, name = relation.partition(".")
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database() "
        "and schema_name = ? and table_name = ?",
        [schema, name],
    ).fetchall()
    return dict(rows)


def rows(connection, query):
    """Sorted rows; sums depend on the order of events in their last digits."""
    found = connection.execute(query).fetchall()
    return sorted(repr([float(f"{v:.9g}") if isinstance(v, float) else v for v in row]) for row in found)


@pytest.mark.parametrize("relation", PUBLISHED)
def test_promised_relations_are_in_both_files(published, warehouse, relation):
    promised = set(PUBLISHED[relation].split())
    assert promised <= columns(published, relation).keys()
    assert promised <= columns(warehouse, relation).keys()


@pytest.mark.parametrize("relation", PUBLISHED)
def test_both_files_hold_the_same_rows(published, warehouse, relation):
    if relation == "segments.run":
        return  # the run that publishes goes on after it, and says how long that took
    both = [name for name in columns(published, relation) if name in columns(warehouse, relation)]
    query = f"select {', '.join(both)} from {relation}"
    found = rows(published, query)
    assert found == rows(warehouse, query)
    assert found or relation in ("segments.lineage", "segments.drift"), f"{relation} is empty: a test of nothing"


@pytest.mark.parametrize("name", SHIPPED_VIEWS)
def test_every_user_has_a_row_in_every_feature_view(published, name):
    for relation in (f"features.{name}_v{SHIPPED_VIEWS[name]}", f"features.{name}"):
        assert published.execute(f"select count(*), count(distinct user_id) from {relation}").fetchone() == (120, 120)


@pytest.mark.parametrize("relation", WAREHOUSE_ONLY)
def test_what_stays_in_the_warehouse(published, warehouse, relation):
    assert set(WAREHOUSE_ONLY[relation].split()) <= columns(warehouse, relation).keys()
    assert columns(published, relation) == {}


def test_an_embedding_a_user(warehouse):
    kind = columns(warehouse, "embeddings.behavior_v1")["embedding"]
    assert kind.startswith("FLOAT[")
    assert warehouse.execute("select count(*), count(distinct user_id) from embeddings.behavior_v1").fetchone() == (
        120,
        120,
    )


def test_nothing_that_tells_a_single_event_is_published(published):
    schemas = {row[0] for row in published.execute("select distinct schema_name from duckdb_tables()").fetchall()}
    assert schemas <= {"segments", "features", "stats", "quality"}
    names = {row[0] for row in published.execute("select table_name from duckdb_tables()").fetchall()}
    assert not names & {"events", "users", "items", "rejected_events"}
    event_columns = {"event_id", "event_time", "order_id", "session_id", "embedding"}
    found = published.execute("select table_name, column_name from duckdb_columns() where not internal").fetchall()
    assert [row for row in found if row[1] in event_columns] == []


def test_every_relation_and_column_says_what_it_is(published):
    tables = published.execute("""
        select schema_name, table_name, comment from duckdb_tables()
        union all select schema_name, view_name, comment from duckdb_views() where not internal
    """).fetchall()
    assert [row[:2] for row in tables if not row[2]] == []
    bare = published.execute("""
        select schema_name, table_name, column_name from duckdb_columns()
        where not internal and nullif(comment, '') is null
    """).fetchall()
    assert bare == []


def test_every_public_relation_of_the_warehouse_says_what_it_is(warehouse):
    bare = warehouse.execute("""
        select schema_name, table_name, column_name from duckdb_columns()
        where not internal and nullif(comment, '') is null
            and schema_name in ('segments', 'quality', 'features', 'stats', 'embeddings')
    """).fetchall()
    assert bare == []


def test_the_published_file_opens_in_old_clients(busy_shop, published):
    # The oldest stable storage format, and nothing in it that DuckDB 0.10 and 1.0 stumble over.
    assert busy_shop.published_file.read_bytes()[12:20] == (64).to_bytes(8, "little")
    for what in ("duckdb_constraints() where constraint_type <> 'NOT NULL'", "duckdb_indexes()"):
        assert published.execute(f"select count(*) from {what}").fetchone() == (0,)
    kinds = published.execute("select distinct data_type from duckdb_columns() where not internal").fetchall()
    assert {kind for (kind,) in kinds} <= {"VARCHAR", "BIGINT", "INTEGER", "DOUBLE", "BOOLEAN", "TIMESTAMP", "DATE"}


def test_no_view_of_the_warehouse_needs_python(warehouse, busy_shop):
    # Any client can read every view: here one without sqlseg's functions.
    for schema, name in warehouse.execute(
        "select schema_name, view_name from duckdb_views() where not internal and schema_name <> 'main'"
    ).fetchall():
        warehouse.execute(f'select count(*) from {schema}."{name}"').fetchall()


def test_views_over_events_agree_with_what_is_published(published, warehouse):
    for name in SHIPPED_VIEWS:
        assert rows(published, f"from features.{name}") == rows(warehouse, f"from features.{name}"), name


def test_values_of_closed_sets(published):
    def values(column, relation):
        return {row[0] for row in published.execute(f"select distinct {column} from {relation}").fetchall()}

    assert values("kind", "segments.run") <= {"cold", "warm", "refit"}
    assert values("status", "segments.run") == {"done"}
    causes = {"first_seen", "late_data", "definition", "model", "behavior"}
    assert values("cause", "segments.membership_history") <= causes
    assert values("relation", "segments.lineage") <= {"kept", "split", "merged", "born", "retired"}
    assert values("kind", "segments.segmentation") == {"cluster", "rules"}
    assert all(0 <= value <= 1 for value in values("confidence", "segments.membership"))
    assert values("confidence", "segments.membership where segmentation = 'tier'") == {1.0}
    features = values("feature", "segments.profile") | values("feature", "segments.drift")
    assert all("__" in feature or feature in ("encoder:behavior@1", "content:category@1") for feature in features), (
        features
    )


def test_names_can_be_written_without_quotes_or_catalog(published):
    # The file's name must not make `segments.segment` ambiguous between catalog and schema.
    assert published.execute("select count(*) > 0 from segments.segment").fetchone() == (True,)
