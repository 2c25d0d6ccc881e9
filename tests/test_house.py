"""The rules of the house, read off the source by `ast`: who may import whom, how big things may get, what is banned.

docs/decisions/no-asyncio-no-plugins.md says why. A rule that gets in the way is discussed, not silenced.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "swexchange"

MOST_LINES = 320  # of a file
MOST_BODY = 40  # lines of a function without its head and docstring
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "base", "common", "misc"}

PURE = {"lxml", "xmlschema", "nacl"}  # what the core may import beside the standard library
NOT_PURE = {
    "asyncio", "builtins", "ctypes", "fcntl", "fileinput", "ftplib", "getpass", "glob", "http", "io",
    "locale", "logging", "mmap", "multiprocessing", "os", "pathlib", "platform", "queue", "random", "resource",
    "sched", "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket", "socketserver", "sqlite3",
    "ssl", "subprocess", "syslog", "tempfile", "time", "urllib", "uuid", "warnings", "zoneinfo",
}  # fmt: skip
ADAPTERS = {"broker", "store", "schemas", "observe"}
OWNERS = {
    "pika": {"broker"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "psycopg": {"store"},
    "sqlite3": {"store"},
    "click": {"cli"},
    "rich": {"cli"},
    "prometheus_client": {"observe"},
    "sdnotify": {"observe"},
    "yaml": {"yamlfile"},
    "jsonschema": {"rules"},
    "xmlschema": {"core", "schemas"},
    "nacl": {"core"},
}
INNER = (
    "core",
    "errors",
    "health",
    "worker",
    "pipeline",
    "forwarder",
    "quarantine",
    "upstream",
    "replay",
    "backup",
    "evidence",
    "rules",
)  # handed their neighbours
BANNED_MODULES = {"asyncio", "pickle", "marshal", "shelve", "pkgutil"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.full_load"}
BANNED_CALLS |= {"yaml.unsafe_load", "yaml.load_all", "entry_points", "metadata.entry_points"}
CLOCKS = {"now", "utcnow", "today", "fromtimestamp"}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name; a package goes by its own name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


def path_of(module: str) -> Path:
    stem = ROOT.joinpath(*module.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def room(module: str) -> str:
    """The part of the house that a module belongs to: swexchange.core.model -> core."""
    return module.split(".")[1] if "." in module else ""


@cache
def imports(module: str) -> tuple[str, ...]:
    """Dotted names of everything a module imports when it runs; what only the type checker sees is left out."""
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in _running(modules()[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else str(node.module)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        yield child
        yield from _running(child)


@cache
def calls(module: str) -> tuple[tuple[str, ast.Call], ...]:
    """Every call with the text of what is called."""
    found = (node for node in ast.walk(modules()[module]) if isinstance(node, ast.Call))
    return tuple((ast.unparse(node.func), node) for node in found)


def complain(found: Sequence[str]) -> None:
    assert not found, "\n".join(found)


def test_the_core_imports_nothing_that_reaches_outside() -> None:
    """core, health and errors import lxml, xmlschema, nacl, each other and what is harmless in the standard library."""
    allowed = PURE | (set(sys.stdlib_module_names) - NOT_PURE)
    complain(
        [
            f"{module} imports {name}"
            for module in modules()
            if room(module) in ("core", "errors", "health")
            for name in imports(module)
            if name.split(".")[0] not in allowed and not name.startswith((f"{PACKAGE}.core", f"{PACKAGE}.errors"))
            if not (room(module) == "health" and name.startswith(f"{PACKAGE}.health"))
        ]
    )


def test_the_core_asks_no_clock_and_opens_nothing() -> None:
    """core and health get the time as an argument, and never open a file, print or ask."""
    complain(
        [
            f"{module}:{call.lineno} calls {name}"
            for module in modules()
            if room(module) in ("core", "health")
            for name, call in calls(module)
            if name in ("open", "print", "input")
            or ("." in name and name.rpartition(".")[2] in CLOCKS)
            or (name.startswith("sys.") and name != "sys.intern")
        ]
    )


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_library_has_one_owner(library: str) -> None:
    """Only the broker knows pika, only the store SQL, only cli click: each can be replaced in one place."""
    complain(
        [
            f"{module} imports {name}"
            for module in modules()
            if room(module) not in OWNERS[library]
            for name in imports(module)
            if name.split(".")[0] == library
        ]
    )


def test_adapters_do_not_know_each_other() -> None:
    """broker, store, schemas and observe never import one another."""
    complain(
        [
            f"{module} imports {name}"
            for module in modules()
            if room(module) in ADAPTERS
            for name in imports(module)
            if room(name) in ADAPTERS - {room(module)}
        ]
    )


def test_what_decides_knows_no_adapter() -> None:
    """core, worker, pipeline, forwarder, quarantine and rules get broker, store and schemas handed over."""
    complain(
        [
            f"{module} imports {name}"
            for module in modules()
            if room(module) in INNER
            for name in imports(module)
            if name.startswith(PACKAGE) and room(name) in ADAPTERS
        ]
    )


def test_only_the_command_line_wires() -> None:
    """Outside cli nothing imports cli, and no module but cli imports two adapters."""
    for module in modules():
        names = [name for name in imports(module) if name.startswith(f"{PACKAGE}.")]
        if room(module) not in ("cli", "__main__"):
            assert "cli" not in map(room, names), f"{module} imports the command line"
            assert len(ADAPTERS.intersection(map(room, names))) <= 1, f"{module} wires"


def test_imports_go_one_way() -> None:
    """No module imports, through others, itself."""
    ahead = {module: {n for n in imports(module) if n in modules()} for module in modules()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "a circle: " + " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(ahead[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in ahead:
        visit(module, ())


def test_every_module_says_what_it_is_for() -> None:
    """A module starts with a docstring; the first line is a sentence of its own."""
    for module, tree in modules().items():
        said = ast.get_docstring(tree)
        assert said, f"{module} has no docstring"
        assert len(said.splitlines()) == 1 or not said.splitlines()[1], f"{module}: a blank line after the first"


def test_files_stay_small() -> None:
    """A file is read in one sitting."""
    sizes = {module: len(path_of(module).read_text("utf-8").splitlines()) for module in modules()}
    complain([f"{module} has {lines} lines" for module, lines in sizes.items() if lines > MOST_LINES])


def test_functions_stay_small() -> None:
    """A function fits on a screen."""
    complain(
        [
            f"{module}:{node.lineno} {node.name} has {lines} lines"
            for module, tree in modules().items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if (lines := _body_lines(node)) > MOST_BODY
        ]
    )


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_names_say_something() -> None:
    """No module is a drawer for everything."""
    complain([module for module in modules() if module.rpartition(".")[2] in NAMES_THAT_SAY_NOTHING])


def test_nothing_prints_outside_the_command_line() -> None:
    """Data goes out through cli, everything else through the log."""
    printing = [
        (module, call)
        for module in modules()
        if room(module) != "cli"
        for name, call in calls(module)
        if name == "print"
    ]
    complain([f"{module}:{call.lineno}" for module, call in printing])


def test_dangerous_things_are_not_there() -> None:
    """No pickle, eval, loose YAML, shell, asyncio, no plug-in discovery, no global statement."""
    for module, tree in modules().items():
        banned = [n for n in imports(module) if n in BANNED_MODULES or n.split(".")[0] in BANNED_MODULES]
        assert not banned, f"{module} imports {banned}"
        for name, call in calls(module):
            shell = any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in call.keywords)
            assert not shell, f"{module}:{call.lineno} starts a shell"
            assert name not in BANNED_CALLS, f"{module}:{call.lineno} calls {name}"
        assert not any(isinstance(node, ast.Global | ast.AsyncFunctionDef) for node in ast.walk(tree)), module


def test_sql_is_never_glued_together() -> None:
    """No text built from values is handed to the database as SQL."""
    for module in modules():
        for name, call in calls(module):
            if room(module) == "store" and name.rpartition(".")[2] in ("text", "exec_driver_sql"):
                assert not any(isinstance(a, ast.JoinedStr | ast.BinOp) for a in call.args), f"{module}:{call.lineno}"


def test_these_tests_see_the_whole_house() -> None:
    """The rules above are not kept for want of modules: each part they name exists."""
    rooms = {room(module) for module in modules()}
    assert {"core", "worker", "pipeline", "forwarder", "rules", "broker", "store", "schemas", "observe", "cli"} <= rooms
    assert len(modules()) > 40
