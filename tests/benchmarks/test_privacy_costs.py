"""The benchmark of privacy settings measures what it says: a refresh that looks for users, and publishes pseudonyms."""

import re

import duckdb
import privacy
import pytest


@pytest.mark.slow
def test_it_looks_for_forgotten_users_and_publishes_pseudonyms(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SQLSEG_PSEUDONYM_KEY", "")
    monkeypatch.setattr(privacy, "SETTINGS", privacy.SETTINGS + '[features]\npublish = ["rfm@1"]\n')
    privacy.main(tmp_path, 60, 1200, 5)
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told] == ["as ever", "[privacy]", "5 forgotten"]
    assert float(re.search(r"which ([\d.]+) s looking", told[2])[1]) > 0
    with duckdb.connect(str(tmp_path / "published" / "customer_segments.duckdb"), read_only=True) as published:
        # The last of the three is as ever again.
        assert published.execute("select count(*) from features.rfm where length(user_id) = 32").fetchone() == (0,)
    assert len((tmp_path / "warehouse.duckdb.erased").read_text().splitlines()) == 6
