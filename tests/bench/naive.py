"""The plain program to compare with: the same decisions, one message at a time, with textbook pika and SQL.

python -m tests.bench.naive --routes F --keys D --amqp URL --database URL --count N

Takes a message, decides it with the same core, inserts it and commits, publishes each copy and
waits for its confirm, acknowledges; then the next. Prints one JSON document: messages, seconds.
It has no repeats, no retries, no reload, no forwarder: only what every honest program must do.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import pika
import psycopg

from swexchange.broker.topology import INTAKE, queue, submitter
from swexchange.cli.wiring import load_rules
from swexchange.core.decide import decide
from swexchange.core.identity import identity
from swexchange.core.model import Copy, Decision, Delivery
from swexchange.core.rulebook import Rulebook
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings

TABLES = (
    "CREATE TABLE exchange (exchange_id TEXT PRIMARY KEY, identity TEXT UNIQUE NOT NULL, received_at TEXT,"
    " sender TEXT, message_id TEXT, type TEXT, outcome TEXT, code TEXT, route TEXT, body {blob}, receipt {blob})",
    "CREATE TABLE business_key (value TEXT, name TEXT, exchange_id TEXT, PRIMARY KEY (value, name, exchange_id))",
)
WARM = 20  # messages before the clock starts


def insert_sqlite(path: str) -> Callable[[Decision], None]:
    """One durable transaction a message in SQLite."""
    link = sqlite3.connect(path)
    link.execute("PRAGMA journal_mode = WAL")
    link.execute("PRAGMA synchronous = FULL")
    for table in TABLES:
        link.execute(table.format(blob="BLOB"))
    return _inserter(link, "?")


def insert_postgresql(url: str) -> Callable[[Decision], None]:
    """One durable transaction a message in PostgreSQL."""
    link = psycopg.connect(url)
    for table in TABLES:
        link.execute(table.format(blob="BYTEA"))
    link.commit()
    return _inserter(link, "%s")


def _inserter(link: Any, mark: str) -> Callable[[Decision], None]:
    exchange = f"INSERT INTO exchange VALUES ({', '.join([mark] * 11)})"
    key = f"INSERT INTO business_key VALUES ({mark}, {mark}, {mark})"

    def insert(decision: Decision) -> None:
        cursor = link.cursor()
        cursor.execute(exchange, _row(decision))
        cursor.executemany(key, [(k.value, k.name, decision.exchange_id) for k in decision.keys])
        link.commit()

    return insert


def _row(decision: Decision) -> tuple[str | bytes, ...]:
    receipt = decision.receipt.body if decision.receipt else b""
    return (
        decision.exchange_id,
        identity(decision),
        decision.received_at.isoformat(),
        decision.sender,
        decision.message_id,
        decision.type,
        str(decision.outcome),
        decision.code,
        decision.route,
        decision.body,
        receipt,
    )


def work(channel: Any, rules: Rulebook, insert: Callable[[Decision], None], count: int) -> float:
    """Handle `count` messages one by one; the seconds of all but the first few."""
    channel.basic_qos(prefetch_count=20)
    channel.confirm_delivery()
    started = time.perf_counter()
    for done, (method, _, body) in enumerate(channel.consume(INTAKE), 1):
        decision = decide(Delivery(method.delivery_tag, submitter(method.exchange), body), rules, datetime.now(UTC))
        insert(decision)
        for copy in decision.copies:
            publish(channel, copy)
        channel.basic_ack(method.delivery_tag)
        if done == WARM:
            started = time.perf_counter()
        if done == count:
            break
    return time.perf_counter() - started


def publish(channel: Any, copy: Copy) -> None:
    """Publish and wait for the confirm; pika raises when the copy is returned or nacked."""
    properties = pika.BasicProperties(
        content_type="application/xml",
        delivery_mode=2,
        message_id=copy.id,
        correlation_id=copy.correlation_id,
        type=copy.type,
        app_id="naive",
        headers={"swx-exchange": copy.exchange_id},
    )
    channel.basic_publish("", queue(copy.kind, copy.to), copy.body, properties, mandatory=True)


@click.command()
@click.option("--routes", required=True)
@click.option("--keys", required=True)
@click.option("--amqp", required=True)
@click.option("--database", required=True)
@click.option("--count", required=True, type=int)
def main(routes: str, keys: str, amqp: str, database: str, count: int) -> None:
    """Handle messages and print how long it took."""
    name, _, rest = database.partition(":///")
    insert = insert_sqlite(rest) if name == "sqlite" else insert_postgresql(database)
    with Explainer() as explainer:
        rules = load_rules(Settings(routes=routes, keys=keys), explainer)
        connection = pika.BlockingConnection(pika.URLParameters(amqp))
        channel = connection.channel()
        seconds = work(channel, rules, insert, count)
        channel.cancel()  # what was prefetched goes back
        connection.close()
    click.echo(json.dumps({"messages": count - WARM, "seconds": seconds}))


if __name__ == "__main__":
    main()
