"""`swexchange doctor`: what on this machine, in the broker or the database could lose or stop messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import click

from swexchange import backup
from swexchange.broker.topology import Tenancy
from swexchange.cli import checks, exits
from swexchange.cli.backlog import intake_standstill
from swexchange.cli.checks import Check, as_checks, checked, look_into, one_broker
from swexchange.cli.output import emit, table
from swexchange.cli.root import cli
from swexchange.cli.upstream_broker import upstream_management, upstream_server
from swexchange.cli.wiring import load_rules
from swexchange.cli.wiring_store import log_key, refuse_rolled_back_log
from swexchange.cli.witness import witnesses_of
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.rulebook import Upstream
from swexchange.errors import BrokerLost, ConfigFault, Fault, RulesInvalid
from swexchange.health.broker import DECLARE
from swexchange.health.intake import judge_intake
from swexchange.health.keeping import judge_archiving, judge_backup, judge_files, judge_pruning
from swexchange.health.problem import Danger
from swexchange.health.witness import judge_witness
from swexchange.rules.load import load_retention, load_upstreams
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from swexchange.store import open_audit_log, open_evidence, open_pruning, version
from swexchange.store.engine import folder_of

NOT_OURS_TO_SEE = (401, 403)  # HTTP: the management API is there, but not for this user
_WORDS = {None: "ok", Danger.RISK: "note", Danger.STOP: "WRONG", Danger.LOSS: "LOSES"}


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool) -> None:
    """Look at settings, rules, keys, database, archives, backups, clocks, broker: what could lose or stop messages.

    Each line begins with ok, note (a risk), WRONG (messages do not flow, now or soon) or LOSES
    (an accepted message could be lost), then says why and what to do. SWX_MANAGEMENT_URL lets it look into
    queues, policies and nodes; a user who is an administrator there, into permissions too. Each
    upstream's broker is looked at as far as it lets this platform's user.
    Exit code 1: something is WRONG or LOSES messages.
    """
    found = [check for look in _LOOKS for check in _looked(look.__name__.strip("_"), partial(look, settings))]
    emit([asdict(check) for check in found], as_json, lambda: table(list(_rows(found))))
    well = all(check.danger in (None, Danger.RISK) for check in found)
    raise SystemExit(exits.DONE if well else exits.PROBLEMS)


def _rows(found: Iterable[Check]) -> Iterator[tuple[str, str, str]]:
    """Lines for people; what is wrong with many things alike is said once."""
    alike: dict[Check, list[str]] = {}
    for check in found:
        alike.setdefault(replace(check, where=""), []).append(check.where)
    for check, places in alike.items():
        where = f"{', '.join(places[:3])}{f' and {len(places) - 3} more' if len(places) > 3 else ''}: "
        yield _WORDS[check.danger], check.name, (where if places[0] else "") + check.said
        yield from (("", "", f"  {more}.") for more in (check.why, check.do) if more)


def _looked(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A look; trouble on the way is what it found."""
    try:
        yield from look()
    except RulesInvalid as invalid:
        yield from (Check(name, str(problem), Danger.STOP) for problem in invalid.problems)
    except Fault as fault:
        yield Check(name, str(fault), Danger.STOP)
    except OSError as error:
        yield Check(name, str(error), Danger.STOP)


def _rules(settings: Settings) -> Iterator[Check]:
    with Explainer(proven=settings.cache_folder) as explainer:
        rules = load_rules(settings, explainer)
    yield Check("rules", f"{settings.routes}: {len(rules.routes)} routes, {len(rules.types)} types")
    now = utc_now()
    able = {key.participant for key in rules.keys.values() if not key.trouble(now)}
    for participant in rules.participants.values():
        if participant.sends and participant.id not in able:
            what = f"{participant.id} has no key in force"
            yield Check("keys", what, Danger.STOP, "Nothing it sends can be accepted", "Register its key")
    key = rules.platform.key
    if key and (trouble := rules.keys[key.id].trouble(now)):
        yield Check("keys", trouble, Danger.STOP, "Nobody can trust its receipts", "Name another under platform: key:")


def _version(settings: Settings) -> Iterator[Check]:
    wrong = version.check(settings.database_url)
    yield from (Check("database", problem, Danger.STOP) for problem in wrong)
    if not wrong:
        yield Check("database", f"version {version.NEWEST}, durable settings read back")


def _intake(settings: Settings) -> Iterator[Check]:
    if version.version(settings.database_url) != version.NEWEST:
        return  # as was said before
    with open_audit_log(settings.database_url) as log:
        now = log.open(utc_now())
        found = intake_standstill(settings, now.due, log.queued())
    since = local_time(now.last_received) if now.last_received else ""
    yield from checked("intake", judge_intake(found, since), "no watermark holds it back")


def _sealing(settings: Settings) -> Iterator[Check]:
    if not settings.audit_key:
        why = "Whoever may write to the database can change what was recorded, and nobody would know"
        do = "See docs/how-to/prove-an-exchange.md#switch-it-on"
        yield Check("log", "it is not sealed", Danger.RISK, why, do)
        return
    refuse_rolled_back_log(settings)
    log_key(settings)
    folder, head = folder_of(settings.database_url), Path(settings.audit_head)
    if folder and _disk(folder) == _disk(head.parent):
        what = f"{head} is on the same file system as the database"
        why = "Both may come back from one snapshot, and then nothing here says that entries are missing"
        yield Check("log", what, Danger.RISK, why, "Set SWX_AUDIT_HEAD to a file on another disk, and have witnesses")
    else:
        yield Check("log", f"sealed with {settings.audit_key}, its head remembered in {head}")


def _disk(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _witnesses(settings: Settings) -> Iterator[Check]:
    if not settings.witnesses:
        return
    with open_evidence(settings.database_url) as log:
        head = log.head()
    for name, seen in witnesses_of(settings).items():
        size, at = (seen.size, seen.at) if seen else (0, None)
        problems = judge_witness(name, size, at, head.size if head else 0, utc_now())
        yield from checked("witness", problems, f"{name} has signed {size} entries")


def _archives(settings: Settings) -> Iterator[Check]:
    if version.version(settings.database_url) != version.NEWEST:
        return  # as was said before
    now, keep = utc_now(), load_retention(Path(settings.routes)).body
    with open_pruning(settings.database_url) as log:
        state, removed, full = log.state(), log.removed(), log.full_archives(now)
        known = [one for one in log.archives() if one.name not in removed]
    names, in_database = [one.name for one in known], {one.name for one in full}
    there = {name for name in names if Path(settings.archive, name).exists()}
    emptied = {one.name for one in known if one.since and one.name not in in_database}
    problems = [*judge_archiving(state, keep, now), *judge_files(names, there, emptied)]
    problems += judge_pruning(full, now - keep) if keep else []
    if state.sealed:
        yield from checked("archive", problems, f"{state.archived} of {state.sealed} entries in {len(known)} files")


def _backups(settings: Settings) -> Iterator[Check]:
    if not settings.backups:
        why = "Whether there is a backup, and how old it is, is not known"
        yield Check("backup", "not looked for", Danger.RISK, why, "Set SWX_BACKUPS to the folder in which they are")
        return
    try:
        found = backup.newest(Path(settings.backups))
    except ConfigFault as fault:  # messages flow all the same
        yield Check("backup", str(fault), Danger.RISK)
        return
    at = found.begun_at if found else None
    old = as_checks("backup", judge_backup(at, settings.backups, utc_now()))
    yield from old or [Check("backup", f"the newest in {settings.backups} is of {at and local_time(at)}")]


def _upstreams(settings: Settings) -> Iterator[Check]:
    """Each upstream's broker; every line names it, and what it would take to mend it is for others to do."""
    for upstream in load_upstreams(Path(settings.routes)).values():
        name = f"upstream {upstream.name}"
        for check in _looked(name, partial(_upstream, settings, upstream)):
            said = check.said if check.name == name else f"{check.name}: {check.said}"
            yield replace(check, name=name, said=said)


def _upstream(settings: Settings, upstream: Upstream) -> Iterator[Check]:
    broker = upstream_server(settings, upstream.name)
    do = f"Put a URL into upstream-{upstream.name}.management.url, if you are given one"
    found = None
    try:
        found = look_into(broker, upstream_management(settings, upstream.name))
    except BrokerLost as fault:
        if fault.code not in NOT_OURS_TO_SEE:
            raise
        do = fault.do
    for check in one_broker(broker, found, Tenancy(upstream), do):
        is_for_others = check.danger and check.where and check.name != "clock"
        theirs = "Declare it" if check.do == DECLARE else check.do  # our command declares nothing there
        yield replace(check, do=f"Ask who runs that broker: {theirs}") if is_for_others else check


_LOOKS = (
    checks.environment,
    _rules,
    checks.keys,
    checks.database,
    _version,
    _intake,
    _sealing,
    _witnesses,
    _archives,
    _backups,
    checks.broker,
    _upstreams,
)
