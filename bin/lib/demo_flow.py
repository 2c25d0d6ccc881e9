"""The course of a demo: set the exchange up, send, read, look at the audit trail, take everything down.

Each step is a function of its own; what they do is in the modules they call.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from demo_cases import BROKER, LABELS
from demo_evidence import prove
from demo_folder import Rules, State, alone, load_state, make_fresh
from demo_house import DATABASE_URL, WORKERS, House, end_leftovers, exports, is_running
from demo_keep import what_to_try
from demo_signals import Signals
from demo_traffic import exchange
from demo_trail import follow
from demo_trouble import FAILED, Trouble
from demo_view import View, summary, verdict
from demo_watch import Counts, Watch

from swexchange.broker import Server


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    keep: bool
    messages: int  # ordinary cargo declarations beside the others
    as_json: bool


def play(options: Options, signals: Signals) -> int:
    """Run a demo; the exit code. Raises Trouble when it cannot be run."""
    view = View(to_stderr=options.as_json)
    with alone():
        house = _clear_house(signals)
        kept = False
        try:
            try:
                watch = _perform(house, options, view)
                kept = options.keep
            finally:
                signals.ignore()
        finally:
            if not kept:
                _take_down(house, view)
    return _conclude(house, watch, options, view)


def _take_down(house: House, view: View) -> None:
    if house.is_up:
        with view.step("stop") as step:
            step.detail = f"{house.end()}; database and log stay in .run/demo"


def stop(signals: Signals) -> int:
    """End what `--keep` left running, or what a killed demo could not end itself."""
    view = View()
    with alone():
        state = load_state()
        signals.ignore()
        if state == State():
            view.line("no demo is running")
            return 0
        with view.step("stop") as step:
            end_leftovers(state)
            State().save()
            step.detail = "what was left of the demo has ended"
    return 0


def _clear_house(signals: Signals) -> House:
    """A fresh run folder, once nothing of an earlier demo is running."""
    earlier = load_state()
    if earlier.kept and is_running(earlier):
        raise Trouble("the demo that --keep left is still running; `bin/demo --stop` ends it")
    end_leftovers(earlier)
    rules = Rules.read()
    missing = [f"{name} ({label})" for name, label in LABELS.items() if name not in rules.participants]
    if missing:
        raise Trouble(f"routes.yaml has no participant {missing[0]}; the demo plays the ones that it came with")
    make_fresh()
    return House(rules, signals)


def _perform(house: House, options: Options, view: View) -> Watch:
    """Everything between an empty folder and the results."""
    server = _set_up(house, view)
    watch = exchange(house.rules, server, options.messages, house.check_daemon, view)
    with view.step("audit") as step:
        step.detail = f"{follow(watch.courses, DATABASE_URL)} exchanges in the audit log, each held against its receipt"
    with view.step("evidence") as step:
        step.detail = prove(_proved(watch), DATABASE_URL, house.command)
    for course in watch.courses:
        course.problems += course.missing
    view.results(watch.courses, watch.strays)
    if options.keep:
        house.keep()
    return watch


def _proved(watch: Watch) -> str:
    """The exchange whose evidence is shown: the first that was answered."""
    found = next((course.exchange_id for course in watch.courses if course.exchange_id), "")
    if not found:
        raise Trouble("no message was answered: there is nothing to prove", FAILED)
    return found


def _set_up(house: House, view: View) -> Server:
    house.call_broker()
    with view.step("keys") as step:
        step.detail = f"{house.make_keys()} key pairs; .run/demo/routes.yaml holds the public halves"
    with view.step("database") as step:
        house.command("db", "upgrade")
        step.detail = "SQLite, at the current version"
    with view.step("routes") as step:
        step.detail = house.command("routes", "check").strip().rpartition(", ")[0]
    with view.step("broker") as step:
        server, step.detail = house.await_broker()
    with view.step("topology") as step:
        step.detail = house.command("topology", "apply").strip()
    with view.step("daemon") as step:
        house.start_daemon()
        step.detail = f"swexchange run --workers {WORKERS}"
    return server


def _conclude(house: House, watch: Watch, options: Options, view: View) -> int:
    counts = watch.counts()
    well = _is_well(watch, counts)
    if options.keep:
        view.line(what_to_try(exports(house.settings()), house.rules.key_of[BROKER], watch.courses[1].exchange_id))
    if options.as_json:
        print(json.dumps(_document(watch, counts, well), ensure_ascii=False, indent=2))
    view.line(f"\n{verdict(watch.courses, well=well)}")
    view.line(summary(counts))
    return 0 if well else FAILED


def _is_well(watch: Watch, counts: Counts) -> bool:
    problems = any(course.problems for course in watch.courses)
    return not (problems or watch.strays or counts.lost or counts.duplicated)


def _document(watch: Watch, counts: Counts, well: bool) -> dict[str, object]:
    """The answer of --json."""
    return {
        "version": 1,
        "as_expected": well,
        "counts": asdict(counts),
        "messages": [course.as_row() for course in watch.courses],
        "strays": watch.strays,
    }
