"""The daemon's Prometheus metrics: docs/reference/metrics.md."""

from __future__ import annotations

import prometheus_client as prometheus


class Metrics:
    """The daemon's metrics in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = prometheus.CollectorRegistry()
        self.decided = prometheus.Counter(
            "swexchange_messages", "Messages decided, by outcome and code", ["outcome", "code"], registry=registry
        )
        self.repeated = prometheus.Counter("swexchange_repeats", "Messages answered from the record", registry=registry)
        self.sent = prometheus.Counter("swexchange_copies_sent", "Copies the broker confirmed", registry=registry)
        self.failed = prometheus.Counter(
            "swexchange_copies_failed", "Copies not confirmed, by fate", ["fate"], registry=registry
        )
        self.step = prometheus.Histogram(
            "swexchange_step_seconds", "Time of a batch in each step", ["step"], registry=registry
        )
        self.batch = prometheus.Histogram(
            "swexchange_batch_messages",
            "Messages in a batch",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
            registry=registry,
        )
        self.last = prometheus.Gauge(
            "swexchange_last_batch_timestamp_seconds", "When the last batch was done", registry=registry
        )
        self.faults = prometheus.Counter(
            "swexchange_faults", "Failures of neighbours, by kind", ["kind"], registry=registry
        )
        self.reloads = prometheus.Counter(
            "swexchange_reloads", "Attempts to load changed rules", ["result"], registry=registry
        )
        self.stopped = prometheus.Gauge(
            "swexchange_intake_stopped", "1 while a watermark holds the intake back", registry=registry
        )
        self.backlog = self._of_upstream("backlog", "Copies that wait for an upstream")
        self.oldest = self._of_upstream("oldest_seconds", "Age of the oldest of them")
        self.growth = self._of_upstream("growth", "Copies a second by which they grow")
        self.drained = self._of_upstream("drained_seconds", "Until they are sent; +Inf: never, or not known")
        self.disk = self._of_upstream(
            "disk_full_seconds", "Until the intake stops for want of disk; +Inf: not in sight"
        )
        self.open = self._of_upstream("open", "1 while the breaker is open")
        self.success = self._of_upstream("last_success_timestamp_seconds", "When a copy was last confirmed")
        self.sealed = prometheus.Counter(
            "swexchange_sealed_entries", "Entries added to the Merkle log by this worker", registry=registry
        )
        self.last_seal = prometheus.Gauge(
            "swexchange_last_seal_timestamp_seconds", "When this worker last added entries", registry=registry
        )
        self.rules = prometheus.Info("swexchange_rules", "The rules in force", registry=registry)

    def _of_upstream(self, name: str, meaning: str) -> prometheus.Gauge:
        return prometheus.Gauge(f"swexchange_upstream_{name}", meaning, ["upstream"], registry=self.registry)

    def serve(self, port: int) -> None:
        """Answer Prometheus on 127.0.0.1."""
        prometheus.start_http_server(port, addr="127.0.0.1", registry=self.registry)
