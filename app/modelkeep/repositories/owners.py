"""The id that this table shares with its bucket: one item, `$owner`."""

from typing import Final

from modelkeep.repositories import conditional_put
from modelkeep.repositories.keys import keyed, owner_key
from modelkeep.storage.table import Absent, Equals, Table

_WHAT: Final = "the id of the bucket's owner"


class Owners:
    """Read and replace the id."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self) -> str | None:
        """The id; `None` if the table has none yet. Raises `UnavailableError`."""
        item = await self._table.get(owner_key())
        return None if item is None else str(item["owner"])

    async def replace(self, owner: str, *, expected: str | None) -> bool:
        """Write the id in place of the `expected` one; return `False`, and write nothing, if that is not there.

        Raises `UnavailableError`, and `OutcomeUnknownError` if it may or may not have been written.
        """
        before = await self._table.get(owner_key()) or {}
        item = {**before, **keyed(owner_key()), "owner": owner}
        condition = Absent() if expected is None else Equals({"owner": expected})
        return await conditional_put.put_idempotently(self._table, item, condition, what=_WHAT)
