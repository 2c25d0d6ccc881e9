"""What the store promises of its version: made once, brought up whole, and never run on a wrong one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from swexchange.errors import ConfigFault, Fault, StoreDown
from swexchange.store import migrate, open_ledger, version
from swexchange.store.engine import make_engine, parse_url
from swexchange.store.tables import metadata
from tests import postgres
from tests.contract.conftest import Database
from tests.contract.exchanges import accepted, record


@pytest.fixture(params=["sqlite", "postgresql"])
def nothing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        yield Database("sqlite", f"sqlite:///{tmp_path}/new.db")
        return
    yield Database("postgresql", postgres.shared().create("test_new"))
    postgres.shared().drop("test_new")


def test_upgrading_makes_the_database(nothing: Database) -> None:
    """An empty database becomes a current one that works; a second time changes nothing."""
    assert migrate.upgrade(nothing.url) == ("", version.NEWEST)
    assert migrate.upgrade(nothing.url) == (version.NEWEST, version.NEWEST)
    assert version.check(nothing.url) == []
    with open_ledger(nothing.url) as ledger:
        record(ledger, accepted())


def test_two_upgrades_at_once_both_succeed(nothing: Database) -> None:
    """Two machines are set up in the same minute: one waits for the other, and finds nothing left to do."""
    if nothing.kind == "sqlite":
        Path(nothing.url.removeprefix("sqlite:///")).touch()
    engine, found = make_engine(parse_url(nothing.url)), list[object]()

    def go() -> None:
        try:
            found.append(migrate.upgrade(nothing.url))
        except Fault as fault:
            found.append(fault.what)

    other = threading.Thread(target=go)
    with engine.begin() as connection:
        migrate.upgrade_within(connection)
        other.start()
        other.join(1.0)
    other.join()
    engine.dispose()
    assert found == [("", version.NEWEST)]
    assert version.check(nothing.url) == []


def test_the_versions_that_are_known_are_those_of_the_migrations() -> None:
    """A start looks the version up without Alembic."""
    scripts = ScriptDirectory.from_config(migrate.configuration()).walk_revisions()
    assert tuple(script.revision for script in reversed(list(scripts))) == version.VERSIONS


def test_migrations_and_tables_agree(database: Database) -> None:
    """The chain of migrations makes exactly the tables that the code describes."""
    engine = make_engine(parse_url(database.url), read_only=True)
    with engine.begin() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


def test_a_database_without_tables_is_refused(nothing: Database) -> None:
    """A worker does not run on an empty database; the error says what to do."""
    with pytest.raises(ConfigFault, match="swexchange db upgrade"), open_ledger(nothing.url):
        pass


def test_a_newer_database_is_refused(database: Database) -> None:
    """Code never runs on, nor downgrades, a database that a newer program has changed."""
    with closing(database.connect()) as link:
        link.execute("UPDATE alembic_version SET version_num = '9999'")
        link.commit()
    with pytest.raises(ConfigFault, match="9999"), open_ledger(database.url):
        pass
    for refusing in (migrate.upgrade, version.check):
        with pytest.raises(ConfigFault, match="9999"):
            refusing(database.url)


def test_a_step_that_fails_leaves_the_database_as_it_was(nothing: Database) -> None:
    """A migration that breaks half-way leaves no half schema; once the cause is gone it succeeds."""
    with closing(nothing.connect()) as link:
        link.execute("CREATE TABLE event (mine TEXT)")
        link.commit()
    with pytest.raises(Exception, match="event"):
        migrate.upgrade(nothing.url)
    assert version.version(nothing.url) == ""
    with closing(nothing.connect()) as link:
        link.execute("DROP TABLE event")
        link.commit()
    migrate.upgrade(nothing.url)
    assert version.check(nothing.url) == []


def test_damage_is_found(database: Database) -> None:
    """A check names what is wrong with a database that lost a table or whose file was overwritten."""
    if database.kind == "postgresql":
        with closing(database.connect()) as link:
            link.execute("DROP TABLE event")
            link.commit()
    else:
        with open_ledger(database.url) as ledger:
            for n in range(50):
                record(ledger, accepted(f"M{n}"))
        with Path(database.path).open("r+b") as file:
            file.seek(-8192, 2)
            file.write(bytes(8192))
    assert _trouble(database.url)


def test_a_trigger_that_somebody_planted_is_found(nothing: Database) -> None:
    """It could say that what is owed was sent; a restored backup may bring one along."""
    migrate.upgrade(nothing.url)
    parsed = parse_url(nothing.url)
    body = "BEGIN UPDATE copy SET state = 'sent'; END"
    planted = [f"CREATE TRIGGER helpful AFTER INSERT ON copy {body}"]
    if parsed.get_backend_name() != "sqlite":
        planted = [
            "CREATE FUNCTION help() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER helpful AFTER INSERT ON copy FOR EACH ROW EXECUTE FUNCTION help()",
        ]
    engine = make_engine(parsed)
    with engine.begin() as connection:
        for statement in planted:
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert version.check(nothing.url) == ["table copy has a trigger helpful that is not ours: see what it does"]


def _trouble(url: str) -> str:
    try:
        return "; ".join(version.check(url))
    except StoreDown as fault:  # damaged so badly that it cannot even be checked
        return fault.what if "malformed" in fault.what else ""


@pytest.mark.parametrize(
    "url",
    [
        "mysql://host/db",
        "sqlite://",
        "",
        "::",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=memory",
        "sqlite://host/x.db",
        "sqlite+aiosqlite:///x.db",
        "postgresql://u:p@127.0.0.1:notaport/x",
        "postgresql://u:p@ss@127.0.0.1/x",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """What is no SQLite file and no PostgreSQL is a fault of configuration."""
    with pytest.raises(ConfigFault):
        parse_url(url)


def test_a_database_of_the_first_version_is_brought_up_with_what_is_in_it(nothing: Database) -> None:
    parsed = parse_url(nothing.url)
    if nothing.kind == "sqlite":
        Path(str(parsed.database)).touch()
    engine = make_engine(parsed)
    with engine.begin() as connection:
        config = migrate.configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with closing(nothing.connect()) as link:
        link.execute("INSERT INTO batch VALUES (7, 'rules', 1, 1)")
        link.commit()
    assert migrate.upgrade(nothing.url) == ("0001", version.NEWEST)
    assert nothing.rows("SELECT id FROM batch") == [(7,)]
    with open_ledger(nothing.url) as ledger:
        record(ledger, accepted())
