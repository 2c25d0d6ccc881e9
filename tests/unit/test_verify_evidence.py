"""bin/verify-evidence, the verifier that shares no code with the daemon: proves what is true, and nothing else.

The golden files of every version in tests/vectors/evidence verify for good: `python -m tests.evidence` made them.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.machinery import SourceFileLoader
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swexchange.core import checkpoint, merkle
from swexchange.core.checkpoint import COSIGNATURE, Checkpoint, Verifier
from swexchange.core.keys import SigningKey
from swexchange.core.tiles import TileTree
from swexchange.evidence.bundle import Contents, pack, tlog_proof
from tests import evidence, world

PROGRAM = Path(__file__).parent.parent.parent / "bin" / "verify-evidence"
JDK = Path(__file__).parent.parent / "vectors" / "jdk"
GOLDEN = evidence.FOLDER
LOG, WITNESS = ((GOLDEN / f"{name}.vkey").read_text().strip() for name in ("log", "witness"))
STRANGER = SigningKey.from_seed("stranger", b"\5" * 32)


def _module() -> Any:
    loader = SourceFileLoader("verify_evidence", str(PROGRAM))
    spec = importlib.util.spec_from_loader("verify_evidence", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


verifier = _module()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The program as a third party runs it: nothing of the project can be imported."""
    command = [sys.executable, "-I", str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=60)


def proved(path: Path, *, log: str = LOG, witnesses: tuple[str, ...] = (), kept: tuple[str, ...] = ()) -> list[str]:
    trust = verifier.Trust([log], witnesses, kept)
    return list((verifier.verify_log if path.is_dir() else verifier.verify_bundle)(path, trust))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return evidence.unpack((GOLDEN / "log.zip").read_bytes(), tmp_path / "log")


def test_it_needs_the_standard_library_and_pynacl_alone() -> None:
    names = set()
    for node in ast.walk(ast.parse(PROGRAM.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    assert names - set(sys.stdlib_module_names) == {"nacl"}


VERSIONS = sorted(path for path in evidence.VERSIONS.iterdir() if path.is_dir())


def test_without_pynacl_it_says_what_to_install() -> None:
    """Whoever gets evidence starts it with whatever Python is there: usage, not a verdict, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"verify-evidence: {sys.executable} has no PyNaCl: install it (python3-nacl")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("golden", VERSIONS, ids=[path.name for path in VERSIONS])
@pytest.mark.parametrize("is_witnessed", [True, False])
def test_golden_evidence_of_every_version_is_proved(tmp_path: Path, golden: Path, is_witnessed: bool) -> None:
    """One of each kind, with its witness and without; what no witness has signed is not proved with one."""
    key, witness = ((golden / f"{name}.vkey").read_text().strip() for name in ("log", "witness"))
    log = evidence.unpack((golden / "log.zip").read_bytes(), tmp_path / "log")
    bundles = {path for path in golden.glob("*.zip") if path.name not in ("log.zip", "unwitnessed.zip")}
    assert {path.name for path in bundles} >= {"accepted.zip", "refused.zip"}
    paths = *sorted(bundles), golden / "day.txt", log, golden / "archives"
    trust = ("--log", key, *(("--witness", witness) if is_witnessed else ()))
    done = run(*trust, "--checkpoint", golden / "old.checkpoint", *paths)
    assert done.returncode == 0, done.stdout + done.stderr
    proofs = {line for line in done.stdout.splitlines() if line.startswith("PROVED")}
    assert proofs == {f"PROVED  {path}" for path in paths}
    if (alone := golden / "unwitnessed.zip").exists():
        assert run(*trust, alone).returncode == int(is_witnessed)


def test_golden_evidence_of_today_has_one_of_each() -> None:
    assert {path.name for path in GOLDEN.glob("*.zip")} == {
        *("accepted.zip", "refused.zip", "pruned.zip", "unwitnessed.zip", "log.zip")
    }
    assert "the message's bytes are not in the bundle; their digest is proved" in proved(GOLDEN / "pruned.zip")


# -- schemas


def test_the_schemas_of_a_bundle_are_those_of_the_rules(tmp_path: Path) -> None:
    """Those of its editions and what they refer to; one that was left out is named; nothing else is let in."""
    assert "schemas: 11 files are those that the rules of this decision named" in proved(GOLDEN / "accepted.zip")
    name = "schemas/xmldsig/1.1/xmldsig.xsd"
    said = proved(rewritten(GOLDEN / "accepted.zip", tmp_path / "x.zip", lambda files: files.pop(name)))
    assert f"schemas: 1 that they named are not in the bundle: {name}" in said
    for other, what in (("other.xsd", "is no schema of the rules"), ("dec-types.xsd", "is not what the rules named")):
        add = methodcaller("update", {f"schemas/dec/4.9.7/{other}": b"<x/>"})
        with pytest.raises(verifier.Unproved, match=what):
            proved(rewritten(GOLDEN / "accepted.zip", tmp_path / "x.zip", add))


def test_without_the_manifest_no_schema_is_proved(tmp_path: Path) -> None:
    """As in bundles of rules that were noted without one."""
    said = proved(rewritten(GOLDEN / "accepted.zip", tmp_path / "x.zip", lambda files: files.pop("rules.manifest")))
    assert any(line.startswith("schemas: not proved") for line in said)


def test_a_schema_that_was_changed_since_is_left_out() -> None:
    """By whom it is told; the others are there."""
    name, left_out = "dec/4.9.7/dec-types.xsd", list[str]()
    contents = Contents("0" * 32, (), b"", "[]", world.rulebook().manifest, b"", None)
    now = {**world.schemas(), name: b"<changed/>"}
    packed = pack(contents, ["dxp/202205", "dec/4.9.7"], now.get, left_out.append)
    with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
        there = {found for found in bundle.namelist() if found.startswith("schemas/")}
    assert left_out == [name]
    assert len(there) == 10
    assert f"schemas/{name}" not in there


def test_evidence_of_today_is_proved_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = evidence.made()
    assert made == evidence.made()
    (tmp_path / "archives").mkdir()
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    evidence.unpack(made["log.zip"], tmp_path / "log")
    for name in ("accepted.zip", "refused.zip", "log"):
        assert proved(tmp_path / name, witnesses=(WITNESS,), kept=(made["old.checkpoint"].decode(),))


# -- reconciliations

DAY = (GOLDEN / "day.txt").read_text("utf-8")


def day_proved(text: str, folder: Path, *, log: Path | None = None, kept: tuple[str, ...] = ()) -> list[str]:
    path = folder / "day.txt"
    path.write_text(text, "utf-8")
    trust = verifier.Trust([LOG], [WITNESS], kept)
    said = list(verifier.verify_day(path, trust))
    return said + (list(verifier.verify_log(log, trust)) if log else [])


def resigned(old: str, new: str, times: int = 1) -> str:
    """The day with something changed, and signed by the log's own key: a lie of the operator's."""
    text, _, _ = DAY.rpartition("\n\n")
    assert old in text
    return checkpoint.sign_note(text.replace(old, new, times) + "\n", evidence.ORIGIN, evidence.LOG_KEY)


def test_a_day_is_counted_again_from_the_log(tmp_path: Path, log: Path) -> None:
    said = day_proved(DAY, tmp_path, log=log)
    assert "received: 303 = 300 accepted + 3 rejected + 0 waiting + 0 held" in said
    assert "counted again: 303 messages of DXPENT0000012345 on 2026-03-02, 3 of them refused or held" in said


def test_a_day_that_was_altered_is_not_proved(tmp_path: Path) -> None:
    for old, new in (
        ("accepted 300", "accepted 299"),
        ("MSG-0002", "MSG-0009"),
        (" final", " finis"),
        ("pNCW", "pNCX"),
    ):
        assert old in DAY
        with pytest.raises(verifier.Unproved):
            day_proved(DAY.replace(old, new, 1), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("received 303 =", "received 304 =", "is not the sum"),
        ("delivered 300 + owed 0", "delivered 299 + owed 0", "is not the sum"),
        ("list sender 303", "list sender 302", "there is something behind its end"),
        ("list sender 303", "list sender 304", "there are fewer lines"),
        ("accepted 300 + rejected 3", "accepted 299 + rejected 4", "its list has"),
        ("items 0\n", 'items 1\nsender wrong 0 "" "x"\n', "not accounted for"),
        ("rejected SubmissionRejection", "rejected SubmissionAcceptance", "another event of ETSI"),
        ("day 2026-03-02", "day 2026-03-03", "the log has 0"),
        ("participant DXPENT0000012345", "participant DXPENT0000023456", "the log has 0"),
        ("019cac2a9dc001ca48a20de61f42b3f0", "0" * 32, "other exchanges"),
        ("swexchange-reconciliation/v1", "swexchange-reconciliation/v9", "unknown"),
        (f"origin {evidence.ORIGIN}", "origin elsewhere", "origin or its day"),
    ],
)
def test_a_day_that_its_log_signed_and_that_is_false_is_found(
    tmp_path: Path, log: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(verifier.Unproved, match=said):
        day_proved(resigned(old, new), tmp_path, log=log)


def test_a_day_under_another_checkpoint_than_the_kept_one_is_not_proved(tmp_path: Path) -> None:
    other = checkpoint.sign(Checkpoint(evidence.ORIGIN, 305, b"\1" * 32), evidence.LOG_KEY)
    with pytest.raises(verifier.Unproved, match="a kept checkpoint of this size differs"):
        day_proved(DAY, tmp_path, kept=(other,))
    same = checkpoint.Note.read(DAY.rpartition("\n\n")[0].partition("\n\n")[2] + "\n")
    assert day_proved(DAY, tmp_path, kept=(str(same),))


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """A bundle with some of its files changed."""
    with zipfile.ZipFile(source) as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return target


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]


def _evidence_files() -> list[str]:
    with zipfile.ZipFile(GOLDEN / "accepted.zip") as bundle:
        return [name for name in bundle.namelist() if name != "README.txt"]


@pytest.mark.parametrize("name", _evidence_files())
def test_a_flipped_bit_anywhere_proves_nothing(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(GOLDEN / "accepted.zip") as bundle:
        length = len(bundle.read(name))
    for at in range(0, length, max(1, length // 25)):

        def flip(files: dict[str, bytes], at: int = at) -> None:
            files[name] = flipped(files[name], at)

        path = rewritten(GOLDEN / "accepted.zip", tmp_path / "changed.zip", flip)
        try:
            said = proved(path, witnesses=(WITNESS,))
        except verifier.BROKEN:
            continue
        # The list of files is not signed: one entry less is one statement less.
        assert name == "bundle.json", f"{name} at {at}: {said}"


@pytest.mark.parametrize("name", _evidence_files())
def test_a_missing_file_proves_nothing_but_message_and_schemas_may_be_gone(tmp_path: Path, name: str) -> None:
    path = rewritten(GOLDEN / "accepted.zip", tmp_path / "cut.zip", lambda files: files.pop(name))
    done = run("--log", LOG, path)
    may_go = name in ("message.xml", "rules.manifest") or name.startswith("schemas/")
    assert done.returncode == (0 if may_go else 1), done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert name != "message.xml" or "their digest is proved" in done.stdout


def test_the_parts_of_two_exchanges_are_not_mixed(tmp_path: Path) -> None:
    """Each part is genuine, but they do not belong together."""
    with zipfile.ZipFile(GOLDEN / "refused.zip") as other:
        foreign = {name: other.read(name) for name in other.namelist()}
    for name in ("message.xml", "receipt.xml", "detail.json", "entries/0.json", "entries/0.tlog-proof"):
        mix = methodcaller("update", {name: foreign[name]})
        path = rewritten(GOLDEN / "accepted.zip", tmp_path / "mixed.zip", mix)
        with pytest.raises(verifier.Unproved):
            proved(path)


def logged(*entries: bytes, origin: str = evidence.ORIGIN) -> list[tuple[bytes, str]]:
    """Entries of a log of their own, with their proofs."""
    tree = TileTree(0, lambda *_: b"")
    tree.append(map(merkle.leaf_hash, entries))
    note = checkpoint.sign(Checkpoint(origin, len(entries), tree.root()), evidence.LOG_KEY)
    return [(entry, tlog_proof(leaf, tree.inclusion(leaf), note)) for leaf, entry in enumerate(entries)]


def bundled(target: Path, proofs: list[tuple[bytes, str]], *without: str) -> Path:
    """The golden bundle with other entries."""

    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["bundle.json"])
        manifest["entries"] = [f"entries/{number}" for number in range(len(proofs))]
        files["bundle.json"] = json.dumps(manifest).encode()
        for number, (entry, proof) in enumerate(proofs):
            files |= {f"entries/{number}.json": entry, f"entries/{number}.tlog-proof": proof.encode()}
        for name in without:
            del files[name]

    return rewritten(GOLDEN / "accepted.zip", target, change)


def golden_entries() -> list[bytes]:
    with zipfile.ZipFile(GOLDEN / "accepted.zip") as source:
        return [source.read(f"entries/{number}.json") for number in range(3)]


def test_a_receipt_that_the_log_does_not_know_is_not_proved(tmp_path: Path) -> None:
    """Of an exchange that nobody could be told about, one could else be added by whoever has a key."""
    exchange = json.loads(golden_entries()[0])
    exchange["copies"] = exchange["copies"][:1]
    proofs = logged(json.dumps(exchange).encode())
    assert proved(bundled(tmp_path / "without.zip", proofs, "receipt.xml"))
    with pytest.raises(verifier.Unproved, match=r"receipt\.xml is not what was logged"):
        proved(bundled(tmp_path / "with.zip", proofs))


@pytest.mark.parametrize("changed", [{"outcome": "rejected"}, {"code": "0002"}])
def test_a_receipt_that_says_another_outcome_than_the_log_is_not_proved(changed: dict[str, str]) -> None:
    """A row that was changed before it was sealed is what the log says; the signed receipt says what was decided."""
    with zipfile.ZipFile(GOLDEN / "accepted.zip") as bundle:
        exchange, receipt = json.loads(bundle.read("entries/0.json")), bundle.read("receipt.xml")
        keys = {key["id"]: key for key in json.loads(bundle.read("keys.json"))}
    assert verifier.verify_receipt(exchange, receipt, keys)
    with pytest.raises(verifier.Unproved, match="another outcome"):
        verifier.verify_receipt(exchange | changed, receipt, keys)


def test_archives_of_two_logs_are_no_chain() -> None:
    """Where retention removed what was between two files, no hashes join them: they must be of one log."""
    file = {"name": "b.zip", "sha256": "bb"}
    removal = verifier.Removal(250, 0, 200, file, "retention removed them")

    def chain(origin: str) -> list[str]:
        first = verifier.Part("a.zip", "one.example/log", "aa", 0, 100, 300, None, [], [], [])
        last = verifier.Part("c.zip", origin, "cc", 200, 300, 300, file, [], [], [removal])
        return list(verifier.verify_chain([first, last], whole=True))

    assert chain("one.example/log")
    with pytest.raises(verifier.Unproved, match="several logs"):
        chain("other.example/log")


def test_two_logs_in_one_bundle_prove_nothing(tmp_path: Path) -> None:
    """Though both are trusted; nor do two histories of one log, nor one event as two."""
    exchange, rules, event = golden_entries()
    own = logged(exchange, rules, event)
    assert proved(bundled(tmp_path / "own.zip", own))
    elsewhere = logged(exchange, rules, event, origin="other.example/log")
    trust = verifier.Trust([LOG, str(Verifier("other.example/log", evidence.LOG_KEY.public))], (), ())
    for said, proofs in (
        ("several logs", [*own[:2], elsewhere[2]]),
        ("two checkpoints of one size differ", [*own[:2], logged(b"{}", rules, event)[2]]),
        ("twice", [*own, own[2]]),
    ):
        with pytest.raises(verifier.Unproved, match=said):
            list(verifier.verify_bundle(bundled(tmp_path / "mixed.zip", proofs), trust))


def test_a_bundle_against_the_log_that_somebody_kept() -> None:
    other = checkpoint.sign(Checkpoint(evidence.ORIGIN, 305, b"\1" * 32), evidence.LOG_KEY)
    with pytest.raises(verifier.Unproved, match="a kept checkpoint of this size differs"):
        proved(GOLDEN / "accepted.zip", kept=(other,))
    old = (GOLDEN / "old.checkpoint").read_text()
    said = "growth: not compared with 1 kept checkpoints, of other sizes: that takes the log"
    assert said in proved(GOLDEN / "accepted.zip", kept=(old,))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_means_one_file(tmp_path: Path) -> None:
    """Of two with one name people may be shown the one, and the other be checked."""
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(GOLDEN / "accepted.zip") as source, zipfile.ZipFile(path, "w") as target:
        target.writestr("message.xml", b"<Forged/>")
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(verifier.Unproved, match="two files in it have the same name"):
        proved(path)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    for inside in ("bundle.json", "archive.json"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open(inside, "w") as stream:
            for _ in range(257):
                stream.write(bytes(1 << 20))
        done = run("--log", LOG, path)
        assert (done.returncode, done.stderr) == (1, "")
        assert "it is too large: 269484032 bytes" in done.stdout


@pytest.mark.parametrize("name", ["x\x1b[2K\rPROVED  evidence.zip\nPROVED ", "\x9b2K", "\u202exx", "\ud800"])
def test_who_wrote_the_evidence_does_not_rule_the_terminal(tmp_path: Path, name: str) -> None:
    def change(files: dict[str, bytes]) -> None:
        files["bundle.json"] = json.dumps({**json.loads(files["bundle.json"]), "entries": [name]}).encode()

    done = run("--log", LOG, rewritten(GOLDEN / "accepted.zip", tmp_path / "x.zip", change))
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = done.stdout.removesuffix("\n").split("\n")
    assert line.startswith("FAILED")
    assert line.isprintable()


@pytest.mark.parametrize("note", ["x\n²\nAAAA\n\n— x AAAA\n", "x\n1\n\n\n", "", "\x1b[2K\n1\nAAAA\n\n— x AAAA\n"])
def test_a_kept_checkpoint_that_is_none_is_a_usage_error(tmp_path: Path, note: str) -> None:
    (tmp_path / "kept").write_text(note)
    done = run("--log", LOG, "--checkpoint", tmp_path / "kept", GOLDEN / "accepted.zip")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


def test_who_signed_matters() -> None:
    bundle = GOLDEN / "accepted.zip"
    other_log = str(Verifier(evidence.ORIGIN, STRANGER.public))
    with pytest.raises(verifier.Unproved, match="key that you trust"):
        proved(bundle, log=other_log)
    other_name = str(Verifier("another.example/log", evidence.LOG_KEY.public))
    with pytest.raises(verifier.Unproved, match="key that you trust"):
        proved(bundle, log=other_name)
    absent = str(Verifier("port.example/witness", STRANGER.public, COSIGNATURE))
    with pytest.raises(verifier.Unproved, match=r"port\.example/witness has not signed"):
        proved(bundle, witnesses=(WITNESS, absent))
    impostor = str(Verifier(evidence.WITNESS, STRANGER.public, COSIGNATURE))
    with pytest.raises(verifier.Unproved, match="has not signed"):
        proved(bundle, witnesses=(impostor,))


def test_a_key_that_was_not_in_force_proves_nothing(tmp_path: Path) -> None:
    """Even where the log said nothing of the keys."""

    def unlogged(files: dict[str, bytes], changed: bytes) -> None:
        files["bundle.json"] = files["bundle.json"].replace(b'"entries/1",', b"")
        files["keys.json"] = changed

    with zipfile.ZipFile(GOLDEN / "accepted.zip") as bundle:
        keys = bundle.read("keys.json")
    for old, new in (
        (b'"from": "2020', b'"from": "2027'),
        (b'"revoked": null', b'"revoked": "2026-01-01T00:00:00+08:00"'),
    ):
        assert old in keys
        changed = keys.replace(old, new)
        path = rewritten(GOLDEN / "accepted.zip", tmp_path / "x.zip", partial(unlogged, changed=changed))
        with pytest.raises(verifier.Unproved, match="not in force"):
            proved(path)
    path = rewritten(GOLDEN / "accepted.zip", tmp_path / "x.zip", lambda files: unlogged(files, keys))
    assert "keys: as the bundle states them; the log does not say which keys these rules had" in proved(path)


# -- whole logs


def test_a_changed_log_proves_nothing(log: Path) -> None:
    for file in sorted(log.glob("tile/entries/**/*")):
        if file.is_dir():
            continue
        content = file.read_bytes()
        for changed in (flipped(content, 100), content[:-1], content + b"\0\1x", flipped(content, 0)):
            file.write_bytes(changed)
            with pytest.raises((verifier.Unproved, ValueError)):
                proved(log)
        file.write_bytes(content)
    assert proved(log)


def test_swapped_entries_prove_nothing(log: Path) -> None:
    file = log / "tile/entries/000"
    data = file.read_bytes()
    first = 2 + int.from_bytes(data[:2])
    second = first + 2 + int.from_bytes(data[first : first + 2])
    file.write_bytes(data[first:second] + data[:first] + data[second:])
    with pytest.raises(verifier.Unproved, match="not those that its checkpoint signed"):
        proved(log)


def test_a_log_that_was_cut_or_rewritten_is_found_by_a_kept_checkpoint(log: Path) -> None:
    """Whoever has the log's key can sign anything, but not what somebody else kept."""
    kept = (log / "checkpoint").read_text()
    tree = TileTree(0, lambda *_: b"")
    entries = [entry for _, entry in verifier.read_entries(log, 305)]
    tree.append(merkle.leaf_hash(entry) for entry in entries[:300])
    (log / "tile/entries/001.p/44").write_bytes(b"".join(len(e).to_bytes(2) + e for e in entries[256:300]))
    shorter = Checkpoint(evidence.ORIGIN, 300, tree.root())
    (log / "checkpoint").write_text(checkpoint.sign(shorter, evidence.LOG_KEY))
    assert proved(log)
    with pytest.raises(verifier.Unproved, match="it was cut"):
        proved(log, kept=(kept,))
    tree.append([merkle.leaf_hash(b"{}")] * 5)
    (log / "checkpoint").write_text(checkpoint.sign(Checkpoint(evidence.ORIGIN, 305, tree.root()), evidence.LOG_KEY))
    with pytest.raises(verifier.Unproved, match="a kept checkpoint of this size differs"):
        proved(log, kept=(kept,))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\3\4", b"\0" * 1000, b'{"format": "swexchange-bundle/v1"}', None],
    ids=["empty", "head", "zeros", "json", "absent"],
)
def test_rubbish_is_no_evidence_and_no_traceback(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)
    done = run("--log", LOG, path)
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED")
    assert done.stderr == ""


@pytest.mark.parametrize("key", ["", "x", "a+b+c", WITNESS, LOG[:-3]])
def test_a_wrong_key_is_a_usage_error(key: str) -> None:
    done = run("--log", key, GOLDEN / "accepted.zip")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@given(st.binary(max_size=300), st.sampled_from(["bundle.json", "keys.json", "entries/0.tlog-proof", "message.xml"]))
@settings(max_examples=60, deadline=None)
def test_no_content_makes_it_fall_over(content: bytes, name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(GOLDEN / "accepted.zip") as source, zipfile.ZipFile(packed, "w") as target:
        for known in source.namelist():
            target.writestr(known, content if known == name else source.read(known))
    with pytest.raises(verifier.BROKEN):
        list(verifier.verify_bundle(packed, verifier.Trust([LOG], (), ())))


# -- against the daemon's own code


@given(st.integers(1, 600), st.data())
@settings(max_examples=50, deadline=None)
def test_both_hash_the_same_tree(size: int, data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(b"%d" % i) for i in range(size)]
    tree, theirs = TileTree(0, lambda *_: b""), verifier.Range()
    tree.append(leaves)
    for leaf in leaves:
        theirs.append(leaf)
    index = data.draw(st.integers(0, size - 1))
    assert theirs.root() == tree.root()
    assert verifier.root_by_inclusion(leaves[index], index, size, tree.inclusion(index)) == tree.root()


def _jdk_keys() -> Mapping[str, Mapping[str, object]]:
    key = SigningKey.from_seed("jdk", bytes(range(32)))
    return {"jdk": {"id": "jdk", "public": verifier.base64.b64encode(key.public).decode()}}


@pytest.mark.parametrize("path", sorted(JDK.glob("*.signed.xml")), ids=lambda path: path.name)
def test_signatures_of_a_jdk_are_verified(path: Path) -> None:
    """Other prefixes, white space inside SignedInfo: all that the profile allows."""
    body = path.read_bytes()
    assert verifier.verify_xml(body, _jdk_keys(), "it")["id"] == "jdk"
    text = body.decode()
    for old, new in (("</", " </"), ("http://", "https://"), ("jdk<", "jdk2<"), ("1", "2")):
        for at in _places(text, old):
            changed = text[:at] + new + text[at + len(old) :]
            with pytest.raises(verifier.BROKEN):
                verifier.verify_xml(changed.encode(), _jdk_keys(), "it")


def _places(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def test_a_wrapped_signature_is_refused() -> None:
    """The signed document inside another one, or a second signature beside the first."""
    body = world.signed(world.dxp_msg(world.declaration())).partition(b"\n")[2]
    keys = {
        f"{world.ENTERPRISE}-1": {
            "id": "x",
            "public": verifier.base64.b64encode(world.signing_key(world.ENTERPRISE).public).decode(),
        }
    }
    assert verifier.verify_xml(body, keys, "it")
    start, end = body.index(b"<ds:Signature "), body.index(b"</ds:Signature>") + len(b"</ds:Signature>")
    signature = body[start:end]
    for forged in (
        b"<Other>" + body + b"</Other>",
        body[:start] + signature + body[start:],
        body[:start] + b"<X>" + signature + b"</X>" + body[end:],
        b"<!-- -->" + body,
        b'<!DOCTYPE x [<!ENTITY e "x">]>' + body,
    ):
        with pytest.raises(verifier.BROKEN):
            verifier.verify_xml(forged, keys, "it")
