"""Pseudonyms: no user id in the published file, the same as long as the key is, and a way back for who holds it."""

import hmac
import json
import re

import pytest
from shops import CLUSTERS, RULES, bought, new_shop

from sqlseg.publish import patching

KEY = "c4d1f6ab2e9077b35d8842efa1906c3bd7e2"
OTHER = "00112233445566778899aabbccddeeff0011"
PSEUDONYMS = "[privacy]\npseudonyms = true\n"
USERS = [f"customer-{n:03}" for n in range(30)]
EVENTS = [
    bought(user, f"2024-03-{1 + (n * day) % 9:02} 10:00", 5.0 * (n + 1), event_id=f"{n}/{day}")
    for n, user in enumerate(USERS)
    for day in (1, 2)
]
NAMES_ONE = """
select user_id, case when user_id in ('customer-003') then 'Friends' when spend >= 100 then 'High' else 'Low' end
    as segment_name
from features.rfm
"""
MORE = f'{RULES}{CLUSTERS}pins = "sql/pins.sql"\n{PSEUDONYMS}'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A shop with users in every kind of table and text, published with pseudonyms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQLSEG_PSEUDONYM_KEY", KEY)
        shop = new_shop(tmp_path_factory.mktemp("pseudonyms") / "shop", EVENTS, MORE.replace(PSEUDONYMS, ""))
        shop.write("sql/segments/tier.sql", NAMES_ONE)
        shop.write("sql/users.sql", "select distinct user_id from read_parquet('data/*')")
        shop.settings(MORE.replace(PSEUDONYMS, "").replace('pins = "sql/pins.sql"\n', ""))
        shop.refresh()
        name = shop.rows("select segment_name from segments.segment where segmentation = 'groups' limit 1")[0][0]
        shop.write("sql/pins.sql", f"from (values ('customer-001', '{name}')) as v (user_id, segment_name)")
        shop.settings(MORE)
        shop.refresh()
        shop.change(
            "update segments.run set error = 'customer-004 did it', status = 'failed' where run_id = "
            "(select min(run_id) from segments.run)"
        )
        shop.events(*EVENTS, bought("customer-003", "2024-03-20 10:00", 90.0, event_id="more"))
        shop.refresh()
    return shop


@pytest.fixture
def shop(made, tmp_path, monkeypatch):
    monkeypatch.setenv("SQLSEG_PSEUDONYM_KEY", KEY)
    return made.copy(tmp_path / "shop")


def pseudonym(user, key=KEY):
    return hmac.new(key.encode(), user.encode(), "sha256").hexdigest()[:32]


def tables(shop):
    return [
        row[0]
        for row in shop.published(
            "select distinct schema_name || '.' || table_name from duckdb_columns() where not internal"
        )
    ]


def contents(shop):
    return {
        name: sorted(map(repr, shop.published(f"select * from {name}")))
        for name in tables(shop)
        if name not in ("segments.run", "quality.content")
    }


def test_every_table_names_users_by_pseudonym(shop):
    named = set()
    for name in tables(shop):
        columns = shop.published(f"select column_name from (describe {name})")
        if ("user_id",) in columns:
            named.add(name)
            there = shop.rows(f"select distinct user_id from {name}")
            assert {row[0] for row in shop.published(f"select distinct user_id from {name}")} == {
                pseudonym(row[0]) for row in there
            }, name
    assert named == {
        *(f"segments.{name}" for name in ("membership", "membership_history", "user_reason", "reason", "pin",
                                          "tier_users", "groups_users", "groups_live")),
        "features.rfm", "features.rfm_v1",
    }  # fmt: skip
    assert {row[0] for row in shop.rows("select user_id from segments.membership")} == set(USERS)


def test_rows_stay_with_their_users(shop):
    spent = dict(shop.rows("select user_id, spend from features.rfm"))
    found = dict(shop.published("select user_id, rfm__spend from segments.tier_users"))
    assert found == {pseudonym(user): value for user, value in spent.items()}
    for live, membership in [("segments.groups_live", "segments.membership where segmentation = 'groups'")]:
        query = "select user_id, segment_id from {} order by 1"
        held = pseudonym("customer-001")  # an analyst's pin, of which the model knows nothing
        assert [row for row in shop.published(query.format(live)) if row[0] != held] == [
            row for row in shop.published(query.format(membership)) if row[0] != held
        ]


def test_no_id_and_no_key_stands_anywhere_in_the_file(shop):
    data = shop.published_file.read_bytes()
    for name in tables(shop):
        found = "\n".join(map(repr, shop.published(f"select * from {name}")))
        assert "customer-" not in found, name
        assert KEY not in found
    definitions = shop.published("select sql from duckdb_views() union all select sql from duckdb_tables()")
    assert not any("customer-" in row[0] for row in definitions)
    assert KEY.encode() not in data
    assert KEY.encode() not in shop.warehouse_file.read_bytes()
    assert shop.published("select distinct rule_sql from segments.segment") == [(None,)]
    assert shop.published("select error from segments.run where error is not null") == [
        ("The message is in the warehouse.",)
    ]
    inputs = shop.published("select inputs from segments.model where segmentation = 'groups'")
    assert json.loads(inputs[0][0]) == {"inputs": ["rfm@1"]}
    # In the warehouse all of it is as it was.
    assert "customer-003" in shop.rows("select rule_sql from segments.segment where rule_sql is not null")[0][0]


def test_the_order_of_rows_tells_nothing_of_the_ids(shop):
    for name in ("segments.membership", "features.rfm_v1", "segments.membership_history"):
        found = [row[0] for row in shop.published(f"select user_id from {name} order by rowid")]
        assert found == sorted(found), name


def test_pseudonyms_stay_over_refreshes_and_patches(shop, monkeypatch):
    before = set(shop.published("select distinct user_id from segments.membership"))
    shop.refresh(full=True)
    assert set(shop.published("select distinct user_id from segments.membership")) == before
    shop.settings(f"{RULES}{CLUSTERS}{PSEUDONYMS}")  # with pins, everybody is placed anew
    shop.refresh()
    monkeypatch.setattr(patching, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(patching, "GROWS_AT_MOST", 100)
    patched = []
    patch_copy = patching.patch_copy
    monkeypatch.setattr("sqlseg.workflow.publishing.patch_copy", lambda *a: patched.append(1) or patch_copy(*a))
    more = [
        bought("customer-005", "2024-03-20 11:00", 70.0, event_id="late"),
        bought("customer-new", "2024-03-20 12:00", 70.0, event_id="new"),
    ]
    shop.events(*EVENTS, bought("customer-003", "2024-03-20 10:00", 90.0, event_id="more"), *more)
    shop.refresh()
    assert patched == [1]
    assert not any("built whole" in note for note in shop.notes), shop.notes
    warm = contents(shop)
    found = {row[0] for row in shop.published("select user_id from segments.membership")}
    assert found == {pseudonym(user) for user in [*USERS, "customer-new"]}
    shop.published_file.unlink()
    shop.refresh()
    assert patched == [1]
    assert contents(shop) == warm


def test_another_key_is_refused_with_a_way_forward(shop, monkeypatch):
    as_it_was = shop.published_file.read_bytes()
    monkeypatch.setenv("SQLSEG_PSEUDONYM_KEY", OTHER)
    for command in (["refresh"], ["plan"], ["forget", "customer-001"], ["privacy", "pseudonym", "customer-001"]):
        ran = shop.sqlseg(*command)
        assert ran.code == 1, command
        assert "another one than before" in ran.err
        assert "sqlseg privacy rekey" in ran.err.replace("\n", " ")
        assert OTHER not in ran.err
    assert shop.published_file.read_bytes() == as_it_was
    shop.warehouse_file.unlink()  # also where the warehouse is lost
    assert "another one than before" in shop.sqlseg("refresh").err
    assert shop.sqlseg("privacy", "rekey").code == 0
    assert shop.sqlseg("refresh").code == 0
    assert shop.published(
        f"select count(*) from segments.membership where user_id = '{pseudonym('customer-001', OTHER)}'"
    ) == [(2,)]


def test_a_new_key_is_published_though_nothing_is_new(shop, monkeypatch):
    monkeypatch.setenv("SQLSEG_PSEUDONYM_KEY", OTHER)
    assert json.loads(shop.sqlseg("privacy", "rekey", "--json").out)["key_fingerprint"]
    shop.refresh()
    assert {row[0] for row in shop.published("select user_id from features.rfm")} == {
        pseudonym(user, OTHER) for user in USERS
    }


def test_the_way_back(shop):
    one, two = pseudonym("customer-001"), pseudonym("customer-002")
    ran = shop.sqlseg("privacy", "pseudonym", "customer-001", "customer-002", "--csv")
    assert ran.out == f"user_id,pseudonym\ncustomer-001,{one}\ncustomer-002,{two}\n"
    shop.write("answers.txt", f"{two}\n{one}\n")
    ran = shop.sqlseg("privacy", "user", "--file", str(shop.directory / "answers.txt"), "--json")
    assert json.loads(ran.out) == [
        {"pseudonym": two, "user_id": "customer-002"}, {"pseudonym": one, "user_id": "customer-001"}
    ]  # fmt: skip
    ran = shop.sqlseg("privacy", "user", one, "f" * 32)
    assert ran.code == 1
    assert "1 of 2 pseudonyms" in ran.err
    assert "customer-001" in ran.out
    assert shop.sqlseg("privacy", "user").code == 1


def test_forgetting_takes_users_out_of_both_files(shop):
    gone = pseudonym("customer-002")
    assert gone.encode() in shop.published_file.read_bytes() or (gone,) in shop.published(
        "select user_id from features.rfm"
    )
    assert shop.sqlseg("forget", "customer-002").code == 0
    for name in tables(shop):
        assert gone not in "\n".join(map(repr, shop.published(f"select * from {name}"))), name
    assert shop.sqlseg("refresh").code == 0
    assert shop.published("select count(*) from features.rfm") == [(29,)]
    assert shop.sqlseg("privacy", "user", gone).code == 1


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (None, "$SQLSEG_PSEUDONYM_KEY is not set"),
        ("", "is not set"),
        ("short-secret", "needs 32 or more"),
        ("ab" * 20, "only 2 different characters"),
    ],
)
def test_a_key_that_protects_nothing_is_refused(shop, monkeypatch, key, told):
    monkeypatch.delenv("SQLSEG_PSEUDONYM_KEY")
    if key is not None:
        monkeypatch.setenv("SQLSEG_PSEUDONYM_KEY", key)
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert told in ran.err.replace("\n", " ")
    assert not key or key not in ran.err


def test_a_key_within_the_project_is_refused(shop):
    shop.write(".env", f"SQLSEG_PSEUDONYM_KEY={KEY}\n")
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert ".env" in ran.err
    assert KEY not in ran.err


def command(shop, *words):
    shop.settings(f"{RULES}{PSEUDONYMS}pseudonym_key_command = {json.dumps(words)}\n")
    return shop.sqlseg("refresh")


def test_the_key_of_a_command(shop, monkeypatch, tmp_path):
    monkeypatch.delenv("SQLSEG_PSEUDONYM_KEY")
    (tmp_path / "key.txt").write_text(f"{KEY}\n", encoding="utf-8")
    assert command(shop, "cat", str(tmp_path / "key.txt")).code == 0
    assert {row[0] for row in shop.published("select user_id from features.rfm")} == {pseudonym(u) for u in USERS}
    within = shop.write("secret/key.txt", f"{OTHER}\n")
    for words, told in [
        (["cat", str(within)], "lies within the project"),
        (["cat", "secret/key.txt"], "lies within the project"),
        (["no-such-program"], "cannot be run"),
        (["sh", "-c", f"echo {OTHER[:20]}; echo {OTHER} >&2; exit 3"], "ended with exit code 3"),
        (["echo", "short"], "a key of 5 characters"),
    ]:
        ran = command(shop, *words)
        assert ran.code == 1, words
        assert told in ran.err.replace("\n", " "), ran.err
        assert OTHER not in re.sub(r"\s", "", ran.err)
    shop.settings(f'{RULES}{PSEUDONYMS}pseudonym_key_command = "cat key"\n')
    assert "a list of a program" in shop.sqlseg("refresh").err


def test_commands_say_that_there_are_no_pseudonyms(shop):
    shop.settings(RULES)
    for words in (["pseudonym", "customer-001"], ["user", "ab"], ["rekey"]):
        ran = shop.sqlseg("privacy", *words)
        assert ran.code == 1
        assert "pseudonyms = true" in ran.err
