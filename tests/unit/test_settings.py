"""Settings from the environment: a wrong value is named, whatever is wrong with it."""

from __future__ import annotations

import pytest

from swexchange.errors import ConfigFault
from swexchange.settings import BOUNDS, DEFAULTS, Settings, from_environment, unknown, variable


def test_an_empty_environment_gives_the_defaults() -> None:
    """And what is set wins over them."""
    assert from_environment({}) == Settings()
    assert from_environment({"SWX_BATCH": "7", "SWX_SEAL_SECONDS": "0.5"}) == Settings(batch=7, seal_seconds=0.5)


def test_every_number_has_bounds() -> None:
    """With its default between them: one that is out of them would do something else than it says."""
    assert {name for name, default in DEFAULTS.items() if not isinstance(default, str)} == BOUNDS.keys()
    assert all(least <= float(DEFAULTS[name]) <= most for name, (least, most) in BOUNDS.items())


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_on_a_bound_is_taken_and_one_beyond_is_refused(name: str) -> None:
    """By the variable's name, and with both bounds."""
    least, most = BOUNDS[name]
    marks = {"backlog_stop": 2**60, "backlog_resume": 0, "disk_stop_mb": 0, "disk_resume_mb": 2**40}  # far apart
    for value in (least, most):
        environment = {variable(known): str(given) for known, given in (marks | {name: value}).items()}
        assert getattr(from_environment(environment), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ConfigFault, match=f"{variable(name)}={value} is not between {least:g} and {most}"):
            from_environment({variable(name): str(value)})


@pytest.mark.parametrize(("lower", "higher"), [("backlog_resume", "backlog_stop"), ("disk_stop_mb", "disk_resume_mb")])
def test_marks_that_would_stop_and_resume_at_once_are_refused(lower: str, higher: str) -> None:
    """At the start of any command, by both names."""
    for value in ("500", "501"):
        with pytest.raises(ConfigFault, match=f"{variable(lower)} is not below {variable(higher)}"):
            from_environment({variable(lower): value, variable(higher): "500"})


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "", "soon", "1,5"])
def test_a_time_that_is_no_time_is_refused(text: str) -> None:
    """Waiting for ever, or not at all, is nothing that anybody means."""
    with pytest.raises(ConfigFault, match="SWX_SEAL_SECONDS"):
        from_environment({"SWX_SEAL_SECONDS": text})


@pytest.mark.parametrize("text", ["many", "1e3", "2.5", "", "0x10"])
def test_a_count_that_is_no_whole_number_is_refused(text: str) -> None:
    """Rather than rounded."""
    with pytest.raises(ConfigFault, match="SWX_BATCH"):
        from_environment({"SWX_BATCH": text})


def test_a_variable_that_is_no_setting_is_told_with_what_it_may_mean() -> None:
    """One that only looks like a setting does nothing, and a log would not be sealed."""
    wrong, strange = (variable(name) for name in ("auditkey", "xyzzy"))
    environment = {wrong: "k", strange: "", "SWX_AUDIT_KEY": "k", "PATH": "", "SWX_CRASH_AT": "taken"}
    assert list(unknown(environment)) == [(wrong, "SWX_AUDIT_KEY"), (strange, "")]


@pytest.mark.parametrize("name", ["swx_audit_key", "Swx_Audit_Key", "swx_AUDIT_KEY"])
def test_a_variable_in_small_letters_is_no_setting_and_is_told(name: str) -> None:
    """It does nothing either: variables are told apart by their letters."""
    assert list(unknown({name: "k"})) == [(name, "SWX_AUDIT_KEY")]
    assert from_environment({name: "k"}) == Settings()
