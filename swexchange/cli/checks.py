"""What both `doctor` and the start of the daemon look at: environment, keys, database, broker.

The supervisor of `run` keeps all that is imported here: neither rules nor schemas belong here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from swexchange import keyfile
from swexchange.broker import Server, Topology, admin, management
from swexchange.broker.management import Management
from swexchange.broker.topology import DAEMON, INTAKE
from swexchange.cli.topology import wanted
from swexchange.cli.wiring_broker import server
from swexchange.clock import utc_now
from swexchange.errors import BrokerLost, StoreDown
from swexchange.health.broker import Broker, Needs, judge_nodes, judge_permissions, judge_takers, judge_topology
from swexchange.health.database import Postgresql, judge_postgresql, judge_sqlite
from swexchange.health.machine import judge_clock, judge_keys, judge_variables
from swexchange.health.problem import Danger, Problem
from swexchange.settings import Settings, unknown
from swexchange.store.look import look as look_at_database


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the doctor looked at."""

    name: str
    said: str
    danger: Danger | None = None  # None = all is well
    why: str = ""
    do: str = ""
    where: str = ""  # the queue, node, user, ... that it is about


def before_start(settings: Settings) -> list[Check]:
    """What is not well of what `run` looks at: quick, and without the rules, which are read at their own place.

    Who cannot be asked now is found, too. Raises ConfigFault for a wrong setting, which no start survives.
    """
    found: list[Check] = []
    for look in (environment, keys, database, broker):
        try:
            found += look(settings)
        except (BrokerLost, StoreDown) as fault:
            found.append(Check(look.__name__, str(fault), Danger.STOP))
    return [check for check in found if check.danger]


def environment(_settings: Settings) -> Iterator[Check]:
    """Whether every variable that looks like a setting is one: a mistyped key would leave the log unsealed."""
    yield from checked("environment", judge_variables(unknown()), "every value is possible")


def keys(settings: Settings) -> Iterator[Check]:
    """Whether others may read private keys."""
    loose = [str(path) for path in keyfile.loose(settings.key_folders)]
    yield from checked("keys", judge_keys(loose), "private keys are their owner's alone")


def database(settings: Settings) -> Iterator[Check]:
    """Whether the database keeps what it commits. Raises ConfigFault, StoreDown."""
    state = look_at_database(settings.database_url)
    if isinstance(state, Postgresql):
        yield from checked("database", judge_postgresql(state), f"{state.where} keeps what it commits")
        yield from checked("clock", judge_clock("PostgreSQL", state.clock, utc_now()), "PostgreSQL's agrees with ours")
    else:
        said = f"{state.free / 1e9:.1f} GB free at {state.folder}"
        yield from checked("disk", judge_sqlite(state), said)


def broker(settings: Settings) -> Iterator[Check]:
    """Our own broker. Raises BrokerLost, ConfigFault, RulesInvalid."""
    ours, needs = server(settings), wanted(settings)
    deeper = Management(settings.management_url) if settings.management_url else None
    found = look_into(ours, deeper)
    yield from one_broker(ours, found, needs, "Set SWX_MANAGEMENT_URL")
    if found:
        yield from _held_apart(found, needs, str(ours.parameters().credentials.username))


def look_into(broker: Server, deeper: Management | None) -> Broker | None:
    """What the management API shows of a broker's vhost; None without one. Raises BrokerLost."""
    return management.look(deeper, broker.parameters().virtual_host) if deeper else None


def one_broker(broker: Server, found: Broker | None, needs: Needs, do: str) -> Iterator[Check]:
    """What holds for any broker that messages go through: what must exist there does, and keeps them.

    `do`: what lets us look into it, where nothing was found because we may not.
    """
    yield Check("broker", f"RabbitMQ {admin.server_version(broker)} at {broker.where}")
    if not found:
        otherwise = admin.check_settings(broker, needs) if isinstance(needs, Topology) else []
        yield from checked("topology", [*admin.check(broker, needs), *otherwise], "everything exists")
        why = "Queue types, limits, policies, permissions and disk alarms are not shown by AMQP"
        yield Check("broker", "not looked into", Danger.RISK, why, do)
        return
    yield from checked("topology", judge_topology(found, needs), "exchanges, queues and policies keep messages")
    yield from checked("nodes", judge_nodes(found), "no alarm")
    if found.clock:
        yield from checked("clock", judge_clock("RabbitMQ", found.clock, utc_now()), "RabbitMQ's agrees with ours")


def _held_apart(found: Broker, needs: Topology, user: str) -> Iterator[Check]:
    """Who else may touch what goes through our broker; `user` is the daemon's."""
    yield from checked("consumers", judge_takers(found, INTAKE, user), f"nobody else takes from {INTAKE}")
    if found.permissions is None:
        why = "Somebody may be allowed to take or delete what is not theirs"
        yield Check("permissions", "not looked at", Danger.RISK, why, "Use an administrator in SWX_MANAGEMENT_URL")
        return
    ours = [replace(p, user=user) if p.user == DAEMON else p for p in needs.permissions()]
    yield from checked("permissions", judge_permissions(found, ours, needs), "everybody may do their part alone")


def checked(name: str, problems: Iterable[Problem], else_said: str) -> Iterator[Check]:
    """The problems as checks; where there is none but risks, also that all is well."""
    checks = as_checks(name, problems)
    yield from checks
    if all(check.danger is Danger.RISK for check in checks):
        yield Check(name, else_said)


def as_checks(name: str, problems: Iterable[Problem]) -> list[Check]:
    """The problems as checks."""
    return [Check(name, p.what, p.danger, p.why, p.do, p.name) for p in problems]
