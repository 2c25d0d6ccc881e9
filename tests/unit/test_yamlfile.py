"""YAML as people edit it: every scalar is the text as written, and every mistake has a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swexchange import yamlfile
from swexchange.errors import ConfigFault
from swexchange.yamlfile import MAX_BYTES, YamlFile, parse

PATH = Path("routes.yaml")


def read(text: str) -> YamlFile:
    return parse(text.encode(), PATH)


def fault(text: str | bytes) -> ConfigFault:
    with pytest.raises(ConfigFault) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), PATH)
    return caught.value


@pytest.mark.parametrize(
    "text",
    ["no", "yes", "on", "off", "NO", "true", "True", "null", "~", "0530", "0o17", "0x1F", "1_000", "1.0", "1e3",
     "12:30:45", "2026-01-01", "2026-01-01T00:00:00Z", ".inf", ".nan", "+1", "=", "<<", "5304", "深圳", "3.10",
     "Norway"],
)  # fmt: skip
def test_a_scalar_is_the_text_as_written(text: str) -> None:
    """No country becomes false, no customs code loses its zero, no date becomes a date."""
    assert read(f"value: {text}\n").data == {"value": text}
    assert read(f"{text}: value\n").data == {text: "value"}
    assert read(f"- {text}\n").data == [text]


DATA: dict[str, tuple[str, Any]] = {
    "empty file": ("", None),
    "only a comment": ("# nothing\n", None),
    "empty value": ("a:\nb: ''\n", {"a": None, "b": ""}),
    "empty item": ("- \n- ''\n", [None, ""]),
    "quoted": ("a: \"x\\ty\"\nb: 'it''s'\n", {"a": "x\ty", "b": "it's"}),
    "flow": ("{a: [1, {b: c}], d: []}", {"a": ["1", {"b": "c"}], "d": []}),
    "block": ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
    "nested": ("a:\n  b:\n    - c: d\n      e: f\n    - g\n", {"a": {"b": [{"c": "d", "e": "f"}, "g"]}}),
    "merge is no magic": ("<<: {k: v}\n", {"<<": {"k": "v"}}),
    "document start": ("---\na: b\n...\n", {"a": "b"}),
    "Chinese keys": ("名称: 深圳\n", {"名称": "深圳"}),
    "byte order mark": ("\ufeffa: b\n", {"a": "b"}),
    "line ends of Windows": ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
}


@pytest.mark.parametrize(("text", "expected"), DATA.values(), ids=DATA)
def test_what_is_read(text: str, expected: Any) -> None:
    """Mappings, lists and texts; an empty value is None, an empty text is ''."""
    assert read(text).data == expected


def test_every_place_knows_its_line() -> None:
    """Keys, items and what stands in them; a place that is not there has the line of the nearest around it."""
    file = read("# comment\na:\n  - b: 1\n    c: 2\n  - d\nlong: |\n  x\n\nlast: {k: v}\n")
    assert file.line(()) == 2
    assert file.line(("a",)) == 2
    assert file.line(("a", 0)) == 3
    assert file.line(("a", 0, "c")) == 4
    assert file.line(("a", 1)) == 5
    assert file.line(("long",)) == 6
    assert file.line(("last", "k")) == 9
    assert file.line(("a", 0, "missing", 7)) == 3
    assert file.line(("missing",)) == 2
    assert read("").line(("x",)) == 1


def test_a_fault_names_file_line_and_what_to_do() -> None:
    """Built for a place, it reads as one sentence."""
    said = read("a: 1\nb: 2\n").fault("wrong", ("b",), "Do better")
    assert (said.what, said.where, said.do) == ("wrong", "routes.yaml:2", "Do better")
    assert str(said) == "wrong (routes.yaml:2). Do better"


FAULTS: dict[str, tuple[str, str, str]] = {
    "duplicate key": ("a: 1\nb: 2\na: 3\n", "routes.yaml:3", "'a' stands twice"),
    "duplicate key, deep": ("x:\n  - a: 1\n    a: 2\n", "routes.yaml:3", "'a' stands twice"),
    "duplicate key, quoted": ("a: 1\n'a': 2\n", "routes.yaml:2", "'a' stands twice"),
    "duplicate key, flow": ("{a: 1, a: 2}", "routes.yaml:1", "'a' stands twice"),
    "list as key": ("? [a, b]\n: c\n", "routes.yaml:1", "key must be plain text"),
    "mapping as key": ("? {a: b}\n: c\n", "routes.yaml:1", "key must be plain text"),
    "tab": ("a:\n\tb: c\n", "routes.yaml:2", "not YAML"),
    "open bracket": ("a: [1, 2\nb: c\n", "routes.yaml:2", "not YAML"),
    "open quote": ('a: "x\n', "routes.yaml:", "not YAML"),
    "indentation": ("a: 1\n  b: 2\n", "routes.yaml:2", "not YAML"),
    "unknown alias": ("a: *x\n", "routes.yaml:1", "aliases"),
    "two documents": ("a: b\n---\nc: d\n", "routes.yaml:2", "not YAML"),
    "reserved letter": ("a: @x\n", "routes.yaml:1", "not YAML"),
    "version directive": ("%YAML 9.9\n---\na: b\n", "routes.yaml:1", "not YAML"),
    "control character": ("名: b\nc: \x07\n", "routes.yaml:2", "not YAML: it has U+0007"),
    "zero": ("a: b\nc: \x00\n", "routes.yaml:2", "not YAML: it has U+0000"),
}


@pytest.mark.parametrize(("text", "where", "what"), FAULTS.values(), ids=FAULTS)
def test_a_mistake_is_told_with_file_and_line(text: str, where: str, what: str) -> None:
    """Duplicate keys, odd keys and what is no YAML: each a ConfigFault at its place."""
    said = fault(text)
    assert said.where.startswith(where)
    assert what in said.what


LOOKALIKES = {
    "colon": ("a: 1\nmatch：first\nb: 2\n", 2, "：", ":"),
    "colon in braces": ("a: {type：DecMessage}\nb: [\n", 1, "：", ":"),
    "bracket": ("a: [1, 2］\nb: 2\n", 1, "］", "]"),
    "quote": ('a: “x": y\n', 1, "“", '"'),
    "ideographic space": ("r:\n  - a: 1\n　　b: 2\n    c: 3\n", 3, "\u3000", " "),
    "space that does not break": ("a:\n  b: 1\n  \u00a0 c: 2\n d: 3\n", 3, "\u00a0", " "),
}


@pytest.mark.parametrize(("text", "line", "typed", "meant"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_a_full_width_character_is_named_where_the_parser_gives_up(
    text: str, line: int, typed: str, meant: str
) -> None:
    """It looks right on the screen of whoever typed it by an input method; the line may be the one before."""
    assert fault(text).do == f"Line {line} has {typed!r} (U+{ord(typed):04X}) where YAML takes {meant!r}"


@pytest.mark.parametrize("text", ["a: [1  # 一：二\nb: c\n", "a: 一：二\nb: 1\nc: [1\nd: 2\n"])
def test_what_is_no_yaml_is_told_with_what_to_look_at(text: str) -> None:
    """A full-width character in a comment, or further up, is not what is wrong."""
    assert fault(text).do.startswith("Look at this line and the one before: indentation")


def test_bytes_that_are_no_utf8_are_refused() -> None:
    """GBK is named by the place and the line of its first byte."""
    said = fault(b"a: b\n" + "名称: 深圳\n".encode("gbk"))
    assert "byte 5 is not UTF-8" in said.what
    assert said.where == "routes.yaml:2"
    assert said.do == "Save the file as UTF-8"


def test_the_size_limit_is_exact() -> None:
    """16 MB and no more; what is larger is not read."""
    comment = b"# " + b"x" * (MAX_BYTES - 3) + b"\n"
    assert parse(comment, PATH).data is None
    assert "at most" in fault(comment + b"\n").what
    with pytest.raises(ConfigFault, match="too large"):
        yamlfile.read(Path("/dev/zero"))


ALIASES = {
    "of a text": "a: &x 1\nb: *x\n",
    "of a mapping": "a: &x {k: v}\nb: *x\n",
    "merged": "a: &x {k: v}\nb:\n  <<: *x\n",
    "as a key": "a: &x k\n*x : v\n",
    "of itself": "a: &x\n  b: *x\n",
    "of its own list": "a: 1\nb: &x [1, *x]\n",
    "that multiply": "a: &a [x, x]\nb: &b " + "[*a, *a]\n" + "".join(f"c{n}: &c{n} [*b, *b]\n" for n in range(40)),
}


@pytest.mark.parametrize("text", ALIASES.values(), ids=ALIASES)
def test_aliases_are_refused_at_the_line_of_the_first(text: str) -> None:
    """A few lines of them could unfold to gigabytes, or to themselves: none is allowed."""
    said = fault(text)
    assert "aliases" in said.what
    assert said.where == f"routes.yaml:{text[: text.index('*')].count(chr(10)) + 1}"


def test_an_anchor_without_alias_does_no_harm() -> None:
    """It names something that nobody refers to."""
    assert read("a: &x 1\n").data == {"a": "1"}


@pytest.mark.parametrize("tag", ["!!int", "!!str", "!!binary", "!secret", "!!python/object/apply:os.system"])
def test_tags_make_nothing(tag: str) -> None:
    """A tag runs nothing and converts nothing: the text stays as written."""
    assert read(f"a: {tag} '7'\n").data == {"a": "7"}


@pytest.mark.parametrize("depth", [100, 900, 5_000])
@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "a:\n"], ids=["lists", "mappings", "items", "keys"])
def test_deep_nesting_is_a_fault_not_a_crash(piece: str, depth: int) -> None:
    """However deep, closed or not: data or a ConfigFault."""
    closing = {"[": "]", "{a: ": "}"}.get(piece, "")
    pieces = "".join(" " * n + "a:\n" for n in range(min(depth, 2_000))) if piece == "a:\n" else piece * depth
    for text in (pieces + "x" + closing * depth, pieces):
        assert named(text.encode())


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("a:-[]{}&*!|>'\"%@`#,? \n\t\\0é", max_size=40).map(str.encode)))
@example(b"a: &x [*x]")
@example(b"? &a [*a]\n: b")
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Whatever stands in the file: data of dicts, lists, texts and None, or a ConfigFault with the file's name."""
    assert named(raw)


def named(raw: bytes) -> bool:
    """Whether the bytes give plain data, or a fault that names the file."""
    try:
        return plain(parse(raw, PATH).data)
    except ConfigFault as said:
        return said.where.startswith("routes.yaml")


def plain(data: Any) -> bool:
    if isinstance(data, dict):
        return all(isinstance(key, str) and plain(value) for key, value in data.items())
    return all(map(plain, data)) if isinstance(data, list) else data is None or isinstance(data, str)


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    """From disk; what is missing, a folder or unreadable is a fault that names the path."""
    path = tmp_path / "rules.yaml"
    path.write_text("a: b\na: c\n")
    with pytest.raises(ConfigFault, match="stands twice") as caught:
        yamlfile.read(path)
    assert caught.value.where == f"{path}:2"
    for wrong in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ConfigFault, match=f"cannot read {wrong}"):
            yamlfile.read(wrong)
