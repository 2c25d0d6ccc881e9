"""The daemon's Prometheus metrics: docs/reference/metrics.md."""

from __future__ import annotations

import prometheus_client as prometheus

BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Registry:
    """The metrics of one process; what each has stands in a subclass."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._happened: set[prometheus.Gauge] = set()
        self.faults = self._counter("faults", "Failures of neighbours, by kind and reason", "kind", "reason")

    def fault(self, kind: str, reason: str = "") -> None:
        """Count a failure."""
        self.faults.labels(kind, reason).inc()

    def _counter(self, name: str, meaning: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(f"swexchange_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> prometheus.Gauge:
        return prometheus.Gauge(f"swexchange_{name}", meaning, labels, registry=self.registry)

    def _moment(self, name: str, meaning: str) -> prometheus.Gauge:
        """When something last happened. Not exported yet: a 0 would be 1970, and its age an alarm."""
        return prometheus.Gauge(f"swexchange_{name}", meaning, registry=None)

    def happens(self, moment: prometheus.Gauge) -> None:
        """It is now; exported from its first time on."""
        moment.set_to_current_time()
        if moment not in self._happened:
            self._happened.add(moment)
            self.registry.register(moment)

    def serve(self, port: int) -> None:
        """Answer Prometheus on 127.0.0.1."""
        prometheus.start_http_server(port, addr="127.0.0.1", registry=self.registry)


class Metrics(Registry):
    """Of a worker, or of an upstream's process."""

    def __init__(self) -> None:
        super().__init__()
        self.decided = self._counter("messages", "Messages decided, by outcome and code", "outcome", "code")
        self.repeated = self._counter("repeats", "Messages answered from the record")
        self.sent = self._counter("copies_sent", "Copies the broker confirmed")
        self.failed = self._counter("copies_failed", "Copies not confirmed, by fate", "fate")
        self.reloads = self._counter("reloads", "Attempts to load changed rules", "result")
        self.last = self._moment("last_batch_timestamp_seconds", "When the last batch was done")
        self.blocked = self._gauge("publishing_blocked", "1 while an alarm of the broker blocks publishers")
        self.stopped = self._gauge("intake_stopped", "1 while a watermark holds the intake back")
        self.backlog = self._of_upstream("backlog", "Copies that wait for an upstream")
        self.oldest = self._of_upstream("oldest_seconds", "Age of the oldest of them")
        self.growth = self._of_upstream("growth", "Copies a second by which they grow")
        self.drained = self._of_upstream("drained_seconds", "Until they are sent; +Inf: never, or not known")
        self.disk = self._of_upstream(
            "disk_full_seconds", "Until the intake stops for want of disk; +Inf: not in sight"
        )
        self.open = self._of_upstream("open", "1 while the breaker is open")
        self.success = self._of_upstream("last_success_timestamp_seconds", "When a copy was last confirmed")
        self.step = prometheus.Histogram(
            "swexchange_step_seconds", "Time of a batch in each step", ["step"], registry=self.registry
        )
        self.batch = prometheus.Histogram(
            "swexchange_batch_messages", "Messages in a batch", buckets=BATCHES, registry=self.registry
        )
        self.rules = prometheus.Info("swexchange_rules", "The rules in force", registry=self.registry)

    def _of_upstream(self, name: str, meaning: str) -> prometheus.Gauge:
        return self._gauge(f"upstream_{name}", meaning, "upstream")


class SealerMetrics(Registry):
    """Of the sealer's process."""

    def __init__(self) -> None:
        super().__init__()
        self.sealed = self._counter("sealed_entries", "Entries added to the Merkle log by this sealer")
        self.last_seal = self._moment("last_seal_timestamp_seconds", "When this sealer last added entries")
        self.log_entries = self._gauge("log_entries", "Entries of the Merkle log, whoever sealed them")
        self.last_checkpoint = self._gauge(
            "last_checkpoint_timestamp_seconds", "When its newest checkpoint was made; 0: there is none"
        )
        self.unsealed = self._gauge("unsealed_exchanges", "Exchanges recorded since")
        self.archived = self._gauge("archived_entries", "Entries of the log in archive files")
        self.last_archive = self._gauge(
            "last_archive_timestamp_seconds", "When the newest archive file was made; 0: there is none"
        )
        self.last_witness = self._gauge(
            "last_witness_timestamp_seconds", "When a witness last signed a checkpoint", "witness"
        )
