"""The two families of trouble.

`Rejected` is the message's fault: recorded, receipted with a stable code, acknowledged.
`Fault` is ours or a neighbour's (broker, database, disk, configuration): never told to a
sender as a final answer; the input stays unacknowledged and the daemon tries again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swexchange.core.model import Finding


class Rejected(Exception):  # noqa: N818 - the field's word
    """The message is refused; `findings` say why, each with a code of `core.codes`."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(f"{f.code} {f.detail}" for f in findings))
        self.findings = findings


class Fault(Exception):  # noqa: N818 - a family, not one error
    """Trouble that is not the message's: says what failed, where, and what to do about it."""

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.do = what, where, do

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        do = f". {self.do}" if self.do else ""
        return f"{self.what}{where}{do}"


class ConfigFault(Fault):
    """`routes.yaml`, a key, a schema or a setting is wrong; the old rules stay in force."""


class RulesInvalid(ConfigFault):
    """The rules have problems; `problems` holds each with its place."""

    def __init__(self, problems: Sequence[ConfigFault]) -> None:
        more = f" (and {len(problems) - 1} more; see `swexchange routes check`)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0].what}{more}", where=problems[0].where, do=problems[0].do)
        self.problems = tuple(problems)


_REASONS = {401: "refused", 403: "refused", 530: "refused", 404: "missing", 405: "locked", 406: "precondition"}


class BrokerLost(Fault):
    """The link to RabbitMQ ended or a deadline on it passed; make a new link."""

    def __init__(self, what: str, *, where: str = "", do: str = "", code: int = 0) -> None:
        super().__init__(what, where=where, do=do)
        self.code = code  # the AMQP reply code with which RabbitMQ ended it, or HTTP's of its management API; 0 = none

    @property
    def reason(self) -> str:
        """In a word: refused (rights, login), missing, locked, precondition, or lost (the link, for all else)."""
        return _REASONS.get(self.code, "lost")


class Unconfirmed(BrokerLost):
    """Messages were not confirmed in time, so the link was given up."""


class StoreDown(Fault):
    """The database did not answer, refused or ran out of room; the batch is abandoned unacknowledged."""


class Unstorable(Fault):
    """The database refuses data of this batch, not the batch as such; alone, its messages show which one."""


class DamagedRow(Fault):
    """A row of the database does not say what it can say: somebody changed it. Others are not concerned."""


class Busy(Fault):
    """Someone else is at the same work; nothing was done, try again later."""
