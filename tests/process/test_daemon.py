"""The daemon's manners: it drains, reloads, and outlives its neighbours."""

from __future__ import annotations

import json
import signal
import sqlite3
import time

from swexchange.broker.topology import inbox, receipts
from swexchange.store import Filter, open_audit_log
from tests.process.house import CUSTOMS, INTEGRATOR, House, until


def test_a_stop_finishes_the_batch_and_leaves_the_rest_to_the_next(home: House) -> None:
    """SIGTERM, even twice: exit code 0, every message either done or still in the queue, none twice."""
    bodies = {f"STOP-{i:04d}": home.declaration(f"STOP-{i:04d}") for i in range(400)}
    home.send(list(bodies.values()))
    daemon = home.daemon(environment={"SWX_BATCH": "20"})
    daemon.wait_for("accepted", 20)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0
    done = {copy.body for copy in home.inbox(CUSTOMS)}
    assert 20 <= len(done) < 400
    home.daemon()
    rest = home.collect(inbox(CUSTOMS), 400 - len(done))
    assert done | {copy.body for copy in rest} == set(bodies.values())
    assert len(rest) == 400 - len(done)  # a clean stop repeats nothing


def test_rules_change_under_load_without_a_lost_or_misrouted_message(home: House) -> None:
    """Each message goes where the rules recorded with it say; a wrong file changes nothing."""
    province = "DXPGDP4400000001"
    daemon = home.daemon("--workers", "2", environment={"SWX_BATCH": "10"})
    good = home.routes.read_text("utf-8")
    first_route = good.index("- name: cargo-declarations")
    other = good[:first_route] + good[first_route:].replace(f"- {CUSTOMS}", f"- {province}", 1)
    numbers = [f"LIVE-{i:04d}" for i in range(300)]
    for i in range(0, 300, 30):
        home.routes.write_text((good, "routes: [", other)[i // 30 % 3], "utf-8")
        home.send([home.declaration(number) for number in numbers[i : i + 30]])
        time.sleep(1.1)  # the daemon looks at the file once a second: this is its clock, not a wait for a result
    home.collect(receipts(INTEGRATOR), 300)
    to_customs = {copy.correlation_id for copy in home.inbox(CUSTOMS)}
    to_province = {copy.correlation_id for copy in home.inbox(province)}
    assert to_customs | to_province == set(numbers)
    assert not to_customs & to_province
    assert to_customs
    assert to_province
    events = [event["event"] for event in daemon.log()]
    assert "rules reloaded" in events
    assert "rules refused, the old ones stay" in events
    with open_audit_log(home.database_url) as audit_log:
        trails = [audit_log.show(found.exchange_id) for found in audit_log.search(Filter(limit=1000))]
    decisions = [trail.decision for trail in trails if trail]
    by_rules = {
        d.rules_digest: {e.message_id for e in decisions if e.rules_digest == d.rules_digest} for d in decisions
    }
    assert len(decisions) == 300
    assert len(by_rules) == 2
    assert {frozenset(ids) for ids in by_rules.values()} == {frozenset(to_customs), frozenset(to_province)}


def test_a_locked_database_stops_nothing_for_good(home: House) -> None:
    """While the database is held by another, nothing is acknowledged or answered; afterwards everything is."""
    daemon = home.daemon()
    blocker = sqlite3.connect(home.folder / "exchange.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    home.send([home.declaration(f"LOCK-{i}") for i in range(5)])
    assert home.receipts() == []
    blocker.execute("ROLLBACK")
    blocker.close()
    assert len(home.collect(receipts(INTEGRATOR), 5)) == 5
    assert daemon.stop() == 0


def test_a_database_file_that_is_moved_away_takes_nothing_with_it(home: House) -> None:
    """What came meanwhile stays in the broker; it is recorded where it will be found once the file is back."""
    file, elsewhere = home.folder / "exchange.db", home.folder / "moved.db"
    daemon = home.daemon()
    home.send([home.declaration("BEFORE")])
    home.collect(receipts(INTEGRATOR), 1)
    file.rename(elsewhere)
    home.send([home.declaration("MEANWHILE")])
    until(lambda: any("was moved" in str(event) for event in daemon.log()), "the move to be noticed", daemon.log_file)
    assert (home.receipts(), len(home.inbox(CUSTOMS))) == ([], 1)
    elsewhere.rename(file)
    assert len(home.collect(receipts(INTEGRATOR), 1)) == 1
    assert daemon.stop() == 0
    assert home.cli("audit", "search", "--message-id", "MEANWHILE").stdout.count("MEANWHILE") == 1


def test_a_missing_queue_delays_a_copy_and_loses_nothing(home: House) -> None:
    """A returned copy is kept, told in status, and delivered once its queue is there; its receipt came at once."""
    home.daemon()
    home.broker("delete_queue", inbox(CUSTOMS))
    body = home.declaration("GONE-1")
    home.send([body])
    assert len(home.collect(receipts(INTEGRATOR), 1)) == 1
    until(lambda: json.loads(home.cli("status", "--json").stdout)["due"] == {CUSTOMS: 1}, "the copy to be due")
    assert home.cli("topology", "apply").returncode == 0
    (copy,) = home.collect(inbox(CUSTOMS), 1)
    assert copy.body == body
    until(lambda: json.loads(home.cli("status", "--json").stdout)["due"] == {}, "nothing to be due")


def test_a_wrong_start_is_one_clear_line(home: House) -> None:
    """No database, no broker, wrong rules: what, where, what to do; documented exit codes; never a traceback."""
    cases: tuple[tuple[dict[str, str], str, int], ...] = (
        ({"SWX_DATABASE_URL": f"sqlite:///{home.folder}/new.db"}, "swexchange db upgrade", 2),
        ({"SWX_DATABASE_URL": "mysql://x/y"}, "sqlite:///path or postgresql://", 2),
        ({"SWX_ROUTES": str(home.folder / "none.yaml")}, "none.yaml", 2),
        ({"SWX_KEYS": str(home.folder)}, "swexchange keys new platform-2026", 2),
        ({"SWX_BATCH": "many"}, "SWX_BATCH='many' is not a whole number", 2),
    )
    for environment, said, code in cases:
        done = home.cli("run", environment=environment)
        assert (done.returncode, said in done.stderr) == (code, True), (environment, done)
        assert "Traceback" not in done.stderr
        assert len([line for line in done.stderr.splitlines() if '"event": "check"' not in line]) == 1, done.stderr
