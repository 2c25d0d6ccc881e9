"""Each command as a process, as its user would call it: what it prints, where, and its exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import world
from tests.process.house import CUSTOMS, INTEGRATOR, ROOT, House, house

SAMPLE = str(ROOT / "schemas/dec/4.9.7/samples/DecMessage.valid.typical.xml")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all tests here, its daemon running; each test uses ids of its own."""
    made = house(Path(tmp_path_factory.mktemp("commands")))
    made.daemon()
    yield made
    made.close()


def said(home: House, *arguments: str, code: int = 0, stdin: bytes = b"") -> str:
    """What a command prints on stdout, having ended with this code and without a traceback."""
    done = home.cli(*arguments, stdin=stdin)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    return done.stdout


def test_a_declaration_from_file_to_receipt_by_hand(built: House) -> None:
    """sign --wrap, verify, explain, send, receive, audit search and show: the whole way of an integrator."""
    signed = str(built.folder / "signed.xml")
    said(built, "sign", SAMPLE, "--key", f"{INTEGRATOR}-2026", "--wrap", "--sender", INTEGRATOR,
         "--receiver", CUSTOMS, "--message-id", "HAND-1", "--business-key", "Mine=77", "-o", signed)  # fmt: skip
    assert INTEGRATOR in said(built, "verify", signed)
    explained = said(built, "routes", "explain", signed)
    assert re.search(r"routes\.yaml:\d+ +cargo-declarations +matches", explained)
    assert f"key         {INTEGRATOR}-2026" in explained
    assert "confirmed" in said(built, "send", signed, "--as", INTEGRATOR)
    (receipt,) = json.loads(said(built, "receive", "--as", INTEGRATOR, "--max", "1", "--wait", "30", "--json"))
    assert (receipt["about"], receipt["code"]) == ("HAND-1", "0000")
    folder = str(built.folder / "in")
    said(built, "receive", "--as", CUSTOMS, "--inbox", "--max", "1", "--wait", "30", "--save", folder)
    (saved,) = Path(folder).iterdir()
    assert saved.read_bytes() == Path(signed).read_bytes()
    assert "HAND-1" in said(built, "audit", "search", "--key", "Mine=77")
    shown = json.loads(said(built, "audit", "show", receipt["exchange"], "--json"))
    assert shown["keys"]["Mine"] == "77"
    assert [copy["state"] for copy in shown["copies"]] == ["sent", "sent"]
    told = [shown["etsi"], *(copy["etsi"] for copy in shown["copies"])]
    assert told == ["SubmissionAcceptance", "ContentConsignment", ""]
    assert [what for _, what, *_ in shown["timeline"]] == ["received", "decided and committed", "batch settled"]


def test_verify_says_why_not(built: House, tmp_path: Path) -> None:
    """A changed message: exit code 1, the code and the reason."""
    changed = tmp_path / "changed.xml"
    changed.write_bytes(built.declaration("CHANGED-1").replace(b"CHANGED-1", b"CHANGED-2"))
    assert "1004" in said(built, "verify", str(changed), code=1)
    assert json.loads(said(built, "verify", "-", "--json", stdin=b"<a></a>", code=1))["code"] == "4101"


def test_keys_are_made_listed_and_never_overwritten(built: House) -> None:
    """keys new prints the line for routes.yaml; a second time it refuses; public prints the same again."""
    line = said(built, "keys", "new", "NEW-2027")
    assert said(built, "keys", "public", "NEW-2027") == line
    assert (built.folder / "keys" / "NEW-2027.key").stat().st_mode & 0o077 == 0
    said(built, "keys", "new", "NEW-2027", code=2)
    assert "in force" in said(built, "keys", "list")
    assert {"participant", "key", "public"} <= json.loads(said(built, "keys", "list", "--json"))[0].keys()


def test_rules_and_schemas_are_checked_and_listed(built: House) -> None:
    """routes check, test and schema; schemas list and check, over the samples and over a file."""
    assert json.loads(said(built, "routes", "check", "--json"))["failed"] == 0
    assert "0 failed" in said(built, "routes", "test")
    assert json.loads(said(built, "routes", "schema"))["title"]
    assert "dec/4.9.7" in said(built, "schemas", "list")
    assert "0 not as expected" in said(built, "schemas", "check")
    wrong = str(ROOT / "schemas/dec/4.9.7/samples/DecMessage.invalid.wrong-order.xml")
    assert "refused" in said(built, "schemas", "check", wrong)


def test_the_topology_is_checked_and_exported(built: House) -> None:
    """check finds all well; export prints a definitions file and shell commands."""
    assert said(built, "topology", "check").strip() == "all well"
    definitions = json.loads(said(built, "topology", "export"))
    assert f"swx.inbox.{CUSTOMS}" in {queue["name"] for queue in definitions["queues"]}
    assert "rabbitmqctl set_permissions" in said(built, "topology", "export", "--commands", "--release", "3.10.8")


def test_what_is_open_and_what_is_wrong(built: House) -> None:
    """status in text and JSON; db check and upgrade."""
    assert json.loads(said(built, "status", "--json"))["due"] == {}
    assert said(built, "db", "check").strip() == "all well"
    assert "version" in said(built, "db", "upgrade")


def test_nothing_found_is_exit_code_1(built: House) -> None:
    """Searches and reads without a result say so by their exit code, and to people on stderr."""
    said(built, "audit", "search", "--message-id", "NONE", code=1)
    said(built, "audit", "show", "none", code=1)
    done = built.cli("receive", "--as", INTEGRATOR, "--inbox", "--wait", "0.1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"nothing came from swx.inbox.{INTEGRATOR}\n")


WRONG = {
    "an unknown key": ("match: first", "mtach: first", r"routes\.yaml:\d+: .*mtach"),
    "a key twice": ("match: first", "match: first\nmatch: all", r"routes\.yaml:\d+: the key 'match' stands twice"),
    "an unknown receiver": (f"- {CUSTOMS}\n", "- DXPEDCDEC0000002\n", r"no participant DXPEDCDEC0000002.*Did you mean"),
    "an unknown type": ("type: DecMessage", "type: DecMesage", r"no type DecMesage.*Did you mean DecMessage"),
    "an unknown field": ("CustomMaster:\n", "CustomsMaster:\n", r"no type has a field CustomsMaster"),
    "a bad XPath": ("dec:DecHead/dec:BillNo", "dec:DecHead/[", r"XPath"),
    "a schema that is not there": ("dec/4.8/DecMessage.xsd", "dec/4.8/None.xsd", r"None\.xsd"),
    "a bad date": ("2027-03-01", "2027-13-01", r"routes\.yaml:\d+"),
    "a list cut off": ("match: first", "match: [first", r"not YAML"),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_rules_file_is_told_with_its_line(
    built: House, tmp_path: Path, old: str, new: str, message: str
) -> None:
    """routes check: exit code 2, one line a problem, with file, line and what to do; the daemon's file is untouched."""
    text = built.routes.read_text("utf-8")
    assert old in text
    (tmp_path / "routes.yaml").write_text(text.replace(old, new, 1), "utf-8")
    done = built.cli("--routes", str(tmp_path / "routes.yaml"), "routes", "check")
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "new", ".."),
        ("keys", "new", "."),
        ("keys", "new", ".hidden"),
        ("hold", "lift", "99999999999999999999", "--reason", "x"),
        ("hold", "lift", "0", "--reason", "x"),
        ("replay", "plan", "--since", "0001-01-01"),
        ("audit", "search", "--until", "9999-12-31T23:59:59-01:00"),
        ("audit", "reconcile", "--day", "0001-01-01"),
        ("audit", "reconcile", "--day", "9999-12-31"),
        ("audit", "reconcile", "--day", "2026-03-02", "--participant", "DXPENT000001234"),
        ("audit", "reconcile", "--day", "2026-03-02", "--participant", "X\nstate final\nreceived 7 = accepted 7"),
    ],
)
def test_a_slip_of_the_pen_is_an_error_of_usage(built: House, arguments: tuple[str, ...]) -> None:
    """Above all, no signed document says that nothing came from somebody whose name was mistyped."""
    assert said(built, *arguments, code=2) == ""


@pytest.mark.parametrize("since", ["0002-01-01", "99999d"])
def test_a_time_before_all_others_finds_everything(built: House, since: str) -> None:
    place = {"SWX_ARCHIVE": str(built.folder)}
    for command in (("audit", "search"), ("archive", "search"), ("replay", "plan")):
        done = built.cli(*command, "--since", since, "--sender", "NOBODY", environment=place)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done


def test_hostile_ids_cannot_play_tricks_in_a_terminal(built: House) -> None:
    """Control and bidirectional characters of a message id are shown escaped, in the log and on the screen."""
    number = "TRICK\u202e-1"
    document = world.declaration("TRICK-1")
    built.send([built.signed(world.dxp_msg(document, number, sender=INTEGRATOR))])
    built.daemons[0].wait_for("accepted", 2)
    shown = said(built, "audit", "search", "--sender", INTEGRATOR)
    assert "TRICK\\u202e-1" in shown
    assert "\u202e" not in shown
    assert "\u202e" not in built.daemons[0].log_file.read_text("utf-8")
