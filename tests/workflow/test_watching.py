"""Rounds of a shop that is watched: what comes in between, what fails, and who hears of it."""

import json
import threading
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from unittest.mock import patch

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from shops import CLUSTERS, RULES, Notes, Shop, bought, new_shop, views_read_once

from sqlseg.errors import SqlsegError
from sqlseg.publish import patching
from sqlseg.publish.spare import spare_file
from sqlseg.settings import load_settings
from sqlseg.workflow.monitoring import Monitor, NoWebhookAddress
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.watching import watch

DAY_ONE = [bought(f"u{n}", f"2024-01-{n:02}T10:00", 10.0 * n) for n in range(1, 25)]
MORE = [bought("u1", "2024-01-24T12:00", 500.0), bought("u30", "2024-01-24T13:00", 3.0)]


@pytest.fixture
def hook():
    """A web server on this machine that remembers what it is sent; `status` is what it answers."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(Handler.status)
            self.end_headers()

        def log_message(self, *arguments):
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.heard, server.handler = heard, Handler
    server.address = f"http://127.0.0.1:{server.server_port}/secret-path"
    yield server
    server.shutdown()
    server.server_close()


def watched(shop, *between, every=60.0, monitored=True):
    """Watch a shop for one round more than there are things to do in between; return the rounds and what was said."""
    rounds, waits, narrator = [], [], Notes()
    steps = iter(between)
    ticks = iter(range(10**9))

    def now():
        shop.now += timedelta(seconds=1)
        return shop.now

    def wait(seconds):
        waits.append(seconds)
        try:
            next(steps)()
        except StopIteration:
            raise KeyboardInterrupt from None

    monitor = Monitor.of(load_settings(shop.directory), narrator) if monitored else None

    def tell(one, tally):
        rounds.append(one)
        if monitor is not None:
            monitor.hear(one, tally)

    clock = Clock(now=now, seconds=lambda: float(next(ticks)))
    with views_read_once():
        tally = watch(shop.directory, Options(refit="never"), clock, narrator, every=every, wait=wait, tell=tell)
    return rounds, waits, narrator.texts, tally


def metrics(path):
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {
        (one.name, *(value for label, value in sorted(one.labels.items()) if label != "project")): one.value
        for family in families
        for one in family.samples
    }


def kinds(rounds):
    return [one.outcome.plan.kind if one.outcome else "failed" for one in rounds]


def test_rounds_take_in_what_has_come_and_publish_it_without_fitting_anew(tmp_path):
    shop = new_shop(tmp_path / "shop", DAY_ONE, RULES + CLUSTERS.replace('"never"', '"always"'))
    rounds, waits, _, tally = watched(shop, lambda: None, lambda: shop.events(*DAY_ONE, *MORE))
    assert kinds(rounds) == ["cold", "noop", "warm"]
    assert (tally.done, tally.noop, tally.failed) == (2, 1, 0)
    assert tally.events_new == 24 + 2
    assert all(0 <= seconds <= 60 for seconds in waits)
    assert shop.published("select count(*) from segments.membership where segmentation = 'tier'") == [(25,)]
    assert shop.published("select max(model_version) from segments.model where segmentation = 'groups'") == [(1,)]


def test_the_published_file_is_copied_between_rounds_for_the_next_one_to_patch(tmp_path):
    shop = new_shop(tmp_path / "shop", DAY_ONE, RULES + CLUSTERS)
    spare, there = spare_file(shop.published_file), []

    def look_and_add(*more):
        there.append(spare.exists())
        shop.events(*DAY_ONE, *more)

    with patch.multiple(patching, SMALLEST_BYTES=0, GROWS_AT_MOST=10):
        rounds, _, notes, _ = watched(shop, lambda: look_and_add(MORE[0]), lambda: look_and_add(*MORE))
    assert [one.outcome.plan.kind for one in rounds] == ["cold", "warm", "warm"]
    assert there == [True, True] and not spare.exists(), "none is left behind"
    assert not any("built whole" in note for note in notes)
    spent = "select count(*), sum(revenue) from segments.segment where segmentation = 'tier'"
    assert shop.published(spent) == shop.rows(spent)


def test_a_round_that_fails_keeps_what_is_published_and_the_next_ones_come_later(tmp_path):
    shop = new_shop(tmp_path / "shop", DAY_ONE)
    source = shop.directory / "data" / "events.parquet"
    away = source.with_suffix(".away")
    before = []

    def take_away():
        before.append(shop.published_file.read_bytes())
        source.rename(away)

    def bring_back():
        assert shop.published_file.read_bytes() == before[0]
        away.rename(source)
        shop.events(*DAY_ONE, *MORE)

    rounds, waits, _, tally = watched(shop, take_away, lambda: None, bring_back)
    assert kinds(rounds) == ["cold", "failed", "failed", "warm"]
    assert waits[1:3] == [120.0, 240.0]
    assert waits[3] <= 60
    assert "events.parquet" in rounds[1].error.message
    assert tally.failed == 2
    assert shop.published("select count(*) from segments.membership") == [(25,)]


def test_a_project_that_cannot_be_opened_is_an_error_at_once(tmp_path):
    with pytest.raises(SqlsegError, match="no folder"):
        watched(Shop(tmp_path / "gone"), monitored=False)


def test_a_note_is_told_in_one_round_only(tmp_path):
    shop = new_shop(tmp_path / "shop", [*DAY_ONE, bought(None, "2024-01-02T10:00", 1.0)])
    _, _, notes, _ = watched(shop, lambda: shop.events(*DAY_ONE, *MORE, bought(None, "2024-01-02T10:00", 1.0)))
    assert len(notes) == len(set(notes))
    assert any("no user: 1" in note for note in notes)


def test_figures_tell_of_rounds_freshness_and_refused_rows(tmp_path):
    shop = new_shop(tmp_path / "shop", [*DAY_ONE, bought(None, "2024-01-02T10:00", 1.0)], RULES + CLUSTERS)
    shop.settings(f'{RULES}{CLUSTERS}[monitoring]\nmetrics = "metrics/shop.prom"\n')
    shop.now = datetime(2024, 1, 25)
    path = shop.directory / "metrics" / "shop.prom"
    gone = shop.directory / "data" / "events.parquet"
    rounds, *_ = watched(shop, lambda: shop.events(*DAY_ONE, *MORE, bought(None, "2024-01-02T10:00", 1.0)), gone.unlink)
    assert kinds(rounds) == ["cold", "warm", "failed"]
    found = metrics(path)
    assert found["sqlseg_rounds_total", "done"] == 2
    assert found["sqlseg_rounds_total", "failed"] == 1
    assert found["sqlseg_failures_in_a_row",] == 1
    assert found["sqlseg_events_new_total",] == 26
    assert found["sqlseg_events",] == 26
    assert found["sqlseg_users",] == 25
    assert found["sqlseg_rejected_rows", "no user"] == 1
    through = (datetime(2024, 1, 24, 13) - datetime(1970, 1, 1)).total_seconds()
    assert found["sqlseg_data_through_timestamp_seconds",] == through
    assert found["sqlseg_last_success_timestamp_seconds",] < found["sqlseg_last_round_timestamp_seconds",]
    assert found["sqlseg_data_age_seconds",] == found["sqlseg_last_round_timestamp_seconds",] - through
    assert found["sqlseg_users_moved_total",] == sum(one.outcome.users_moved for one in rounds if one.outcome)
    assert ("sqlseg_drift_psi", "rfm__recency_days", "groups") in found
    assert found["sqlseg_drifted", "groups"] in (0, 1)


def test_the_webhook_hears_when_something_begins_and_when_it_is_over(tmp_path, hook, monkeypatch):
    shop = new_shop(tmp_path / "shop", DAY_ONE)
    shop.settings(f'{RULES}[monitoring]\nwebhook = "$SHOP_HOOK"\nstale_minutes = 60\n')
    monkeypatch.setenv("SHOP_HOOK", hook.address)
    shop.now = datetime(2024, 1, 24, 10, 30)
    source = shop.directory / "data" / "events.parquet"
    away = source.with_suffix(".away")

    def an_hour_later():
        shop.now += timedelta(hours=1)

    def new_ones():
        away.rename(source)
        shop.events(*DAY_ONE, bought("u1", "2024-01-24T11:29", 1.0))

    watched(shop, an_hour_later, lambda: source.rename(away), lambda: None, new_ones)
    told = [(one["event"], one["state"]) for one in hook.heard]
    assert told[:2] == [("stale", "firing"), ("failure", "firing")]
    assert sorted(told[2:]) == [("failure", "resolved"), ("stale", "resolved")]
    assert {one["project"] for one in hook.heard} == {"shop"}
    assert "events.parquet" in hook.heard[1]["message"]


def test_drift_is_told_with_its_reasons_and_stands_through_rounds_without_news(tmp_path, hook):
    shop = new_shop(tmp_path / "shop", DAY_ONE * 4, CLUSTERS)
    shop.settings(f'{CLUSTERS}[monitoring]\nwebhook = "{hook.address}"\nmetrics = "shop.prom"\n')
    later = [bought(f"n{n}", f"2024-03-01T{n % 24:02}:00", 5000.0) for n in range(300)]
    rounds, *_ = watched(shop, lambda: shop.events(*DAY_ONE, *later), lambda: None)
    assert kinds(rounds) == ["cold", "warm", "noop"]
    assert [(one["event"], one["state"], one["segmentation"]) for one in hook.heard] == [("drift", "firing", "groups")]
    assert "inputs have shifted" in hook.heard[0]["message"]
    assert metrics(shop.directory / "shop.prom")["sqlseg_drifted", "groups"] == 1


def test_a_webhook_that_fails_stops_no_round_and_its_address_stays_secret(tmp_path, hook):
    shop = new_shop(tmp_path / "shop", DAY_ONE)
    shop.settings(f'{RULES}[monitoring]\nwebhook = "{hook.address}"\nmetrics = "shop.prom"\nstale_minutes = 1\n')
    hook.handler.status = 500
    rounds, _, notes, _ = watched(shop, lambda: shop.events(*DAY_ONE, *MORE))
    assert kinds(rounds) == ["cold", "warm"]
    refused = [note for note in notes if "webhook" in note]
    assert refused == ["The webhook at 127.0.0.1 did not take the call: it answered 500 Internal Server Error."]
    assert metrics(shop.directory / "shop.prom")["sqlseg_webhook_failures_total",] == 1


def test_a_webhook_that_is_not_there_is_told(tmp_path, hook):
    shop = new_shop(tmp_path / "shop", DAY_ONE)
    hook.shutdown()
    hook.server_close()
    shop.settings(f'{RULES}[monitoring]\nwebhook = "{hook.address}"\nstale_minutes = 1\n')
    _, _, notes, tally = watched(shop)
    assert tally.done == 1
    assert any("did not take the call" in note and "secret" not in note for note in notes)


@pytest.mark.parametrize("value", [None, "", "file:///etc/passwd", "$OTHER"])
def test_an_environment_variable_without_an_address_is_an_error(tmp_path, monkeypatch, value):
    shop = new_shop(tmp_path / "shop", DAY_ONE)
    shop.settings(f'{RULES}[monitoring]\nwebhook = "$SHOP_HOOK"\n')
    monkeypatch.delenv("SHOP_HOOK", raising=False)
    if value is not None:
        monkeypatch.setenv("SHOP_HOOK", value)
    with pytest.raises(NoWebhookAddress, match="SHOP_HOOK"):
        watched(shop)


def test_figures_that_cannot_be_written_stop_no_round(tmp_path):
    shop = new_shop(tmp_path / "shop", DAY_ONE)
    shop.settings(f'{RULES}[monitoring]\nmetrics = "data/events.parquet/shop.prom"\n')
    _, _, notes, tally = watched(shop)
    assert tally.done == 1
    assert any("shop.prom cannot be opened" in note for note in notes)
