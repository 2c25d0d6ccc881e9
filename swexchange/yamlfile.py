"""A strict reading of YAML for files that people edit: every scalar is the text as written.

So `no` stays "no" and 0530 stays "0530". Duplicate keys, aliases (a short file could unfold to a
huge one) and oversized files are errors that name file and line. Knows nothing of what the file means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from swexchange.errors import ConfigFault

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 50
_LOOKALIKES = dict(zip("：，［］｛｝＃－“”‘’\u3000\u00a0", ":,[]{}#-\"\"''  ", strict=True))  # typed by input methods

Place = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The data (dicts, lists, texts; an empty value is None) and the line of every place."""

    path: Path
    raw: bytes
    data: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def fault(self, what: str, place: Place, do: str = "") -> ConfigFault:
        """A fault that names this file and the line of the place."""
        return ConfigFault(what, where=f"{self.path}:{self.line(place)}", do=do)


def read(path: Path) -> YamlFile:
    """Read one file. Raises ConfigFault naming file and line."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigFault(f"cannot read {path}: {error.strerror}", do="Check the path and its permissions") from None
    return parse(raw, path)


def parse(raw: bytes, path: Path) -> YamlFile:
    """Parse the bytes of a file. Raises ConfigFault naming file and line."""
    if len(raw) > MAX_BYTES:
        what = f"the file is too large: at most {MAX_BYTES:,} bytes are read"
        raise ConfigFault(what, where=str(path), do="Is it the right one?")
    try:
        text = raw.decode("utf-8")
        _guard_structure(text, path)
        node = yaml.compose(text, Loader=yaml.CBaseLoader)
    except UnicodeDecodeError as error:
        where = f"{path}:{_line_at(raw, error.start)}"
        raise ConfigFault(f"byte {error.start} is not UTF-8", where=where, do="Save the file as UTF-8") from None
    except yaml.reader.ReaderError as error:
        where = f"{path}:{_line_at(raw, error.position)}"
        raise ConfigFault(
            f"not YAML: it has U+{error.character:04X}", where=where, do="Remove this character"
        ) from None
    except yaml.MarkedYAMLError as error:
        line = _line(error.problem_mark or error.context_mark)
        what = f"not YAML: {error.problem or error.context}"
        raise ConfigFault(what, where=f"{path}:{line}", do=_advice(text, line)) from None
    except yaml.YAMLError as error:
        raise ConfigFault(f"not YAML: {error}", where=str(path)) from None
    lines: dict[Place, int] = {}
    return YamlFile(path, raw, _build(node, (), lines, path), lines)


def _advice(text: str, line: int) -> str:
    """What to do where the parser gave up: the mistake is in this line or in the one before."""
    for number, near in reversed(list(enumerate(text.splitlines()[:line], 1))[-2:]):
        if found := next((c for c in near.partition(" #")[0] if c in _LOOKALIKES), None):
            return f"Line {number} has {found!r} (U+{ord(found):04X}) where YAML takes {_LOOKALIKES[found]!r}"
    return "Look at this line and the one before: indentation by blanks, quotes, brackets, a blank behind a colon"


def _guard_structure(text: str, path: Path) -> None:
    """Looks at the events alone, so that nothing deep or unfolding is ever built."""
    depth = 0
    for found in yaml.parse(text, Loader=yaml.CBaseLoader):
        depth += isinstance(found, yaml.CollectionStartEvent) - isinstance(found, yaml.CollectionEndEvent)
        if isinstance(found, yaml.AliasEvent):
            where = f"{path}:{_line(found.start_mark)}"
            raise ConfigFault("aliases (*name) are not allowed", where=where, do="Write the value out")
        if depth > MAX_DEPTH:
            raise ConfigFault("nested too deep", where=f"{path}:{_line(found.start_mark)}")


def _build(node: yaml.Node | None, place: Place, lines: dict[Place, int], path: Path) -> Any:
    if node is None:
        return None
    lines[place] = _line(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(node, place, lines, path))
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*place, i), lines, path) for i, item in enumerate(node.value)]
    return None if node.value == "" and isinstance(node, yaml.ScalarNode) and not node.style else node.value


def _line_at(raw: bytes, position: int) -> int:
    return raw.count(b"\n", 0, position) + 1


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 1


def _pairs(node: yaml.MappingNode, place: Place, lines: dict[Place, int], path: Path) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, value in node.value:
        where = f"{path}:{_line(key.start_mark)}"
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigFault("a key must be plain text", where=where)
        if key.value in seen:
            raise ConfigFault(f"the key {key.value!r} stands twice", where=where, do="Remove one of them")
        seen.add(key.value)
        built = _build(value, (*place, key.value), lines, path)
        lines[(*place, key.value)] = _line(key.start_mark)
        yield key.value, built
