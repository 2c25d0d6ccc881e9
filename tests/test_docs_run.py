"""What the documentation tells people to run does what it says: a new family, signing by hand, a consumer, units."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from swexchange import keyfile
from swexchange.broker import Outlet, Server, Topology, admin
from swexchange.broker.topology import inbox
from swexchange.cli import cli
from swexchange.core.model import Copy, Fate, Kind
from swexchange.core.parse import parse
from swexchange.core.signature import XML_DECLARATION, canonical
from swexchange.core.signature import sign as sign_document
from swexchange.settings import DEFAULTS, Settings, variable
from tests import rabbit, world
from tests.bench.beside import GENTLY
from tests.test_docs import BLOCK, NAMED_BLOCK, ROOT, page

FAMILY = page("how-to/add-a-schema-family.md")
UNITS = ("swexchange.service", "swexchange@.service", "swexchange-upstream@.service", "swexchange-sealer.service")
NICE = {"swexchange.service", "swexchange-sealer.service"}  # in which a sealer runs
WITNESS, BACKUP, ARCHIVE = "swexchange-witness.service", "swexchange-backup.service", "swexchange-archive.service"
_INSERTED = re.compile(r"^Under `([a-z]+:)` [^`]*?:\n\n```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def _above() -> click.Context:
    """What a command is called within: without it, click would remember that the command has no `-h`."""
    return click.Context(cli, info_name="swexchange", **cli.context_settings)


def named_block(text: str, name: str) -> str:
    """The block that a page puts under the name of a file."""
    blocks: dict[str, str] = dict(NAMED_BLOCK.findall(text))
    return blocks[name]


# -- docs/how-to/add-a-schema-family.md


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rules and schemas in a folder of their own, after everything that the page says was done to them."""
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    for name, content in NAMED_BLOCK.findall(FAMILY):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    rules = (ROOT / "routes.yaml").read_text("utf-8")
    for key, lines in _INSERTED.findall(FAMILY):
        before, heading, after = rules.partition(f"\n{key}\n")
        assert heading, f"routes.yaml has no {key}"
        rules = before + heading + lines + after
    (tmp_path / "routes.yaml").write_text(rules, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("checkout")
def test_the_new_family_works_as_shown() -> None:
    """Files, edits and commands of the page, in order: each command prints what the page shows."""
    assert len(_INSERTED.findall(FAMILY)) == 5
    assert len(NAMED_BLOCK.findall(FAMILY)) == 5
    (console,) = [block for name, block in BLOCK.findall(FAMILY) if name == "console"]
    for step in console.split("$ ")[1:]:
        line, _, shown = step.partition("\n")
        result = CliRunner().invoke(cli, shlex.split(line)[1:])
        assert matches(shown, result.stdout), f"{line}\n{result.output}"


def matches(shown: str, printed: str) -> bool:
    """Whether the text shown is the text printed, three dots standing for anything."""
    return re.fullmatch(re.escape(shown).replace(r"\.\.\.", ".*"), printed, re.DOTALL) is not None


def test_three_dots_stand_for_anything_and_nothing_else_does() -> None:
    """The comparison above can fail."""
    assert matches("a\n... b\n", "a\n12 b\n")
    assert not matches("a\n... b\n", "a\n12 c\n")


# -- docs/how-to/integrators.md


@pytest.fixture
def key_folder(tmp_path: Path) -> Path:
    """A folder with a new private key in keys/."""
    keyfile.new("DXPENT0000012345-2027", tmp_path / "keys")
    return tmp_path


@pytest.mark.parametrize(
    "make", [world.declaration, lambda: world.dxp_msg(world.declaration())], ids=["bare", "DxpMsg"]
)
def test_signing_by_hand_gives_the_same_bytes(key_folder: Path, make: Callable[[], bytes]) -> None:
    """The shell script of the page, with xmllint and OpenSSL, writes what `swexchange sign` writes."""
    (key_folder / "sign.sh").write_text(named_block(page("how-to/integrators.md"), "sign.sh"))
    (key_folder / "unsigned.xml").write_bytes(make())
    done = subprocess.run(
        ["bash", "sign.sh", "DXPENT0000012345-2027", "unsigned.xml"], cwd=key_folder, capture_output=True, check=True
    )
    document = parse(make(), world.LIMIT)
    assert canonical(document.root) == make()
    wanted = sign_document(document, keyfile.load("DXPENT0000012345-2027", [key_folder / "keys"]))
    assert XML_DECLARATION + done.stdout == wanted


def test_what_an_integrator_does_by_hand_works_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the page that needs no broker, in order; between them the key is registered, as it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schemas").symlink_to(ROOT / "schemas")
    sample = (ROOT / "schemas/dec/4.9.7/samples/DecMessage.valid.export.xml").read_bytes()
    (tmp_path / "declaration.xml").write_bytes(sample)
    (tmp_path / "envelope.xml").write_bytes(world.dxp_msg(sample))
    rules = (ROOT / "routes.yaml").read_text("utf-8")
    before, name, after = rules.partition("      - {id: DXPENT0000012345-2026")
    new, *offline = [line for line in shell_lines("how-to/integrators.md") if not line.startswith(NEEDS_OTHERS)]
    registered = f"      - {done(new)}"
    (tmp_path / "routes.yaml").write_text(before + registered + name + after, "utf-8")
    assert len(offline) == 5
    for line in offline:
        done(line)


NEEDS_OTHERS = ("swexchange send", "swexchange receive", "swexchange verify in/")


def shell_lines(name: str) -> list[str]:
    """The command lines of a page's shell blocks that start the program, in order."""
    blocks = (block for language, block in BLOCK.findall(page(name)) if language == "sh")
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip().startswith("swexchange ")]


def done(line: str) -> str:
    """What a command line prints on stdout, having ended well."""
    result = CliRunner().invoke(cli, shlex.split(line)[1:])
    assert result.exit_code == 0, f"{line}\n{result.output}"
    return result.stdout


# -- docs/how-to/upstream.md


def test_the_examples_of_both_platforms_are_right_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two commands of the page, in the project's folder."""
    monkeypatch.chdir(ROOT)
    first, second, *_ = shell_lines("how-to/upstream.md")
    assert "2 tests, 0 failed" in done(first)
    assert "2 ok, 0 failed" in done(second)


# -- docs/how-to/agencies.md


def test_the_consumer_hands_each_message_over_once(tmp_path: Path) -> None:
    """Two messages, one of them twice: work() sees two; what it raises for leaves its message in the queue."""
    server = Server(rabbit.shared().vhost("docs"))
    admin.apply(server, Topology((world.CUSTOMS,)))
    first, second = (
        Copy(n * 40, Kind.MESSAGE, world.CUSTOMS, "DecMessage", f"MSG-{n}", "0" * 32, b"<a></a>") for n in ("a", "b")
    )
    outlet = Outlet(server)
    assert set(outlet.publish([first, second, first])) == {Fate.CONFIRMED}
    outlet.close()
    seen: list[str] = []
    space: dict[str, Any] = {}
    exec(named_block(page("how-to/agencies.md"), "consume.py"), space)
    arguments = (server.url, inbox(world.CUSTOMS), str(tmp_path / "seen.db"))

    def work(_type: str, message_id: str, _body: bytes) -> None:
        if message_id == "MSG-b" and "failed" not in seen:
            seen.append("failed")
            raise RuntimeError("disk full")
        seen.append(message_id)

    with pytest.raises(RuntimeError, match="disk full"):
        space["consume"](*arguments, work, idle=1)
    space["consume"](*arguments, work, idle=1)
    assert seen == ["MSG-a", "failed", "MSG-b"]
    with closing(sqlite3.connect(tmp_path / "seen.db")) as database:
        assert database.execute("SELECT count(*) FROM seen").fetchone() == (2,)


# -- systemd/


def unit(name: str) -> dict[str, list[str]]:
    """A unit's settings; one that stands several times has several values."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "systemd" / name).read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def environment_file() -> dict[str, str]:
    text = (ROOT / "systemd" / "swexchange.env").read_text("utf-8")
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string("[env]\n" + text)
    return dict(parser["env"])


@pytest.mark.parametrize("name", UNITS)
def test_the_units_start_commands_that_exist(name: str) -> None:
    """ExecStart is a command line that the program takes."""
    (line,) = unit(name)["ExecStart"]
    line = line.replace("${WORKERS}", environment_file()["WORKERS"]).replace("${NUMBER}", "64")
    arguments = shlex.split(line.replace("%i", "0"))
    assert arguments[0].endswith("/bin/swexchange")
    command = cli.commands[arguments[1]]
    command.make_context("run", arguments[2:], parent=_above())


def test_the_witness_s_unit_starts_it_with_its_own_key_and_memory() -> None:
    found = unit(WITNESS)
    (line,), (credential,), (state,) = found["ExecStart"], found["LoadCredential"], found["StateDirectory"]
    given = shlex.split(line)
    assert given[0].endswith("/bin/swexchange")
    group = cli.commands["witness"]
    assert isinstance(group, click.Group)
    context = group.commands[given[2]].make_context("run", given[3:], parent=_above())
    assert credential.startswith(f"{context.params['key_id']}.key:")
    assert context.params["memory"] == f"/var/lib/{state}/seen.json"
    assert found["RestartPreventExitStatus"] == ["2"]


@pytest.mark.parametrize("name", [*UNITS, WITNESS, BACKUP, ARCHIVE])
def test_the_units_are_hardened(name: str) -> None:
    """Each way out of the cage is closed; the filter leaves what the program was tried with."""
    found = {key: values[-1] for key, values in unit(name).items()}
    assert {key: value for key, value in found.items() if value == "yes"}.keys() >= HARDENED
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"] == ""
    assert (found["ProtectSystem"], found["ProtectProc"], found["ProcSubset"]) == ("strict", "invisible", "pid")
    nice = ["setpriority"] if name in NICE else []
    assert unit(name)["SystemCallFilter"] == ["@system-service", "~@privileged @resources", *nice]
    assert (found["IPAddressDeny"], found["IPAddressAllow"], found["UMask"]) == ("any", "localhost", "0077")
    assert found["User"] == "swexchange"


HARDENED = {
    "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectClock", "ProtectHostname",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectControlGroups", "RestrictNamespaces",
    "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "RemoveIPC",
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_the_units_know_how_the_daemon_behaves(name: str) -> None:
    """Ready, alive and stopped as the code says it; a wrong setting ends it for good."""
    found = {key: values[-1] for key, values in unit(name).items()}
    assert (found["Type"], found["RestartPreventExitStatus"], found["Restart"]) == ("notify", "2", "always")
    assert int(found["TimeoutStopSec"]) > 2 * Settings().confirm_seconds
    assert int(found["WatchdogSec"]) > 4 * Settings().confirm_seconds


def test_the_units_differ_only_where_they_must() -> None:
    """What one unit is protected by, the others are too; each has its own credentials."""
    own = {"Description", "Conflicts", "NotifyAccess", "Environment", "ExecStart"}
    one, *others = (unit(name) for name in UNITS)
    without_sealer = {"SystemCallFilter"}
    without_rules = {"ExecReload", "CacheDirectory", "CacheDirectoryMode"}
    extra = (without_sealer, without_sealer | {"LoadCredential"}, without_rules | {"LoadCredential"})
    for other, more in zip(others, extra, strict=True):
        assert {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} == own | more


def test_the_nightly_backup_keeps_what_it_should(tmp_path: Path) -> None:
    """The unit's own commands: a backup, the drill of that one, and only then old ones are removed."""
    program = tmp_path / "swexchange"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ ! -e {tmp_path}/fail ] || exit 1\nmkdir -p "$2"\n')
    program.chmod(0o755)
    backups = tmp_path / "backups"
    for name, days in (("20200101T000000Z", 20), ("20200110T000000Z", 10), ("mine", 100)):
        (backups / name / "schemas").mkdir(parents=True)
        os.utime(backups / name, (time.time() - days * 86400,) * 2)
    places = {"/opt/swexchange/.venv/bin/swexchange": str(program), "/var/backups/swexchange": str(backups)}
    commands = [shlex.split(_as_shell(line, places)) for line in unit(BACKUP)["ExecStart"]]
    for command in commands:
        subprocess.run(command, check=True)
    (backup, drill) = (line.split() for line in (tmp_path / "calls").read_text().splitlines())
    assert (backup[0], drill[0]) == ("backup", "drill")
    assert backup[1] == drill[1]
    for name, *arguments in (backup, drill):
        cli.commands[name].make_context(name, arguments, parent=_above())
    assert {path.name for path in backups.iterdir()} == {"20200110T000000Z", "mine", Path(backup[1]).name}
    (tmp_path / "fail").touch()
    assert subprocess.run(commands[0], check=False).returncode == 1, "a failure ends the unit: nothing is removed"


def test_the_nightly_archive_prunes_by_retention_alone(tmp_path: Path) -> None:
    """The unit's own commands: files are written; pruning is asked for only where routes.yaml has `retention`."""
    program, routes = tmp_path / "swexchange", tmp_path / "routes.yaml"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    program.chmod(0o755)
    places = {"/opt/swexchange/.venv/bin/swexchange": str(program)}
    commands = [shlex.split(_as_shell(line, places)) for line in unit(ARCHIVE)["ExecStart"]]
    for rules, wanted in (
        ("routes: []\n", ["archive write"]),
        ("retention: {}\n", ["archive write", "archive prune --yes"]),
    ):
        routes.write_text(rules)
        (tmp_path / "calls").unlink(missing_ok=True)
        for command in commands:
            subprocess.run(command, check=True, env={**os.environ, "SWX_ROUTES": str(routes)})
        assert (tmp_path / "calls").read_text().splitlines() == wanted
    group = cli.commands["archive"]
    assert isinstance(group, click.Group)
    for line in wanted:
        _, name, *arguments = line.split()
        group.commands[name].make_context(name, arguments, parent=_above())


@pytest.mark.parametrize("name", [BACKUP, ARCHIVE])
def test_what_runs_at_night_is_gentle_and_writes_where_the_settings_say(name: str) -> None:
    """Its folder is that of the environment file, and the benchmark starts its command just so."""
    found = {key: values[-1] for key, values in unit(name).items()}
    assert ["nice", "-n", found["Nice"], "ionice", "-c", found["IOSchedulingClass"]] == list(GENTLY)
    assert unit(name.replace(".service", ".timer"))["Persistent"] == ["yes"]
    settings = environment_file()
    if name == BACKUP:
        assert settings["SWX_BACKUPS"] in found["ReadWritePaths"].split()
        assert any(f"={settings['SWX_BACKUPS']}/" in line for line in unit(name)["ExecStart"])
    else:
        assert settings["SWX_ARCHIVE"] == f"/var/lib/{found['StateDirectory']}"
    assert str(Path(settings["SWX_DATABASE_URL"].removeprefix("sqlite:///")).parent) in found["ReadWritePaths"].split()


def _as_shell(line: str, places: dict[str, str]) -> str:
    """A command as systemd would start it, in other places."""
    line = line.replace("%%", "%").replace("$$", "$")
    for ours, theirs in places.items():
        line = line.replace(ours, theirs)
    return line


def test_the_environment_file_sets_what_exists() -> None:
    """Each variable of the sample is a setting, or the unit's own WORKERS; its paths are the unit's folders."""
    found = environment_file()
    assert found.keys() - {"WORKERS"} <= {variable(name) for name in DEFAULTS}
    assert found["SWX_DATABASE_URL"].startswith("sqlite:////var/lib/swexchange/")
    assert found["SWX_ROUTES"].startswith(unit(UNITS[0])["WorkingDirectory"][0])
