"""An encrypted warehouse: refused in plain words where DuckDB cannot write one, and working where it can."""

import duckdb
import pytest
from shops import CLUSTERS, RULES, bought, new_shop

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.encryption import NoCrypto, WrongDatabaseKey

KEY = "b1946ac92492d2347c6235b4d2611184'x"
OTHER = "591785b794601e212b260e25925636fd"
ENCRYPTED = "[privacy]\nencrypt_warehouse = true\n"
EVENTS = [bought(f"customer-{n:02}", f"2024-03-{1 + n % 9:02} 10:00", 5.0 * (n + 1)) for n in range(24)]


def can_encrypt():
    try:
        with Engine.open(None) as engine:
            engine.load_crypto()
    except NoCrypto:
        return False
    return True


works = pytest.mark.skipif(not can_encrypt(), reason="DuckDB's extension httpfs is not installed on this machine")
refused = pytest.mark.skipif(can_encrypt(), reason="DuckDB's extension httpfs is installed on this machine")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("SQLSEG_WAREHOUSE_KEY", KEY)
    made = new_shop(tmp_path / "shop", EVENTS, f"{RULES}{CLUSTERS}")
    made.write("sql/users.sql", "select distinct user_id from read_parquet('data/*')")
    return made


def encrypt(shop, more=""):
    shop.settings(f"{RULES}{CLUSTERS}{ENCRYPTED}{more}")


@refused
def test_without_its_crypto_nothing_is_written_and_the_reader_learns_why(shop):
    encrypt(shop)
    for command in (["refresh"], ["plan"]):
        ran = shop.sqlseg(*command)
        assert ran.code == 1, command
        told = ran.err.replace("\n", " ")
        assert "httpfs" in told
        assert "INSTALL httpfs" in told
        assert "force_mbedtls_unsafe" not in told
        assert KEY not in told
    assert not shop.warehouse_file.exists()
    assert not shop.published_file.exists()


@refused
def test_a_plain_warehouse_stays_as_it_is_without_its_crypto(shop):
    shop.refresh()
    as_it_was = shop.warehouse_file.read_bytes()
    encrypt(shop)
    for command in (["refresh"], ["forget", "customer-01"], ["privacy", "encrypt"], ["check"]):
        ran = shop.sqlseg(*command)
        assert ran.code == 1, command
        assert "httpfs" in ran.err
    assert shop.warehouse_file.read_bytes() == as_it_was


def test_what_the_database_says_never_holds_the_key(tmp_path):
    with Engine.open(None) as engine, pytest.raises(Exception) as caught:
        engine.attach(tmp_path / "no" / "such.duckdb", "x", read_only=False, key=KEY)
    error = caught.value
    while error is not None:
        assert KEY not in str(error)
        assert KEY not in repr(error)
        error = error.__cause__ or error.__context__


def test_a_key_is_needed_and_must_protect_something(shop, monkeypatch):
    encrypt(shop)
    monkeypatch.setenv("SQLSEG_WAREHOUSE_KEY", "short")
    assert "needs 32 or more" in shop.sqlseg("refresh").err.replace("\n", " ")
    monkeypatch.delenv("SQLSEG_WAREHOUSE_KEY")
    assert "$SQLSEG_WAREHOUSE_KEY is not set" in shop.sqlseg("refresh").err.replace("\n", " ")
    for command in ("encrypt", "decrypt"):
        shop.settings(RULES if command == "encrypt" else f"{RULES}{ENCRYPTED}")
        ran = shop.sqlseg("privacy", command)
        assert ran.code == 1
        assert "encrypt_warehouse is" in ran.err
    encrypt(shop)
    assert "There is no" in shop.sqlseg("privacy", "encrypt").err


@works
def test_an_encrypted_warehouse_does_all_that_a_plain_one_does(shop, monkeypatch):
    shop.refresh()
    plain = shop.published("select segment_id, user_count, revenue from segments.segment order by 1")
    assert b"customer-01" in shop.published_file.read_bytes() or plain
    shop.warehouse_file.unlink()
    encrypt(shop)
    shop.refresh()
    assert shop.published("select segment_id, user_count, revenue from segments.segment order by 1") == plain
    shop.events(*EVENTS, bought("customer-new", "2024-03-10 10:00", 9.0))
    shop.refresh()
    assert shop.refresh().plan.kind == "noop"
    for command in (
        ["plan"],
        ["check"],
        ["doctor"],
        ["segments", "explain", "customer-02"],
        ["forget", "customer-01"],
        ["segments", "rename", "groups-1", "Friends"],
        ["features", "check"],
    ):
        ran = shop.sqlseg(*command)
        assert ran.code == 0, (command, ran.err)
    assert shop.sqlseg("refresh").code == 0
    assert shop.published("select count(*) from features.rfm") == [(24,)]
    with pytest.raises(duckdb.Error):
        duckdb.connect(str(shop.warehouse_file), read_only=True)
    for file in shop.directory.rglob("*"):
        if file.is_file() and file.parent.name != "data" and file != shop.published_file:
            assert b"customer-0" not in file.read_bytes(), file
            assert KEY.encode() not in file.read_bytes(), file
    # Without the setting, and with another key.
    shop.settings(f"{RULES}{CLUSTERS}")
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert "is encrypted" in ran.err.replace("\n", " ")
    encrypt(shop)
    monkeypatch.setenv("SQLSEG_WAREHOUSE_KEY", OTHER)
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert "does not open with the key" in ran.err.replace("\n", " ")
    assert OTHER not in ran.err


@works
def test_a_plain_warehouse_is_encrypted_and_decrypted(shop):
    shop.refresh()
    history = shop.rows("select * from segments.membership_history order by all")
    encrypt(shop)
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert "sqlseg privacy encrypt" in ran.err.replace("\n", " ")
    assert shop.sqlseg("privacy", "encrypt").code == 0
    assert b"customer-0" not in shop.warehouse_file.read_bytes()
    with Engine.open(shop.warehouse_file, key=KEY) as engine:
        assert engine.rows("select * from segments.membership_history order by all") == history
    with pytest.raises(WrongDatabaseKey):
        Engine.open(shop.warehouse_file, key=OTHER)
    assert shop.refresh().plan.kind == "noop"
    shop.settings(f"{RULES}{CLUSTERS}")
    assert shop.sqlseg("privacy", "decrypt").code == 0
    assert shop.rows("select * from segments.membership_history order by all") == history


@works
def test_what_is_spilled_is_encrypted_too(tmp_path):
    with Engine.open(tmp_path / "spills.duckdb", key=KEY, memory_limit="60MB", threads=1) as engine:
        assert engine.value("select current_setting('temp_file_encryption')") is True
        engine.execute("create table texts as select 'customer-' || i as text from range(1500000) as t (i)")
        assert engine.value("select count(*) from (select text from texts order by md5(text))") == 1_500_000
    assert b"customer-" not in (tmp_path / "spills.duckdb").read_bytes()
