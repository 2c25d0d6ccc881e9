"""proven, and the slow engine that trusts it: what compiled before is compiled when it is needed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from swexchange.core.schema import Bundle
from swexchange.errors import ConfigFault
from swexchange.schemas import proven
from swexchange.schemas.explainer import Explainer
from swexchange.schemas.proven import Proven
from tests.unit.xsd_writing import element, load, pattern, tree, validator

WRONG = b"<A>x</A>"
WIDER = """<xs:complexType name="Base"><xs:sequence><xs:element name="a"/></xs:sequence></xs:complexType>
  <xs:complexType name="Wider"><xs:complexContent><xs:restriction base="Base">
    <xs:sequence><xs:element name="a" maxOccurs="9"/></xs:sequence>
  </xs:restriction></xs:complexContent></xs:complexType>"""


def number(folder: Path) -> Bundle:
    """A bundle whose document <A> is a number."""
    return load(folder, element("A", of="xs:int"))


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A folder that remembers the bundle of `number`."""
    Proven(tmp_path / "cache").add(number(tmp_path / "known"))
    return tmp_path / "cache"


# -- what is remembered


def test_what_compiled_is_remembered_and_nothing_else(tmp_path: Path) -> None:
    """The same bytes again are known; another schema, or none of the folder, is not."""
    known = tmp_path / "cache"
    with Explainer(proven=known) as explainer:
        explainer.compile([number(tmp_path / "known")])
    assert number(tmp_path / "known") in Proven(known)
    assert load(tmp_path / "other", element("A", of="xs:long")) not in Proven(known)
    assert number(tmp_path / "known") not in Proven(None)
    assert number(tmp_path / "known") not in Proven(tmp_path / "elsewhere")


def test_what_does_not_compile_is_not_remembered(tmp_path: Path) -> None:
    """However often it is tried, it is refused."""
    bundle = load(tmp_path / "1", WIDER + element("A", of="Wider"))
    for _ in range(2):
        with Explainer(proven=tmp_path / "cache") as explainer, pytest.raises(ConfigFault, match="restriction"):
            explainer.compile([bundle])
    assert bundle not in Proven(tmp_path / "cache")


def _other_python(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setattr(sys, "version", "3.99")


def _other_library(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setattr(proven, "version", lambda name: f"{name} 99")


def _asked_otherwise(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "explainer_child.py").write_text("# another way to ask")
    patch.setattr(proven, "__file__", str(folder / "proven.py"))


@pytest.mark.parametrize("change", [_other_python, _other_library, _asked_otherwise])
def test_another_engine_has_compiled_nothing_yet(
    tmp_path: Path, known: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch, Path], None]
) -> None:
    """After an upgrade every schema is compiled again."""
    change(monkeypatch, tmp_path)
    assert number(tmp_path / "known") not in Proven(known)


def test_a_folder_that_cannot_be_used_costs_time_alone(tmp_path: Path) -> None:
    """Here because a file is in its place."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with Explainer(proven=folder) as explainer:
            explainer.compile([number(tmp_path / "1")])
            assert explainer.pid is not None
            assert explainer.explain(number(tmp_path / "1").digest, WRONG, 5)


def test_a_mark_is_not_made_through_a_link(tmp_path: Path, known: Path) -> None:
    """Root may run a command on a folder that the daemon's user owns."""
    (mark,) = known.iterdir()
    mark.unlink()
    mark.symlink_to(tmp_path / "target")
    Proven(known).add(number(tmp_path / "known"))
    assert not (tmp_path / "target").exists()


# -- the engine that trusts it


def test_without_a_refused_document_there_is_no_child(tmp_path: Path, known: Path) -> None:
    """The start costs nothing, nor does a valid document."""
    with Explainer(proven=known) as explainer:
        bundle = number(tmp_path / "known")
        explainer.compile([bundle])
        assert validator(bundle, explainer).findings(tree(b"<A>5</A>"), 5) == ()
        assert explainer.pid is None


def test_the_first_refused_document_is_explained_as_any_other(tmp_path: Path, known: Path) -> None:
    """It waits for the engine, longer than a document may take; it is not put off with libxml2's words."""
    with Explainer(proven=known, deadline=0.05) as explainer:
        bundle = number(tmp_path / "known")
        explainer.compile([bundle])
        assert explainer.explain(bundle.digest, WRONG, 5)


def test_each_bundle_is_compiled_when_it_is_needed_first(tmp_path: Path, known: Path) -> None:
    """By the child that is there."""
    two = load(tmp_path / "two", element("B", of="xs:int"))
    Proven(known).add(two)
    with Explainer(proven=known) as explainer:
        one = number(tmp_path / "known")
        explainer.compile([one, two])
        assert explainer.explain(one.digest, WRONG, 5)
        pid = explainer.pid
        assert explainer.explain(two.digest, b"<B>x</B>", 5)
        assert explainer.pid == pid


def test_a_new_schema_beside_known_ones_is_compiled_at_load(tmp_path: Path, known: Path) -> None:
    """A reload refuses what does not compile, and what was in force is explained as before."""
    bad = load(tmp_path / "bad", WIDER + element("A", of="Wider"))
    with Explainer(proven=known) as explainer:
        bundle = number(tmp_path / "known")
        explainer.compile([bundle])
        with pytest.raises(ConfigFault, match="restriction"):
            explainer.compile([bundle, bad])
        assert explainer.explain(bundle.digest, WRONG, 5)


def test_what_judges_by_xsd_11_is_compiled_at_load_all_the_same(tmp_path: Path) -> None:
    """Its first document must not be undecided because the engine is not there yet."""
    for _ in range(2):
        bundle = load(tmp_path / "1", element("A", of="xs:int"), attributes='vc:minVersion="1.1"')
        with Explainer(proven=tmp_path / "cache") as explainer:
            explainer.compile([bundle])
            assert explainer.pid is not None
            assert explainer.judge(bundle.digest, b"<A>5</A>", 5) == []


def test_what_is_no_longer_wanted_is_forgotten_unneeded(tmp_path: Path, known: Path) -> None:
    """A reload drops what no child was ever asked for."""
    with Explainer(proven=known) as explainer:
        digest = number(tmp_path / "known").digest
        explainer.compile([number(tmp_path / "known")])
        explainer.compile([])
        assert explainer.explain(digest, WRONG, 5) is None


def test_while_silent_nothing_is_explained_and_nothing_is_started(tmp_path: Path, known: Path) -> None:
    """The tests beside the routes ask for decisions, not for words."""
    with Explainer(proven=known) as explainer:
        bundle = number(tmp_path / "known")
        explainer.compile([bundle])
        with explainer.silent():
            assert explainer.explain(bundle.digest, WRONG, 5) is None
        assert explainer.pid is None
        assert explainer.explain(bundle.digest, WRONG, 5)


# -- failures


def test_a_child_that_dies_while_it_compiles_costs_the_words_and_no_waiting(
    tmp_path: Path, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is refused in libxml2's words, at once; the next child compiles it in the background."""
    with Explainer(proven=known, restart_pause=0.0) as explainer:
        bundle = number(tmp_path / "known")
        explainer.compile([bundle])
        with monkeypatch.context() as patch:
            patch.setattr("swexchange.schemas.explainer._Child.post", _post_and_kill)
            started = monotonic()
            (found,) = validator(bundle, explainer).findings(tree(WRONG), 5)
            assert monotonic() - started < 30.0
        assert (found.code, found.path) == ("0002", "/A")
        assert explainer.explain(bundle.digest, WRONG, 5) is None
        assert explainer.judge(bundle.digest, b"<A/>", 5) is not None
        assert explainer.explain(bundle.digest, WRONG, 5)


def _post_and_kill(child: Any, _request: object, _seconds: float) -> None:
    child._unanswered += 1
    os.kill(child.pid, signal.SIGKILL)


def test_a_child_that_cannot_be_made_costs_the_words_alone(
    tmp_path: Path, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process or descriptor is left: the document is refused all the same, and nothing is raised."""

    def none_left(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    with Explainer(proven=known, restart_pause=0.0, deadline=60.0) as explainer:
        bundle = number(tmp_path / "known")
        explainer.compile([bundle])
        with monkeypatch.context() as patch:
            patch.setattr("subprocess.Popen", none_left)
            (found,) = validator(bundle, explainer).findings(tree(WRONG), 5)
        assert (found.code, found.path) == ("0002", "/A")
        assert explainer.explain(bundle.digest, WRONG, 5) is None  # now it compiles in the background
        assert explainer.judge(bundle.digest, b"<A/>", 5) is not None
        assert explainer.explain(bundle.digest, WRONG, 5)


def test_a_reload_finds_the_child_still_compiling_and_waits_for_it(
    tmp_path: Path, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever needed it first gave up; the new schema is checked all the same, and both are explained."""
    new = load(tmp_path / "new", element("B", of="xs:int"))
    with Explainer(proven=known) as explainer:
        bundle = number(tmp_path / "known")
        explainer.compile([bundle])
        with monkeypatch.context() as patch:
            patch.setattr("swexchange.schemas.explainer._Child.has_settled", lambda *_: False)
            assert explainer.explain(bundle.digest, WRONG, 5) is None
        explainer.compile([bundle, new])
        assert explainer.explain(bundle.digest, WRONG, 5)
        assert explainer.explain(new.digest, b"<B>x</B>", 5)


def test_a_hostile_document_costs_its_deadline_however_early_it_comes(tmp_path: Path) -> None:
    """The wait for the engine is the engine's; the document's own is not longer for it."""
    bundle = load(tmp_path / "1", pattern("A", "(a|a)*b"))
    Proven(tmp_path / "cache").add(bundle)
    with Explainer(proven=tmp_path / "cache", deadline=0.5, compile_deadline=60.0) as explainer:
        explainer.compile([bundle])
        started = monotonic()
        assert explainer.explain(bundle.digest, b"<A>" + b"a" * 60 + b"</A>", 5) is None
        assert monotonic() - started < 30.0
