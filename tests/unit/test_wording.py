"""Every finding has a sentence that names its facts, and a code of its own."""

import string
from dataclasses import Field, fields
from typing import Any

import pytest

from modelkeep.admin.wording import sentence
from modelkeep.services.maintenance import findings
from modelkeep.services.maintenance.findings import CopyProblem, Finding, MigrationProblem, ModelNotMigrated

CLASSES: list[Any] = [
    found for found in vars(findings).values() if isinstance(found, type) and issubclass(found, Finding)
]
FINDINGS = [found for found in CLASSES if not any(found in other.__bases__ for other in CLASSES)]

UNSAID = {
    *((name, "key") for name in ("foreign_object", "size_mismatch", "checksum_mismatch", "version_not_copied")),
    *(("checksum_mismatch", name) for name in ("stored", "recorded")),
    *(("model_not_migrated", name) for name in ("generation", "source_generation")),
}
"""Facts that are left to programs, or that only some sentences of a class have."""


def example(found: Field[Any], position: int) -> Any:
    """A value for a field that no other field has."""
    kinds: dict[Any, Any] = {
        str: f"<{string.ascii_letters[position]}>",
        int: 701 + position,
        bool: True,
        tuple[int, ...]: (801 + position, 901 + position),
        tuple[str, ...]: (f"<first {position}>", f"<second {position}>"),
        CopyProblem: CopyProblem.DAMAGED_AT_SOURCE,
        MigrationProblem: MigrationProblem.VERSIONS_NEEDED,
    }
    return (kinds | {int | None: kinds[int], str | None: kinds[str]})[found.type]


@pytest.mark.parametrize("kind", FINDINGS)
def test_a_finding_has_a_sentence_that_names_its_facts(kind: Any) -> None:
    facts = {found.name: example(found, position) for position, found in enumerate(fields(kind))}
    said = sentence(kind(**facts))
    assert "{" not in said
    for name, value in facts.items():
        if isinstance(value, bool | CopyProblem | MigrationProblem) or (kind.code(), name) in UNSAID:
            continue
        for part in value if isinstance(value, tuple) else (value,):
            assert str(part) in said, name


def test_findings_have_codes_of_their_own() -> None:
    assert len({kind.code() for kind in FINDINGS}) == len(FINDINGS) > 30
    assert findings.MissingObject.code() == "missing_object"


@pytest.mark.parametrize("problem", CopyProblem)
@pytest.mark.parametrize("sha256", ["9f" * 32, None])
def test_every_reason_not_to_copy_a_version_has_words(problem: CopyProblem, sha256: str | None) -> None:
    said = sentence(findings.VersionNotCopied("m", 7, "model.pt", "models/m/v7/model.pt", sha256, problem))
    assert said.startswith("m 7: 'model.pt' ")
    assert said.endswith("; the version is not moved")
    assert "{" not in said
    assert "none" not in said


@pytest.mark.parametrize("problem", MigrationProblem)
def test_every_reason_not_to_migrate_a_model_has_words(problem: MigrationProblem) -> None:
    said = sentence(ModelNotMigrated("m", problem, generation=8, source_generation=7, versions=(3, 4)))
    others = list(MigrationProblem).index(problem) >= list(MigrationProblem).index(MigrationProblem.DESTINATION_AHEAD)
    assert said.startswith(f"m: not moved: {'others have written it at the destination' if others else ''}")
    assert "{" not in said


def test_what_is_not_there_is_none() -> None:
    assert sentence(findings.ModelAdopted("m", 3, None)) == "m: 3 version(s), production is none"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((1, 0, 1, 0, 0), "m: 1 version, 0 objects copied, 1 event"),
        ((28, 2, 1325, 40, 14_540), "m: 28 versions, 2 in the trash, 40 objects copied (14.2 KiB), 1,325 events"),
    ],
)
def test_what_was_migrated_is_counted(counts: tuple[int, ...], said: str) -> None:
    names = ("versions", "trashed", "events", "objects", "bytes")
    facts: dict[str, Any] = dict(zip(names, counts, strict=True))
    assert sentence(findings.ModelMigrated("m", **facts, changed=True, dry_run=False)) == said
    unchanged = sentence(findings.ModelMigrated("m", **facts, changed=False, dry_run=True))
    assert unchanged == said.replace("copied", "to copy") + "; nothing had changed"
