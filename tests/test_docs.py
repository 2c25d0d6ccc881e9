"""What the documentation names exists, and what exists is documented.

The pages are read as text; nothing here needs a broker or a database. The reference pages'
generated parts are made by tests/reference.py.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from lxml import etree

from swexchange import __version__
from swexchange.broker import Topology
from swexchange.broker.topology import INTAKE, commands, inbox, outbox, queue_arguments, receipts
from swexchange.cli import cli, exits
from swexchange.core.checkpoint import Verifier
from swexchange.core.codes import MEANINGS
from swexchange.observe.metrics import Metrics, SealerMetrics
from swexchange.rules.structure import json_schema
from swexchange.settings import DEFAULTS, variable
from swexchange.store import tables
from tests import reference, world

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
SHOWN = [*PAGES, *sorted((ROOT / "systemd").iterdir())]
CODE = sorted(
    path
    for place in ("swexchange", "bin", "tests", "systemd")
    for path in (ROOT / place).rglob("*")
    if path.is_file() and path.suffix in ("", ".py", ".sh", ".service", ".env", ".json", ".yaml")
    if "__pycache__" not in path.parts
)

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAMED_BLOCK = re.compile(r"^`([^`\n]+)`:\n\n```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TOP = "swexchange|schemas|bin|systemd|tests|docs|\\.ci"
_PATH = re.compile(rf"(?:{_TOP})/[^\s`<>]*|[A-Za-z][\w-]*\.(?:md|lock|toml)|routes\.yaml")
_OWN_FILES = re.compile(r"schemas/pilot/.*")  # made by the reader of docs/how-to/add-a-schema-family.md


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


@cache
def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def page(name: str) -> str:
    return text_of(ROOT / "docs" / name)


def inline_code(text: str) -> list[str]:
    return _INLINE.findall(BLOCK.sub("", text))


def first_column(text: str) -> list[str]:
    """The inline code in the first cell of every table row, bold or not."""
    return re.findall(r"^\| (?:\*\*)?`([^`]+)`(?:\*\*)? \|", BLOCK.sub("", text), re.MULTILINE)


def cells(text: str) -> dict[str, list[str]]:
    """Table rows by the inline code of their first cell: the other cells, without code marks."""
    lines = (line for line in BLOCK.sub("", text).splitlines() if re.match(r"\| (?:\*\*)?`", line))
    rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    return {row[0].strip("*").split("`")[1]: [cell.strip("`").replace("\\|", "|") for cell in row[1:]] for row in rows}


# -- the reference


@each(sorted(reference.PAGES.glob("*.md")))
def test_what_comes_from_the_code_is_current(path: Path) -> None:
    """Codes, help texts and example receipts stand in the reference exactly as the code gives them."""
    assert text_of(path) == reference.renewed(text_of(path)), "renew it: .venv/bin/python -m tests.reference"


def test_every_part_from_the_code_is_shown() -> None:
    """Each generated part has its place in a page."""
    shown = [name for path in PAGES for name in re.findall(r"<!-- from the code: ([a-z-]+) -->", text_of(path))]
    assert sorted(shown) == sorted(reference.SECTIONS)


def test_settings_are_all_documented_with_their_defaults() -> None:
    """docs/reference/settings.md has each variable, its default and its option; no other."""
    options = {o.name: o.opts[0] for o in cli.params if isinstance(o, click.Option)}
    wanted = {variable(name): [str(default) or "empty", options.get(name, "")] for name, default in DEFAULTS.items()}
    assert {name: row[:2] for name, row in cells(page("reference/settings.md")).items()} == wanted


@each([*SHOWN, *CODE])
def test_variables_exist(path: Path) -> None:
    """Every SWX_ variable that is named anywhere is a setting, or is read by a script that says so."""
    known = {variable(name) for name in DEFAULTS}
    named = set(re.findall(r"\bSWX_[A-Z_]*[A-Z]\b", text_of(path)))
    assert named - known - OTHER_VARIABLES == set()


OTHER_VARIABLES = {"SWX_CRASH_AT"}  # for tests


def test_metrics_are_all_documented() -> None:
    """docs/reference/metrics.md has each metric with its type and labels; no other."""
    wanted = {}
    for attribute in (*vars(Metrics()).values(), *vars(SealerMetrics()).values()):
        for family in attribute.describe() if hasattr(attribute, "describe") else ():
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            wanted[family.name + suffix] = (family.type, list(attribute._labelnames))
    documented = {
        name: (row[0], re.findall(r"\w+", row[1])) for name, row in cells(page("reference/metrics.md")).items()
    }
    assert documented.pop("swexchange_rules_info") == ("info", ["digest"])  # the label is part of its value
    wanted.pop("swexchange_rules_info")
    assert documented == wanted


@each(PAGES)
def test_metrics_that_are_named_exist(path: Path) -> None:
    """Every swexchange_... name in the text is a metric."""
    known = set(first_column(page("reference/metrics.md")))
    assert set(re.findall(r"\bswexchange_\w+", text_of(path))) <= known


def test_every_code_has_its_advice() -> None:
    """docs/how-to/integrators.md says for each code what to do; for no other."""
    assert [name for name in first_column(page("how-to/integrators.md")) if name.isdigit()] == sorted(MEANINGS)


@each(PAGES)
def test_codes_that_are_named_exist(path: Path) -> None:
    """Every four-digit number set as code is a code of ours, or the bound of a class of codes."""
    bounds = {str(default) for default in DEFAULTS.values()}
    bounds |= {"0999", "1000", "1999", "2000", "2999", "3000", "3999", "4000", "9999", "0530"}
    named = {text for text in inline_code(text_of(path)) if re.fullmatch(r"\d{4}", text)}
    assert named <= MEANINGS.keys() | bounds


def test_every_key_of_routes_yaml_is_documented() -> None:
    """docs/reference/routes-yaml.md has each key that the JSON Schema allows, bold where it is required; no other."""
    schema = json.loads(json_schema())
    wanted = dict(_keys(schema, ""))
    for name, prefix in (("key", "keys[]."), ("edition", "editions[].")):
        wanted |= dict(_keys(schema["definitions"][name], prefix))
    text = page("reference/routes-yaml.md")
    bold = set(re.findall(r"^\| \*\*`([^`]+)`", text, re.MULTILINE))
    assert {name: name in bold for name in first_column(text)} == wanted


def _keys(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, bool]]:
    """Every key with whether it is required: participants[].keys, types[].bare.id, ..."""
    for name, inner in schema.get("properties", {}).items():
        yield prefix + name, name in schema.get("required", ())
        yield from _keys(inner, f"{prefix}{name}.")
        yield from _keys(inner.get("items", {}), f"{prefix}{name}[].")


def test_the_limits_of_routes_yaml_are_those_of_the_code() -> None:
    """The defaults that the reference gives are the ones in force when the file is silent."""
    limits = world.rulebook().limits
    rows = cells(page("reference/routes-yaml.md"))
    assert rows["limits.message_bytes"][0] == str(limits.message_bytes)
    assert rows["limits.findings"][0] == str(limits.findings)
    assert (limits.oldest, limits.ahead) == (None, None)
    assert rows["limits.oldest_days"][0] == rows["limits.ahead_hours"][0] == "not judged"


def test_exit_codes_are_all_documented() -> None:
    """docs/reference/commands.md has each exit code by number and name."""
    wanted = {name: str(value) for name, value in vars(exits).items() if name.isupper()}
    assert dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", page("reference/commands.md"), re.MULTILINE)) == {
        value: name for name, value in wanted.items()
    }


def test_names_and_permissions_of_the_broker_are_documented() -> None:
    """docs/reference/amqp.md has the names, queue arguments and permissions that the code declares."""
    text = page("reference/amqp.md")
    assert {outbox("X"), INTAKE, inbox("X"), receipts("X")} <= set(first_column(text))
    rows = cells(text.partition("## Permissions")[2])
    for permission in Topology(("X",)).permissions():
        user = permission.user if permission.user in rows else "X"
        assert rows[user] == [permission.configure, permission.write, permission.read]
    for name, value in queue_arguments("4.0.0").items():
        assert f"`{name}={value}`" in text or name == "x-queue-type"


def test_every_column_of_the_audit_log_is_documented() -> None:
    """docs/reference/audit.md has each table and each of its columns; no other."""
    wanted = {f"{t.name}.{column.name}" for t in tables.metadata.tables.values() for column in t.columns}
    assert {name for name in first_column(page("reference/audit.md")) if "." in name} == wanted


def test_every_field_of_the_note_is_documented() -> None:
    """docs/reference/receipts.md explains each name=value of the Note of every example; no other."""
    examples = "".join(make() for name, make in reference.SECTIONS.items() if name.startswith("receipt-"))
    names = {pair.split("=")[0] for note in re.findall(r"<Note>([^<]*)", examples) for pair in note.split(";")}
    section = page("reference/receipts.md").partition("## The Note")[2].partition("## Examples")[0]
    assert set(first_column(section)) == names


# -- command lines


def command_lines(text: str) -> Iterator[str]:
    """Every `swexchange ...` in inline code, and every line of a shell block that starts with it."""
    for name, block in BLOCK.findall(text):
        if name in ("sh", "bash", "console", "text"):
            joined = block.replace("\\\n", " ")
            lines = (line.strip().removeprefix("$ ") for line in joined.splitlines())
            yield from (re.split(r" [>|#]|  ", line)[0] for line in lines if line.startswith("swexchange "))
    yield from (code for code in inline_code(text) if code.startswith("swexchange ") and "..." not in code)


def parse(line: str) -> click.Command:
    """The command that a line means. Raises click's errors for what the program would refuse."""
    command: click.Command = cli
    context, rest = None, shlex.split(line)[1:]
    while True:
        context = command.make_context(command.name, rest, parent=context)
        if not isinstance(command, click.Group):
            return command
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found


@each(PAGES)
def test_command_lines_are_understood(path: Path) -> None:
    """Every command line that is shown names a command and options that exist; a group alone is fine in prose."""
    for line in command_lines(text_of(path)):
        try:
            parse(line)
        except click.exceptions.NoArgsIsHelpError:
            continue
        except click.exceptions.MissingParameter:
            assert line in inline_code(text_of(path)), f"{line}: an argument or option is missing"
        except click.ClickException as error:
            pytest.fail(f"{line}: {error.format_message()}")


@each(PAGES)
def test_options_that_are_named_exist(path: Path) -> None:
    """Every --option set as code is one of a command, or of a script in bin/."""
    options = {option for command in _commands(cli) for p in command.params for option in p.opts}
    scripts = "".join(text_of(p) for p in CODE if p.is_relative_to(ROOT / "bin"))
    for code in inline_code(text_of(path)):
        if code.startswith("--"):
            name = re.split(r"[ =]", code)[0]
            assert name in options | {"--help"} or name in scripts, code


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _commands(child)


def test_the_tree_of_commands_is_whole() -> None:
    """The reference has a heading for every command that is not hidden, and for no other."""
    shown = re.findall(r"^## (swexchange.*)", page("reference/commands.md"), re.MULTILINE)
    assert len(shown) == len([c for c in _commands(cli) if not c.hidden])


def test_permissions_that_are_shown_are_those_that_are_exported() -> None:
    """A line of `rabbitmqctl set_permissions` on a page is one that `topology export --commands` prints."""
    topology = Topology((), ("customs.example/witness",))
    exported = [line for line in commands(topology, "3.10.8") if "set_permissions" in line]
    text = page("how-to/prove-an-exchange.md")
    assert set(re.findall("^rabbitmqctl set_permissions .*", text, re.MULTILINE)) == set(exported)


@each(PAGES)
def test_verifier_keys_that_are_shown_whole_are_taken(path: Path) -> None:
    """Who tries the line as it stands is told about the evidence, not that the key is mistyped; dots leave one open."""
    for key in re.findall(r"[\w./-]+\+[0-9a-f]{8}\+[\w+/=]{40,}", text_of(path)):
        assert str(Verifier.read(key)) == key


# -- links, files, blocks


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@each(PAGES)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file that exists, and an anchor in it where it has one."""
    for link in _LINK.findall(BLOCK.sub("", text_of(path))):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(text_of(file)), link


@each(PAGES)
def test_files_that_are_named_exist(path: Path) -> None:
    """Every path of the project that is set as code exists."""
    for code in inline_code(text_of(path)):
        if _PATH.fullmatch(code) and not _OWN_FILES.fullmatch(code) and "<" not in code:
            assert (ROOT / code).exists(), code


@each([*CODE, ROOT / "pyproject.toml", ROOT / "routes.yaml"])
def test_pages_that_the_code_names_exist(path: Path) -> None:
    """A comment or message that sends somebody to the docs sends them to a page."""
    for name in re.findall(r"\bdocs/[\w/-]+\.md\b", text_of(path)):
        assert (ROOT / name).is_file(), name


def test_every_page_can_be_reached() -> None:
    """docs/README.md links to every page, and the first page to every how-to and reference."""
    index = {(ROOT / "docs" / link).resolve() for link in _LINK.findall(page("README.md"))}
    assert index == {p for p in PAGES if p.is_relative_to(ROOT / "docs") and p != ROOT / "docs/README.md"}
    front = {(ROOT / link.partition("#")[0]).resolve() for link in _LINK.findall(text_of(ROOT / "README.md"))}
    assert {p for p in index if p.parent.name != "decisions"} <= front


@each(PAGES)
def test_nothing_is_left_over(path: Path) -> None:
    """No path of somebody's machine, no note to self, nothing about how the work was done."""
    assert not re.search(r"/work/|/home/|/root/|/tmp/\w|\bTODO\b|\bFIXME\b|\bTBD\b|\bXXX\b", text_of(path))


@each(PAGES)
def test_blocks_are_what_they_say(path: Path) -> None:
    """YAML and JSON blocks can be read; XML blocks that are whole documents are well-formed."""
    for name, block in BLOCK.findall(text_of(path)):
        if name == "yaml":
            assert yaml.safe_load(block) is not None
        elif name == "json":
            json.loads(block)
        elif name == "xml" and "..." not in block:
            etree.fromstring(block.encode())


def test_the_changelog_knows_this_version() -> None:
    """CHANGELOG.md speaks of the version that the package has."""
    assert __version__ in text_of(ROOT / "CHANGELOG.md")


def test_dependencies_are_explained() -> None:
    """docs/decisions/dependencies.md has a line for each dependency; for no other."""
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    wanted = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}  # type: ignore[index]
    table = page("decisions/dependencies.md").partition("| Library |")[2].partition("**Refused.**")[0]
    assert set(re.findall(r"^\| ([\w-]+) \|", table, re.MULTILINE)) - {"---"} == wanted
