"""What is written must be read back by Prometheus' own parsers."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from sqlseg.engine.errors import PathNotWritable
from sqlseg.publish.openmetrics import Metric, Sample, openmetrics_text, write_metrics

METRICS = [
    Metric("shop_rounds", "counter", "Rounds.", (Sample({"result": "done"}, 3), Sample({"result": "failed"}, 1))),
    Metric("shop_users", "gauge", "Users.", (Sample({"project": 'a "quoted"\n\\name'}, 12.5),)),
    Metric("shop_nothing", "gauge", "Nothing yet.", ()),
]


def samples(families):
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


@pytest.mark.parametrize("parse", [openmetrics, prometheus])
def test_prometheus_reads_what_was_written(parse):
    assert samples(parse(openmetrics_text(METRICS))) == {
        ("shop_rounds_total", (("result", "done"),)): 3.0,
        ("shop_rounds_total", (("result", "failed"),)): 1.0,
        ("shop_users", (("project", 'a "quoted"\n\\name'),)): 12.5,
    }


def test_a_file_is_replaced_in_one_step_and_its_folder_made(tmp_path):
    path = tmp_path / "metrics" / "shop.prom"
    write_metrics(path, METRICS)
    before = path.stat().st_ino
    write_metrics(path, METRICS[:1])
    assert path.stat().st_ino != before
    assert [one.name for one in path.parent.iterdir()] == ["shop.prom"]
    assert path.read_text(encoding="utf-8").endswith("# EOF\n")


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "metrics").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(PathNotWritable, match=r"shop\.prom"):
        write_metrics(tmp_path / "metrics" / "shop.prom", METRICS)
