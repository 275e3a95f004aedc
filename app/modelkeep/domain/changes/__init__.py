"""What a request does to a model, decided by pure functions: the rules of the registry.

Each takes the present head, the subjects it touches and the operation, and returns a `Change` (the next head, the
changes of items, the events) or `Unchanged`, or raises a domain error. The ledger writes a change in one transaction.
"""

from modelkeep.domain.changes.adoption import adopt, archive_strays, catch_up, conflicting_production_of, verify
from modelkeep.domain.changes.aliases import MAX_ALIASES, remove_alias, set_alias
from modelkeep.domain.changes.change import (
    MAX_SUBJECTS,
    Change,
    CreateItem,
    Decision,
    DeleteItem,
    ItemChange,
    RequireItem,
    Unchanged,
    UpdateItem,
)
from modelkeep.domain.changes.copies import Copy, copy
from modelkeep.domain.changes.edits import Edit
from modelkeep.domain.changes.models import create_model, delete_model, edit_model
from modelkeep.domain.changes.stages import StageRequest, move, roll_back, roll_back_target
from modelkeep.domain.changes.uploads import begin, complete, drop_upload, next_version
from modelkeep.domain.changes.versions import delete_version, edit_version, purge, restore

__all__ = [
    "MAX_ALIASES",
    "MAX_SUBJECTS",
    "Change",
    "Copy",
    "CreateItem",
    "Decision",
    "DeleteItem",
    "Edit",
    "ItemChange",
    "RequireItem",
    "StageRequest",
    "Unchanged",
    "UpdateItem",
    "adopt",
    "archive_strays",
    "begin",
    "catch_up",
    "complete",
    "conflicting_production_of",
    "copy",
    "create_model",
    "delete_model",
    "delete_version",
    "drop_upload",
    "edit_model",
    "edit_version",
    "move",
    "next_version",
    "purge",
    "remove_alias",
    "restore",
    "roll_back",
    "roll_back_target",
    "set_alias",
    "verify",
]
