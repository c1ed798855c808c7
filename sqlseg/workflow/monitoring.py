"""Tells other programs how a project that is being watched is doing: figures in a file, calls to a webhook."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlseg.errors import SqlsegError
from sqlseg.publish.openmetrics import Kind, Metric, Sample, write_metrics
from sqlseg.publish.webhook import call_webhook
from sqlseg.segments.refit import Evidence, reasons_to_refit
from sqlseg.settings import FittedSegmentation, Settings
from sqlseg.settings.values import web_address
from sqlseg.workflow.narration import Narrator
from sqlseg.workflow.watching import Round, Tally


class NoWebhookAddress(SqlsegError):
    """The settings take the webhook's address from an environment variable that does not hold one."""

    def __init__(self, variable: str) -> None:
        super().__init__(
            f"[monitoring] webhook is ${variable}, and that environment variable holds no http or https address.",
            hint="Set it to the address (https://...), or take `webhook` out of sqlseg.toml.",
        )


@dataclass(frozen=True)
class Alarm:
    """Something that people should look at: what it is (failure, stale or drift), of which segmentation, in words."""

    event: str
    segmentation: str | None
    message: str

    @property
    def key(self) -> tuple[str, str | None]:
        """What makes two alarms the same one."""
        return self.event, self.segmentation


def webhook_address(setting: str | None) -> str | None:
    """Return the address a setting gives or names the environment variable of. Raises NoWebhookAddress."""
    if setting is None or not setting.startswith("$"):
        return setting
    try:
        address = web_address(os.environ.get(setting[1:]))
    except ValueError:
        raise NoWebhookAddress(setting[1:]) from None  # what it does hold may be secret
    if address.startswith("$"):
        raise NoWebhookAddress(setting[1:])
    return address


@dataclass
class Monitor:
    """Writes the figures and raises the alarms of one project, as `[monitoring]` asks.

    An alarm is raised once when it begins and once when it is over.
    """

    settings: Settings
    narrator: Narrator
    address: str | None
    raised: dict[tuple[str, str | None], Alarm] = field(default_factory=dict)
    calls_failed: int = 0

    @classmethod
    def of(cls, settings: Settings, narrator: Narrator) -> "Monitor":
        """Return the monitor of a project. Raises NoWebhookAddress."""
        return cls(settings, narrator, webhook_address(settings.monitoring.webhook))

    def hear(self, one: Round, tally: Tally) -> None:
        """Tell of one round; where that fails the narrator hears of it, and the rounds go on."""
        now_raised = {alarm.key: alarm for alarm in self._alarms(one, tally)}
        for key, alarm in now_raised.items():
            if key not in self.raised:
                self._call(alarm, "firing", one)
        for key, alarm in self.raised.items():
            if key not in now_raised:
                self._call(alarm, "resolved", one)
        self.raised = now_raised
        path = self.settings.monitoring.metrics
        if path is not None:
            try:
                write_metrics(path, self._metrics(one, tally))
            except SqlsegError as error:
                self.narrator.note(f"{error.message} {error.hint or ''}".strip())

    def _alarms(self, one: Round, tally: Tally) -> list[Alarm]:
        found = []
        if one.error is not None:
            found.append(Alarm("failure", None, one.error.message))
        limit = self.settings.monitoring.stale_minutes
        if limit is not None and tally.data_through is not None:
            age = one.finished_at - tally.data_through
            if age > timedelta(minutes=limit):
                told = (
                    f"The newest event is of {tally.data_through} UTC, {_minutes(age)} ago (limit {limit:,} minutes)."
                )
                found.append(Alarm("stale", None, told))
        if one.outcome is None or one.outcome.plan.kind == "noop":
            return found + [alarm for alarm in self.raised.values() if alarm.event == "drift"]
        for name, evidence in one.outcome.evidence.items():
            segmentation = self.settings.segmentations.get(name)
            if isinstance(segmentation, FittedSegmentation) and (
                reasons := reasons_to_refit(evidence, segmentation.drift)
            ):
                found.append(Alarm("drift", name, f"{name}: {'; '.join(reasons)}."))
        return found

    def _call(self, alarm: Alarm, state: str, one: Round) -> None:
        if state == "firing" and alarm.event != "failure":  # a failed round has been told already
            self.narrator.note(alarm.message)
        if self.address is None:
            return
        body: dict[str, Any] = {
            "project": self.settings.project.name,
            "event": alarm.event,
            "state": state,
            "segmentation": alarm.segmentation,
            "message": alarm.message,
            "run_id": one.outcome.run_id if one.outcome else None,
            "at": f"{one.finished_at.isoformat(timespec='seconds')}Z",
        }
        try:
            call_webhook(self.address, body)
        except SqlsegError as error:
            self.calls_failed += 1
            self.narrator.note(error.message)

    def _metrics(self, one: Round, tally: Tally) -> list[Metric]:
        metrics = [
            self._metric(
                "counter",
                "rounds",
                "Rounds by what came of them.",
                {"result": {"done": tally.done, "noop": tally.noop, "failed": tally.failed}},
            ),
            self._metric("gauge", "failures_in_a_row", "Rounds that failed since one did not.", one.failures_in_a_row),
            self._metric("gauge", "round_seconds", "How long the last round took.", one.seconds),
            self._metric("gauge", "last_round_timestamp_seconds", "End of the last round.", _unix(one.finished_at)),
            self._metric("counter", "events_new", "Events that rounds found new.", tally.events_new),
            self._metric("counter", "users_moved", "Moves between segments.", tally.users_moved),
            self._metric("counter", "webhook_failures", "Calls to the webhook that failed.", self.calls_failed),
        ]
        success = tally.last_success
        if success is not None and success.outcome is not None:
            plan = success.outcome.plan
            age = (one.finished_at - plan.data_through).total_seconds()
            metrics += [
                self._metric(
                    "gauge", "last_success_timestamp_seconds", "End of the last good round.", _unix(success.finished_at)
                ),
                self._metric(
                    "gauge", "data_through_timestamp_seconds", "The newest event in use.", _unix(plan.data_through)
                ),
                self._metric("gauge", "data_age_seconds", "Age of the newest event when the last round ended.", age),
                self._metric("gauge", "events", "Events in use.", plan.staged.accepted),
                self._metric("gauge", "users", "Users with an event before as_of.", success.outcome.users_total),
                self._metric(
                    "gauge",
                    "rejected_rows",
                    "Rows of the sources that cannot be used, by reason.",
                    {"reason": plan.staged.rejected},
                ),
            ]
        if tally.last_change is not None:
            metrics += self._drift_metrics(tally.last_change.evidence)
        return metrics

    def _drift_metrics(self, found: Mapping[str, Evidence]) -> list[Metric]:
        project = self.settings.project.name
        rows = [
            Sample({"project": project, "segmentation": name, "feature": row.feature}, row.psi)
            for name, evidence in found.items()
            for row in evidence.drift
        ]
        drifted = {name: int(("drift", name) in self.raised) for name in found}
        return [
            Metric("sqlseg_drift_psi", "gauge", "Population stability index of an input since the fit.", tuple(rows)),
            self._metric(
                "gauge",
                "drifted",
                "1 where users have moved too far from the model that places them.",
                {"segmentation": drifted},
            ),
        ]

    def _metric(
        self, kind: Kind, name: str, explanation: str, value: float | Mapping[str, Mapping[str, float]]
    ) -> Metric:
        """Return a metric of one value, or of one value for each value of a label."""
        project = {"project": self.settings.project.name}
        if not isinstance(value, Mapping):
            return Metric(f"sqlseg_{name}", kind, explanation, (Sample(project, value),))
        samples = [
            Sample({**project, label: each}, number) for label, by in value.items() for each, number in by.items()
        ]
        return Metric(f"sqlseg_{name}", kind, explanation, tuple(samples))


def _unix(moment: datetime) -> float:
    return (moment - datetime(1970, 1, 1)).total_seconds()


def _minutes(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes:,} minutes" if minutes < 120 else f"{minutes // 60:,} hours"
