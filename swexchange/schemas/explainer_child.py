"""The process that runs the slow engine: compiles bundles, explains refusals, judges by XSD 1.1.

Started by `explainer` with nothing but a socket; knows no configuration and no secret. It ends when
its parent does, when it takes too long, or when it needs too much memory.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import warnings
from contextlib import suppress
from dataclasses import astuple
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from typing import Any, NoReturn

import xmlschema
from xmlschema.validators import XMLSchemaParseError

from swexchange.core.reasons import reason
from swexchange.core.schema import Reason
from swexchange.core.schema_set import DRIVER

Reply = dict[str, Any]

_VERSIONS = {"1.0": xmlschema.XMLSchema10, "1.1": xmlschema.XMLSchema11}


def main(descriptor: int, memory: int, folder: Path) -> None:
    """Answer requests on an inherited socket until its other end is closed; `memory` in bytes.

    That end closes only when the parent has died, so its `folder` is removed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent may still be draining
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")  # xmlschema only warns of an import that failed
    with suppress(EOFError, OSError):
        serve(Connection(descriptor))
    rmtree(folder, ignore_errors=True)


def serve(connection: Connection) -> NoReturn:
    """Answer one request after the other. Raises EOFError or OSError once the other end is closed."""
    schemas: dict[str, xmlschema.XMLSchemaBase] = {}
    while True:
        request = json.loads(connection.recv_bytes())
        document = connection.recv_bytes() if request["do"] == "explain" else b""
        signal.alarm(request["seconds"])  # a parent that died cannot kill: the signal ends the process
        reply = _answer(schemas, request, document)
        signal.alarm(0)
        connection.send_bytes(json.dumps(reply).encode())


def _answer(schemas: dict[str, xmlschema.XMLSchemaBase], request: dict[str, Any], document: bytes) -> Reply:
    try:
        match request["do"]:
            case "compile":
                schemas[request["digest"]] = compile_folder(Path(request["folder"]))
            case "forget":
                schemas.pop(request["digest"], None)
            case "explain":
                found = reasons(schemas[request["digest"]], document, request["cap"])
                return {"reasons": [astuple(r) for r in found]}
        return {}
    except XMLSchemaParseError as error:
        return _where(error)
    except MemoryError:
        return {"failed": "not enough memory"}
    except Exception as error:  # noqa: BLE001 - XMLSchemaKeyError, RecursionError and other engine bugs
        return {"failed": f"{type(error).__name__}: {str(error)[:300]}"}


def compile_folder(folder: Path) -> xmlschema.XMLSchemaBase:
    """The schema of a bundle that was written into a folder, with `bundle.json` beside its sources."""
    bundle = json.loads((folder / "bundle.json").read_bytes())
    schema = _VERSIONS[bundle["version"]](
        str(folder / DRIVER), base_url=str(folder), allow="sandbox", use_fallback=False
    )
    if missing := [root for root in bundle["roots"] if root not in schema.maps.elements]:
        raise ValueError(f"the element {missing[0]} was left out")
    return schema


def reasons(schema: xmlschema.XMLSchemaBase, document: bytes, cap: int) -> list[Reason]:
    """The reasons of the first `cap` errors.

    The standard library's tree is used: comments and processing instructions are left out of it, and
    counting children, which xmlschema does for every error, takes lxml time in proportion.
    """
    source = xmlschema.XMLResource(document, allow="none", defuse="never")  # it has passed our own parser
    errors = list(islice(schema.iter_errors(source), cap))
    order = {element: i for i, element in enumerate(source.root.iter())} if errors else {}
    return [reason(error, order) for error in errors]


def _where(error: XMLSchemaParseError) -> Reply:
    """What does not compile, with the source and the place of the element in it."""
    reply: Reply = {"failed": str(error.message)[:300], "source": Path(error.schema_url or "").name}
    root = getattr(getattr(error.validator, "schema", error.validator), "source", None)
    elements = list(root.root.iter()) if root is not None else []
    if error.elem is not None and any(e is error.elem for e in elements):
        reply["element"] = next(i for i, e in enumerate(elements) if e is error.elem)
    return reply


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
