"""The table of codes: complete, stable in form, in two languages."""

from __future__ import annotations

import re

import pytest

from swexchange.core import codes
from swexchange.core.model import Retry

CONSTANTS = {
    name: value
    for name, value in vars(codes).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
}


def test_every_constant_has_a_meaning_and_every_meaning_a_constant() -> None:
    """The constants and the table hold the same codes, each once."""
    assert sorted(CONSTANTS.values()) == sorted(codes.MEANINGS)
    assert len(set(CONSTANTS.values())) == len(CONSTANTS) > 25


@pytest.mark.parametrize("code", sorted(codes.MEANINGS))
def test_codes_have_the_form_of_the_standard(code: str) -> None:
    """Four digits, so at most nine characters of ASCII; of a national class, or our own from 4000."""
    assert re.fullmatch(r"[0-4][0-9]{3}", code)
    assert code.isascii()


@pytest.mark.parametrize("code", sorted(codes.MEANINGS))
def test_meanings_are_told_in_two_languages(code: str) -> None:
    """Chinese and English, without markup, short enough to leave room for a detail in 300 characters."""
    meaning = codes.meaning(code)
    assert re.search("[\u4e00-\u9fff]", meaning.zh)
    assert meaning.en.isascii()
    assert meaning.en == meaning.en.strip() != ""
    assert not re.search("[<>&\n]", meaning.zh + meaning.en)
    assert len(f"{meaning.zh} / {meaning.en}: ") < 200


def test_meanings_are_told_apart() -> None:
    """No two codes say the same."""
    assert len({meaning.zh for meaning in codes.MEANINGS.values()}) == len(codes.MEANINGS)
    assert len({meaning.en for meaning in codes.MEANINGS.values()}) == len(codes.MEANINGS)


NATIONAL = {
    "0001": "well-formed",
    "0002": "schema",
    "1001": "signature",
    "1002": "key",
    "1004": "do not match",
    "2001": "receiver does not exist",
}


@pytest.mark.parametrize(("code", "word"), NATIONAL.items())
def test_national_codes_mean_what_the_standard_says(code: str, word: str) -> None:
    """0001 bad format, 0002 fails schema, 1001 signature invalid, 1002 expired, 1004 no match, 2001 no receiver."""
    assert word in codes.meaning(code).en


def test_what_waits_for_the_platform_may_be_sent_again() -> None:
    """Unknown keys, types, routes, receivers and permissions may change on our side: later; a taken id never."""
    later = {code for code, meaning in codes.MEANINGS.items() if meaning.retry is Retry.LATER}
    assert later >= {"2001", "4103", "4106", "4107", "4202", "4203", "4204", "4301"}
    assert {code for code, meaning in codes.MEANINGS.items() if meaning.retry is Retry.NEVER} == {"0000", "4201"}


def test_only_what_the_sender_knows_is_told_to_strangers() -> None:
    """Codes whose detail a stranger gets are about bytes alone: none of schema, keys, participants or routes."""
    assert {"0001", "4001", "4002", "4003", "4004", "4005", "4006"} >= codes.UNAUTHENTICATED_MAY_KNOW


def test_a_code_that_is_not_ours_has_no_meaning() -> None:
    """Asking for one is a mistake in the program."""
    with pytest.raises(KeyError):
        codes.meaning("9999")
