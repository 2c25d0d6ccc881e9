"""explainer and explainer_child: the slow engine in a process of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from swexchange.core.schema import Validator
from swexchange.errors import ConfigFault, Fault
from swexchange.schemas import compiled
from swexchange.schemas.explainer import Explainer
from tests.unit.xsd_writing import element, load, pattern, put, schema, short, tree, validator

SLOW = "(a|a)*b"  # passes the check of patterns; 2^n ways for n letters
SLOW_DOCUMENT = b"<A>" + b"a" * 60 + b"</A>"


@pytest.fixture(scope="module")
def explainer() -> Iterator[Explainer]:
    """A warm one."""
    with Explainer(deadline=60.0, restart_pause=0.0) as it:
        yield it


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor, "rb"):
        return bool(select.select([descriptor], [], [], seconds)[0])


# -- compiling


def test_what_libxml2_lets_pass_xmlschema_does_not(tmp_path: Path, explainer: Explainer) -> None:
    """A restriction that restricts nothing; the fault is at the admin's file and line."""
    body = """<xs:complexType name="Base"><xs:sequence><xs:element name="a"/></xs:sequence></xs:complexType>

      <xs:complexType name="Wider"><xs:complexContent><xs:restriction base="Base">
        <xs:sequence><xs:element name="a" maxOccurs="9"/></xs:sequence>
      </xs:restriction></xs:complexContent></xs:complexType>"""
    bundle = load(tmp_path, body + element("A", of="Wider"))
    with pytest.raises(ConfigFault) as raised:
        explainer.compile([bundle])
    assert raised.value.where == "a.xsd:4"


def test_a_full_disk_is_no_fault_of_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ours, which waiting can mend: a daemon that reads its rules again goes on with the old ones."""
    bundle = load(tmp_path, element("A"))
    with Explainer() as explainer:
        for call in ("mkdir", "write_bytes", "write_text"):
            with monkeypatch.context() as patched:
                patched.setattr(Path, call, _no_room)
                with pytest.raises(Fault, match="No space left") as raised:
                    explainer.compile([bundle])
            assert not isinstance(raised.value, ConfigFault)
        explainer.compile([bundle])
    monkeypatch.setattr("swexchange.schemas.explainer.TemporaryDirectory", _no_room)
    with pytest.raises(Fault, match="No space left"):
        Explainer()


def _no_room(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device", "/tmp/somewhere")


def test_an_import_that_xmlschema_only_warns_of_is_a_fault(tmp_path: Path, explainer: Explainer) -> None:
    """Even where nothing of the namespace is missed."""
    imported = '<xs:import namespace="urn:b" schemaLocation="b.xsd"/>'
    put(tmp_path, {"a.xsd": schema(imported + element("A"), "urn:a"), "b.xsd": schema(short("T"), "urn:b")})
    bundle = compiled.load(tmp_path, ["a.xsd"])
    lacking = {name: source for name, source in bundle.sources.items() if source.origin != "b.xsd"}
    object.__setattr__(bundle, "sources", lacking)
    with pytest.raises(ConfigFault, match=r"Include|Import"):
        explainer.compile([bundle])


def test_after_a_failed_compile_all_that_was_held_is_still_explained(tmp_path: Path, explainer: Explainer) -> None:
    """A wrong edit of a schema takes nothing away."""
    good = load(tmp_path / "1", element("A", of="xs:int"))
    bad = load(tmp_path / "2", element("A", of="xs:long"))
    object.__setattr__(bad, "roots", frozenset({"{urn:x}Missing"}))
    explainer.compile([good])
    with pytest.raises(ConfigFault, match="left out"):
        explainer.compile([good, bad])
    assert explainer.explain(good.digest, b"<A>x</A>", 5)


def test_bundles_that_are_no_longer_wanted_are_forgotten(tmp_path: Path, explainer: Explainer) -> None:
    """Reload after reload does not pile up schemas of 10 MB; but who still uses one is not left without."""
    names = ("One", "One", "Two")
    one, again, two = (load(tmp_path / str(i), element(name, of="xs:int")) for i, name in enumerate(names))
    digest = one.digest
    explainer.compile([one])
    explainer.compile([two])
    assert explainer.explain(digest, b"<One>x</One>", 5)
    explainer.compile([again])
    del one
    explainer.compile([two])
    assert explainer.explain(digest, b"<One>x</One>", 5)
    del again
    explainer.compile([two])
    assert explainer.explain(digest, b"<One>x</One>", 5) is None
    assert explainer.explain(two.digest, b"<Two>x</Two>", 5)


def test_compiling_again_what_is_held_does_nothing(tmp_path: Path, explainer: Explainer) -> None:
    """A reload of unchanged schemas costs nothing, and the child stays."""
    bundle = load(tmp_path, element("A"))
    explainer.compile([bundle])
    pid = explainer.pid
    explainer.compile([bundle])
    assert explainer.pid == pid


def test_chinese_names_circles_and_chameleons_compile_here_too(tmp_path: Path, explainer: Explainer) -> None:
    """The closed set is the same for both engines."""
    put(
        tmp_path,
        {
            "报文.xsd": schema(
                '<xs:include schemaLocation="类型.xsd"/><xs:import namespace="urn:b" schemaLocation="附件.xsd"/>'
                + element("A", element("x", of="t:T") + "<xs:any/>"),
                "urn:a",
            ),
            "附件.xsd": schema(
                '<xs:include schemaLocation="类型.xsd"/><xs:import namespace="urn:a" schemaLocation="报文.xsd"/>'
                + element("B", of="t:T"),
                "urn:b",
            ),
            "类型.xsd": schema(short("T")),
        },
    )
    bundle = compiled.load(tmp_path, ["报文.xsd"])
    explainer.compile([bundle])
    document = '<A xmlns="urn:a"><x>abc</x><B xmlns="urn:b">abc</B></A>'
    assert explainer.explain(bundle.digest, document.encode(), 5) == []
    found = explainer.explain(bundle.digest, document.replace("abc", "abcd").encode(), 5) or []
    assert [reason.element for reason in found] == [1, 2]


def test_locations_in_a_document_are_not_followed(tmp_path: Path, explainer: Explainer) -> None:
    """A sender cannot bring in a schema."""
    other = put(tmp_path / "other", {"z.xsd": schema(element("Z", of="xs:int"), "urn:z")}) / "z.xsd"
    bundle = load(tmp_path / "1", element("A", '<xs:any processContents="lax"/>'))
    explainer.compile([bundle])
    hint = f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:z {other.as_uri()}"'
    document = f'<A {hint}><Z xmlns="urn:z">x</Z></A>'
    assert explainer.explain(bundle.digest, document.encode(), 5) == []
    assert Validator(bundle, lambda *_: None).findings(tree(document), 5) == ()


# -- XSD 1.1

ASSERTION = element(
    "A", element("Low", of="xs:int") + element("High", of="xs:int"), after='<xs:assert test="Low le High"/>'
)


def test_a_schema_of_xsd_11_is_judged_by_its_assertions(tmp_path: Path, explainer: Explainer) -> None:
    """Verdict and reason come from the child."""
    bundle = load(tmp_path, ASSERTION, attributes='vc:minVersion="1.1"')
    explainer.compile([bundle])
    assert validator(bundle, explainer).findings(tree("<A><Low>1</Low><High>2</High></A>"), 5) == ()
    (found,) = validator(bundle, explainer).findings(tree("<A>\n<Low>3</Low><High>2</High></A>"), 5)
    assert (found.code, found.path, found.line) == ("0002", "/A", 1)
    assert "assertion" in found.detail


def test_without_a_verdict_in_time_a_document_of_xsd_11_is_undecided(tmp_path: Path) -> None:
    """Neither valid nor invalid: code 4007."""
    bundle = load(tmp_path, pattern("A", SLOW), attributes='vc:minVersion="1.1"')
    with Explainer(deadline=0.5, restart_pause=0.0) as explainer:
        explainer.compile([bundle])
        assert [f.code for f in validator(bundle, explainer).findings(tree(SLOW_DOCUMENT), 5)] == ["4007"]


def test_a_verdict_waits_for_a_child_that_is_being_started(tmp_path: Path) -> None:
    """A document of XSD 1.1 is not refused because the last child has just been killed."""
    bundle = load(tmp_path, ASSERTION, attributes='vc:minVersion="1.1"')
    with Explainer(deadline=30.0, restart_pause=0.0) as explainer:
        explainer.compile([bundle])
        kill(explainer)
        assert explainer.judge(bundle.digest, b"<A><Low>1</Low><High>2</High></A>", 5) is None
        assert explainer.judge(bundle.digest, b"<A><Low>1</Low><High>2</High></A>", 5) == []


# -- failures


def test_a_large_document_is_not_explained(tmp_path: Path) -> None:
    """The slow engine takes a second for a megabyte of faults; libxml2's words do."""
    bundle = load(tmp_path, element("A", of="xs:int"))
    with Explainer(deadline=60.0, largest=1000) as explainer:
        explainer.compile([bundle])
        assert explainer.explain(bundle.digest, f"<A>{'x' * 993}</A>".encode(), 5)
        assert explainer.explain(bundle.digest, f"<A>{'x' * 994}</A>".encode(), 5) is None
        assert explainer.judge(bundle.digest, f"<A>{'x' * 994}</A>".encode(), 5)


def kill(explainer: Explainer) -> None:
    """Kill the child, and wait until it is dead."""
    assert explainer.pid is not None
    os.kill(explainer.pid, signal.SIGKILL)
    assert gone(explainer.pid, 10.0)


def test_a_document_that_takes_too_long_costs_the_deadline_and_is_refused_in_libxml2s_words(tmp_path: Path) -> None:
    """The child is killed; nobody waits for more than the deadline."""
    bundle = load(tmp_path, pattern("A", SLOW))
    with Explainer(deadline=0.5, restart_pause=60.0) as explainer:
        explainer.compile([bundle])
        pid = explainer.pid
        started = monotonic()
        (found,) = validator(bundle, explainer).findings(tree(SLOW_DOCUMENT), 5)
        assert 0.4 < monotonic() - started < 10.0
        assert (found.code, found.path) == ("0002", "/A")
        assert "pattern" in found.detail
        assert pid is not None
        assert gone(pid, 0.0)


def test_while_the_new_child_compiles_nobody_waits_for_it(tmp_path: Path) -> None:
    """None at once, and the answer as soon as it is ready."""
    bundle = load(tmp_path, element("A", of="xs:int"))
    with Explainer(deadline=30.0, restart_pause=0.0) as explainer:
        explainer.compile([bundle])
        kill(explainer)
        started = monotonic()
        assert explainer.explain(bundle.digest, b"<A>x</A>", 5) is None
        assert explainer.explain(bundle.digest, b"<A>x</A>", 5) is None
        assert monotonic() - started < 5.0
        assert explainer.judge(bundle.digest, b"<A>x</A>", 5)
        assert explainer.explain(bundle.digest, b"<A>x</A>", 5)


def test_a_child_that_keeps_dying_is_not_started_again_and_again(tmp_path: Path) -> None:
    """Hostile documents cannot make the daemon start a process for each of them."""
    bundle = load(tmp_path, element("A"))
    with Explainer(restart_pause=3600.0) as explainer:
        explainer.compile([bundle])
        kill(explainer)
        for _ in range(3):
            assert explainer.explain(bundle.digest, b"<A/>", 5) is None
        assert explainer.pid is None


@pytest.mark.parametrize(
    "document",
    [
        b'<A xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="no:such"/>',
        b"not XML",
        b"",
        b"<A>" * 250 + b"</A>" * 250,
        b"<A>" * 100_000,
        b'<!DOCTYPE A SYSTEM "http://example.org/x"><A/>',
    ],
)
def test_no_document_ends_the_child(tmp_path: Path, explainer: Explainer, document: bytes) -> None:
    """Errors of the engine itself are no answer, and the child lives on."""
    bundle = load(tmp_path, element("A", '<xs:element ref="A" minOccurs="0"/>'))
    explainer.compile([bundle])
    pid = explainer.pid
    explainer.explain(bundle.digest, document, 5)
    assert explainer.explain(bundle.digest, b"<A>x</A>", 5)
    assert explainer.pid == pid


def test_an_unknown_bundle_has_no_answer(explainer: Explainer) -> None:
    """And no exception."""
    assert explainer.explain(b"unknown", b"<A/>", 5) is None


def test_a_child_that_cannot_start_is_a_fault_of_configuration(tmp_path: Path) -> None:
    """Here for want of memory; it is said at load, not found out later."""
    with Explainer(memory=1 << 20) as explainer, pytest.raises(ConfigFault, match="memory"):
        explainer.compile([load(tmp_path, element("A"))])


def test_a_schema_that_takes_too_long_to_compile_is_a_fault(tmp_path: Path) -> None:
    """The load ends, whatever the schema."""
    with Explainer(compile_deadline=0.01) as explainer, pytest.raises(ConfigFault, match=r"longer than 0\.01 s"):
        explainer.compile([load(tmp_path, element("A"))])


def test_the_child_has_no_secret_and_is_bounded(
    tmp_path: Path, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the daemon's environment, no core dump, a limit on its memory."""
    monkeypatch.setenv("SWX_DATABASE_URL", "postgresql://user:secret@db/x")
    with Explainer(memory=3 << 29) as fresh:
        fresh.compile([load(tmp_path, element("A"))])
        proc = Path(f"/proc/{fresh.pid}")
        assert b"secret" not in (proc / "environ").read_bytes()
        limits = (proc / "limits").read_text()
    assert f"Max address space         {3 << 29}" in limits
    assert "Max core file size        0" in limits


def test_closing_ends_the_child_and_leaves_no_files(tmp_path: Path) -> None:
    """Nothing is left behind."""
    explainer = Explainer()
    explainer.compile([load(tmp_path, element("A"))])
    pid = explainer.pid
    assert pid is not None
    folder = Path(f"/proc/{pid}/cwd").readlink()
    explainer.close()
    assert gone(pid, 0.0)
    assert not folder.exists()


ORPHAN = """
import os, sys, threading
from pathlib import Path
from swexchange.schemas import compiled
from swexchange.schemas.explainer import Explainer
bundle = compiled.load(Path(sys.argv[1]), ["a.xsd"])
explainer = Explainer(deadline=2.0)
explainer.compile([bundle])
def ticks():
    return int(Path(f"/proc/{explainer.pid}/stat").read_text().rpartition(")")[2].split()[11])
if sys.argv[2]:
    begun = ticks()
    threading.Thread(target=explainer.explain, args=(bundle.digest, sys.argv[2].encode(), 5), daemon=True).start()
    while ticks() < begun + 2:
        pass
print(explainer.pid, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("document", ["", SLOW_DOCUMENT.decode()])
def test_the_child_ends_with_its_parent(tmp_path: Path, document: str) -> None:
    """Idle, at once, and tidily; busy with a document that never ends, by its own alarm."""
    put(tmp_path, {"a.xsd": schema(pattern("A", SLOW))})
    command = [sys.executable, "-c", ORPHAN, str(tmp_path), document]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not gone(pid, 0.0)
        folder = Path(f"/proc/{pid}/cwd").readlink()
        parent.communicate(b"\n")
    assert gone(pid, 30.0)
    assert document or not folder.exists()
