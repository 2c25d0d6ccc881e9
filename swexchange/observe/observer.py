"""Turns what happened into log events, metrics and words to the service manager; one place for all three.

One log event a message, never a body or a key; texts that came from outside are cut and freed
of control characters.
"""

from __future__ import annotations

import traceback
from collections import Counter
from datetime import datetime, timedelta

import sdnotify
import structlog

from swexchange.clock import utc_now
from swexchange.core.breaker import Standing, State
from swexchange.core.codes import HELD
from swexchange.core.forecast import Forecast, Sample
from swexchange.core.model import Decision, Fate, Outcome, Recorded
from swexchange.core.rulebook import Rulebook
from swexchange.errors import BrokerLost, DamagedRow, Fault
from swexchange.forwarder import Sent
from swexchange.observe.logs import flush_logs
from swexchange.observe.metrics import Metrics
from swexchange.observe.outage import Outage
from swexchange.pipeline import Report
from swexchange.plain import plain
from swexchange.upstream import Fates


class Observer:
    """Turns reports into logs, metrics and messages to the service manager."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger()
        self._manager = sdnotify.SystemdNotifier()
        self._outage = Outage()
        self._is_blocked = False

    def started(self, rules: Rulebook, worker: int) -> None:
        """The worker is about to take its first message."""
        self._metrics.rules.info({"digest": rules.digest})
        self._log.info(
            "started",
            worker=worker,
            rules=rules.digest[:12],
            routes=len(rules.routes),
            participants=len(rules.participants),
            types=len(rules.types),
        )
        self._manager.notify("READY=1")
        flush_logs()

    def spent(self, megabytes: int) -> None:
        """The process has grown over its limit and starts afresh."""
        self._log.warning("memory over the limit, starting afresh", megabytes=megabytes)
        flush_logs()

    def stopping(self) -> None:
        """A stop was asked for; the batch in hand is finished first."""
        self._manager.notify("STOPPING=1")
        self._log.info("stopping")
        flush_logs()

    def batch(self, report: Report) -> None:
        """A batch is done."""
        for decision in report.decided:
            self._decided(decision)
        for (outcome, code), count in Counter((d.outcome, d.code) for d in report.decided).items():
            self._metrics.decided.labels(outcome, code).inc(count)
        for decision, stored in report.repeated:
            self._repeated(decision, stored)
        for copy, fate in report.failed:
            self._metrics.failed.labels(fate).inc()
            self._log.warning("not delivered", exchange=copy.exchange_id, to=copy.to, kind=copy.kind, fate=fate)
        self._metrics.sent.inc(report.sent)
        self._metrics.batch.observe(len(report.decided) + len(report.repeated))
        self._metrics.happens(self._metrics.last)
        for step, seconds in report.seconds.items():
            self._metrics.step.labels(step).observe(seconds)
        flush_logs()

    def _decided(self, decision: Decision) -> None:
        if decision.code == HELD:
            self._held(decision)
            return
        say = self._log.warning if decision.outcome is Outcome.REJECTED else self._log.info
        say(
            str(decision.outcome),
            exchange=decision.exchange_id,
            sender=decision.sender or decision.submitter,
            message_id=decision.message_id,
            type=decision.type,
            code=decision.code,
            route=decision.route,
            to=",".join(copy.to for copy in decision.copies),
        )

    def bug(self, decision: Decision, error: Exception) -> None:
        """A message met an error of ours and is held: where in the code; not the error's text, which may quote it."""
        self._log.error(
            "unexpected error while deciding",
            exchange=decision.exchange_id,
            submitter=decision.submitter,
            error=type(error).__name__,
            frames=[f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)],
        )

    def _held(self, decision: Decision) -> None:
        self._log.error(
            "held",
            exchange=decision.exchange_id,
            submitter=decision.submitter,
            code=decision.code,
            cause=decision.findings[0].detail,
            do="swexchange held list; swexchange held release",
        )

    def _repeated(self, decision: Decision, stored: Recorded) -> None:
        self._metrics.repeated.inc()
        self._log.info("repeated", exchange=stored.exchange_id, sender=decision.sender, message_id=decision.message_id)

    def damaged(self, fault: DamagedRow) -> None:
        """A row of the database cannot be read: what it is about waits, all else goes on."""
        self._log.error("row left aside", where=fault.where, what=plain(fault.what), do=fault.do)
        flush_logs()

    def swept(self, sent: Sent) -> None:
        """The forwarder did something."""
        for decision in sent.matched:
            self._log.info("matched", exchange=decision.exchange_id, type=decision.type, to=decision.copies[0].to)
        for copy, fate in sent.fates:
            if fate is Fate.CONFIRMED:
                self._metrics.sent.inc()
            else:
                self._metrics.failed.labels(fate).inc()
            self._log.info("sent again", exchange=copy.exchange_id, to=copy.to, kind=copy.kind, fate=fate)
        flush_logs()

    def forwarded(self, fates: Fates) -> None:
        """Copies were sent to an upstream."""
        for copy, fate in fates:
            if fate is Fate.CONFIRMED:
                self._metrics.sent.inc()
            else:
                self._metrics.failed.labels(fate).inc()
            say = self._log.info if fate is Fate.CONFIRMED else self._log.warning
            say("forwarded", exchange=copy.exchange_id, to=copy.to, kind=copy.kind, fate=fate)
        flush_logs()

    def upstream(self, name: str, standing: Standing, now: Sample, oldest: datetime | None, told: Forecast) -> None:
        """A look at how an upstream stands."""
        metrics = self._metrics
        metrics.backlog.labels(name).set(now.backlog)
        metrics.oldest.labels(name).set((now.at - oldest).total_seconds() if oldest else 0)
        metrics.growth.labels(name).set(told.growth)
        metrics.drained.labels(name).set(_seconds(told.drained_in))
        metrics.disk.labels(name).set(_seconds(told.disk_full_in))
        metrics.open.labels(name).set(standing.state is not State.CLOSED)
        if standing.last_success:
            metrics.success.labels(name).set(standing.last_success.timestamp())

    def breaker(self, name: str, standing: Standing) -> None:
        """The breaker before an upstream opened or closed."""
        if standing.since is None:
            self._log.info("upstream is back", upstream=name)
        else:
            self._log.error("upstream is away, nothing more is tried", upstream=name, why=standing.reason)
        flush_logs()

    def held_back(self, why: str) -> None:
        """The intake stands still, or runs again."""
        self._metrics.stopped.set(bool(why))
        if why:
            self._log.error("intake stopped, the broker holds senders back", why=why)
        else:
            self._log.info("intake resumed")
        self._manager.notify(f"STATUS={plain(why) or 'working'}")
        flush_logs()

    def blocked(self, is_blocked: bool) -> None:
        """Whether an alarm of the broker blocks publishers."""
        if is_blocked == self._is_blocked:
            return
        self._is_blocked = is_blocked
        self._metrics.blocked.set(is_blocked)
        if is_blocked:
            do = "Free its memory or disk; nothing is lost, copies stay due"
            self._log.error("RabbitMQ blocks publishers", what="an alarm of its memory or disk", do=do)
        else:
            self._log.info("RabbitMQ takes messages again")
        flush_logs()

    def alive(self) -> None:
        """The worker made progress, or is at rest and well: feeds the watchdog."""
        self._manager.notify("WATCHDOG=1")

    def trouble(self, fault: Fault, pause: float) -> None:
        """A neighbour failed: told at once, and then now and then until it is back."""
        self._metrics.fault(type(fault).__name__, fault.reason if isinstance(fault, BrokerLost) else "")
        if self._outage.failed(fault.what):
            self._log.error(
                "trouble",
                what=fault.what,
                where=fault.where,
                do=fault.do,
                again_in_s=round(pause, 1),
                since=(utc_now() - timedelta(seconds=self._outage.seconds)).isoformat(timespec="seconds"),
                failures=self._outage.failures,
            )
        # Waiting for a neighbour is no reason to be killed by the watchdog.
        self._manager.notify(f"STATUS={plain(fault.what)}\nWATCHDOG=1")
        flush_logs()

    def recovered(self) -> None:
        """The first step without trouble after trouble."""
        seconds, failures = self._outage.seconds, self._outage.failures
        if self._outage.end():
            self._log.info("recovered", after_s=round(seconds, 1), failures=failures)
        self._manager.notify("STATUS=working")
        flush_logs()

    def reloaded(self, rules: Rulebook) -> None:
        """New rules are in force."""
        self._metrics.reloads.labels("ok").inc()
        self._metrics.rules.info({"digest": rules.digest})
        self._log.info("rules reloaded", rules=rules.digest[:12])
        flush_logs()

    def not_reloaded(self, fault: Fault) -> None:
        """Changed rules are wrong, or could not be read; the old ones stay in force."""
        self._metrics.reloads.labels("refused").inc()
        self._log.error("rules refused, the old ones stay", what=fault.what, where=fault.where, do=fault.do)
        flush_logs()


def _seconds(duration: timedelta | None) -> float:
    return float("inf") if duration is None else duration.total_seconds()
