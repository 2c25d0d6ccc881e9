"""The end of every run: all trouble is over, and what is owed gets done."""

from __future__ import annotations

from tests.simulation.site import OPERATOR, SLOTS, Site

ROUNDS = 400  # in which everything must come to rest
STEPS_A_ROUND = 25  # of each actor before more time passes
LOOK_EVERY = 5  # steps: whether all is at rest by now
IDLE = ("take", "pause", "store hold", "store take")  # where they stand who find nothing to do


def come_to_rest(site: Site) -> None:
    """All trouble ends; everything that is owed gets done, within a bounded number of steps."""
    site.end_trouble()
    for round_number in range(ROUNDS):
        for slot in SLOTS[: 1 if site.history.is_calm else 1 + round_number % 2]:
            site.start(slot)
        site.forward(0)
        if _rests_within_a_round(site):
            return
        site.advance(61)
    raise AssertionError(f"nothing comes to rest: {site.history.open()}")


def _rests_within_a_round(site: Site) -> bool:
    """Let all go on, until there is nothing to do before more time passes."""
    idle = 0  # steps in a row
    for step in range(STEPS_A_ROUND):
        idle = 0 if _all_go_on(site) else idle + 1
        looks = step % LOOK_EVERY == LOOK_EVERY - 1 and OPERATOR not in site.actors
        if looks and site.history.is_at_rest():
            return True
        if looks and idle >= LOOK_EVERY:
            return False
    return False


def _all_go_on(site: Site) -> bool:
    """Whether anybody did anything but look for work."""
    stood = list(site.actors.items())
    for name, actor in stood:
        if site.actors.get(name) is actor:
            site.go_on(name)
    return any(actor.at not in IDLE for _, actor in stood)
