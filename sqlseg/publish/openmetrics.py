"""Figures about a running project in the OpenMetrics text format, as Prometheus and its node exporter read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlseg.engine.errors import PathNotWritable

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True)
class Sample:
    """One value, told from the others of its metric by labels."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Metric:
    """A figure by its name in Prometheus' manner: lower case, its unit at the end; of a counter without `_total`."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


class _Collector:
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for metric in self.metrics:
            labels = list(metric.samples[0].labels) if metric.samples else []
            family = families[metric.kind](metric.name, metric.help, labels=labels)
            for sample in metric.samples:
                family.add_metric([sample.labels[label] for label in labels], sample.value)
            yield family


def openmetrics_text(metrics: Sequence[Metric]) -> str:
    """Return the metrics as OpenMetrics 1.0 text.

    >>> print(openmetrics_text([Metric("shop_users", "gauge", "Users.", (Sample({}, 3),))]), end="")
    # HELP shop_users Users.
    # TYPE shop_users gauge
    shop_users 3.0
    # EOF
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.openmetrics.exposition import generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(metrics))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode("utf-8")


def write_metrics(path: Path, metrics: Sequence[Metric]) -> None:
    """Replace a file by the metrics in one step, so that nobody reads half of them. Raises PathNotWritable."""
    building = path.with_name(f".{path.name}.building")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        building.write_text(openmetrics_text(metrics), encoding="utf-8")
        building.replace(path)
    except OSError as error:
        raise PathNotWritable(str(path), str(error)) from error
