"""What bin/rabbitmq-node promises: a private node that starts, starts again, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import rabbit


def _run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(rabbit.TOOL), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, **options)


def _live(folder: Path) -> list[str]:
    """Command lines of processes whose home is the folder, zombies left out."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={folder}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode())
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found


def test_a_node_starts_once_survives_a_kill_and_ends_without_trace(tmp_path: Path) -> None:
    """Starting twice gives one node; after kill -9 its name, port and data are kept; stop ends all processes."""
    node = rabbit.start(tmp_path)
    before = node.state()
    assert rabbit.start(tmp_path) == node
    assert node.state() == before
    node.ctl("add_vhost", "kept")
    node.kill()
    assert rabbit.start(tmp_path).url == node.url
    assert node.state()["name"] == before["name"]
    assert "kept" in node.ctl("list_vhosts", "--quiet")
    assert len(_live(tmp_path)) >= 2
    node.stop()
    node.stop()
    assert _live(tmp_path) == []
    assert (tmp_path / "data").is_dir()


def test_a_missing_package_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    """Without Erlang on the PATH, the tool says what to install and makes nothing."""
    done = _run("start", "--dir", str(tmp_path / "d"), env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "rabbitmq-node: RabbitMQ is not installed: apt-get install rabbitmq-server\n"
    assert not (tmp_path / "d").exists()


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """A wanted port that another listens on is exit code 1, not another port."""
    port = rabbit.shared().state()["port"]
    done = _run("start", "--dir", str(tmp_path), "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} is in use" in done.stderr


def test_a_node_that_cannot_start_shows_its_log_and_leaves_no_process(tmp_path: Path) -> None:
    """A broken configuration is exit code 1 with RabbitMQ's own words, and nothing keeps running."""
    done = _run("start", "--dir", str(tmp_path), "--conf", "no such thing")
    assert done.returncode == 1
    assert "failed_to_parse_configuration_file" in done.stderr
    assert _live(tmp_path) == []


def test_a_folder_without_a_node_can_be_stopped_but_not_controlled(tmp_path: Path) -> None:
    """`stop` has nothing to do; `ctl` says that there is no node."""
    assert _run("stop", "--dir", str(tmp_path)).returncode == 0
    done = _run("ctl", "--dir", str(tmp_path), "status")
    assert done.returncode == 1
    assert "no node" in done.stderr
