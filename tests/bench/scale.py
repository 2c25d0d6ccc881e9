"""How much is measured: the full benchmark and the quick one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of messages, unless said otherwise."""

    messages: int  # in one run of swexchange
    shovel: int
    naive: int
    rounds: int  # of the whole comparison
    stored: int  # exchanges in the full database
    pairs: int  # runs on the full and on the empty database, each; the same for the routes
    searches: int
    memory: tuple[int, ...]  # after how many messages memory is read
    rounds_beside: int  # pairs with and without the log, and rounds of each duty beside the traffic
    unsealed: int  # exchanges for each round of sealing beside the traffic: more than it seals meanwhile
    latency_seconds: float  # at each load
    recovery_seconds: float  # of load around a kill
    drain_seconds: float  # of live traffic from the end of an outage on; a backlog is `messages`

    @property
    def stock(self) -> int:
        """Messages to prepare: fresh ones for each run on the full database, the others may share.

        Eight runs' worth at least: beside a backlog, a fast machine sends five more in live traffic; beside all
        duties of all rounds, it sends six.
        """
        return max(self.messages * max(self.pairs, 8), self.shovel)

    @property
    def stock_for_memory(self) -> int:
        """The same where memory is measured, in which no message may come twice."""
        return max(self.stock, self.memory[-1])


FULL = Scale(
    messages=10_000,
    shovel=30_000,
    naive=400,
    rounds=3,
    stored=1_000_000,
    pairs=3,
    searches=200,
    memory=(10_000, 100_000, 200_000),
    rounds_beside=6,
    unsealed=70_000,
    latency_seconds=15.0,
    recovery_seconds=40.0,
    drain_seconds=40.0,
)
QUICK = Scale(
    messages=3_000,
    shovel=10_000,
    naive=120,
    rounds=1,
    stored=50_000,
    pairs=1,
    searches=200,
    memory=(3_000,),
    rounds_beside=1,
    unsealed=40_000,
    latency_seconds=4.0,
    recovery_seconds=25.0,
    drain_seconds=15.0,
)
