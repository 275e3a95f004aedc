"""What each role does, as operations that are tried with its rights and with one of them taken away."""

from datetime import timedelta
from unittest import mock

from modelkeep.admin.iam_policies import Role
from modelkeep.domain.artifacts import object_key
from modelkeep.storage.aws import s3_writes
from tests.support.api import serving
from tests.support.iam_site import Site
from tests.support.migrations import local_settings

FILES = {"model.pt": b"weights"}
LONG_AFTER = timedelta(days=30)

PARTS_STAY = "the parts are still there"
"""All that comes of not being allowed to drop parts: no operation fails for it, since others drop them later."""


# serve


async def begin(site: Site) -> None:
    with site.tested():
        await site.api.begin(site.model, FILES)


async def begin_in_parts(site: Site) -> None:
    with site.tested():
        await site.api.begin(site.model, FILES, multipart=True)


async def look_at_an_upload(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.begin(site.model, FILES)
    with site.tested():
        await site.api.ask("GET", f"/{site.model}/versions/1/upload")


async def complete(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.upload(await site.api.begin(site.model, FILES), FILES)
    with site.tested():
        await site.api.complete(site.model, 1)


async def complete_in_parts(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.upload(await site.api.begin(site.model, FILES, multipart=True), FILES)
    with site.tested():
        await site.api.complete(site.model, 1)


async def upload_by_url(site: Site) -> None:
    with site.under(Role.SERVE):
        begun = await site.api.begin(site.model, FILES)
    with site.tested():
        await site.api.upload(begun, FILES)


async def abandon(site: Site) -> None:
    with site.under(Role.SERVE):
        begun = await site.api.begin(site.model, FILES, multipart=True)
        parts = {"path": "model.pt", "parts": [{"number": 1, "sha256": begun["artifacts"][0]["sha256"]}]}
        signed = await site.api.ask("POST", f"/{site.model}/versions/1/upload/parts", parts)
    with site.tested():
        await site.api.ask("DELETE", f"/{site.model}/versions/1/upload", status=204)
        late = await site.api.send(signed["parts"][0], FILES["model.pt"])
    assert late.status_code == 404, PARTS_STAY


async def find_a_model(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.begin(site.model, FILES)
    with site.tested():
        await site.api.model(site.model)


async def list_models(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.register(site.model)
    with site.tested():
        assert site.model in [found["model"] async for found in site.api.walk("")]


async def list_versions(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.register(site.model)
    with site.tested():
        assert [version async for version in site.api.walk(f"/{site.model}/versions")]


async def change_nothing_under_a_key(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.promote(site.model, await site.api.register(site.model))
    with site.tested():
        path, body = f"/{site.model}/versions/1/stage", {"stage": "production"}
        await site.api.ask("PUT", path, body, headers={"idempotency-key": "again"})


async def fetch(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.promote(site.model, await site.api.register(site.model, FILES))
    with site.tested():
        assert await site.api.fetch(site.model) == FILES


# migrate


async def move_in(site: Site) -> None:
    async with serving(local_settings(site.folder)) as api:
        await api.register(site.model)
    with site.tested():
        await site.run("migrate", "--from", f"local:{site.folder}", "--to", "aws")


async def bring_a_deletion_forward(site: Site) -> None:
    async with serving(local_settings(site.folder)) as api:
        await api.register(site.model)
        with site.under(Role.MIGRATE):
            await site.run("migrate", "--from", f"local:{site.folder}", "--to", "aws")
        await api.ask("DELETE", f"/{site.model}/versions/1", status=204)
    with site.tested():
        await site.run("migrate", "--from", f"local:{site.folder}", "--to", "aws")


async def drop_the_parts_of_a_damaged_file(site: Site) -> None:
    async with serving(local_settings(site.folder)) as api:
        await api.register(site.model, FILES)
    (site.folder / "objects" / object_key(site.model, 1, "model.pt")).write_bytes(b"damaged")
    with site.tested(), mock.patch.object(s3_writes, "PART_SIZE", 4):
        said = await site.run("migrate", "--from", f"local:{site.folder}", "--to", "aws", status=1)
    assert "is damaged" in said.out[0]
    with site.under(Role.SWEEP):
        assert await site.storage.open_multiparts() == set(), PARTS_STAY


async def move_out(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.register(site.model)
    with site.tested():
        await site.run("migrate", "--from", "aws", "--to", f"local:{site.folder / 'moved'}")


# sweep


async def expire_an_upload(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.upload(await site.api.begin(site.model, FILES), FILES)
    with site.tested():
        assert f"{site.model} 1: expired upload" in await site.storage.sweep(after=LONG_AFTER)


async def expire_an_upload_in_parts(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.begin(site.model, FILES, multipart=True)
    with site.tested():
        await site.storage.sweep(after=LONG_AFTER)
        assert await site.storage.open_multiparts() == set()


async def purge_the_trash(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.register(site.model)
        await site.api.ask("DELETE", f"/{site.model}/versions/1", status=204)
    with site.tested():
        assert f"{site.model} 1: purged, {len(site.model)} bytes" in await site.storage.sweep(after=LONG_AFTER)


async def sweep_nothing(site: Site) -> None:
    with site.tested():
        await site.run("sweep")


async def check_a_version(site: Site) -> None:
    with site.under(Role.SERVE):
        await site.api.register(site.model)
    with site.tested():
        await site.run("check")


async def check_an_adopted_version(site: Site) -> None:
    """Its object was stored without a version."""
    with site.recipe() as recipe:
        recipe.register(site.model, b"weights", {})
    with site.under(Role.SERVE):
        await site.api.model(site.model)
    with site.tested():
        await site.run("check")


# init


async def make_everything(site: Site) -> None:
    with (new := site.elsewhere()).tested():
        await new.run("init")


async def close_a_public_bucket(site: Site) -> None:
    with (old := site.elsewhere()).recipe() as recipe:
        recipe.create()
        recipe.s3.delete_public_access_block(Bucket=recipe.bucket)
    with old.tested():
        assert "Public access was blocked." in (await old.run("init")).out


async def adopt(site: Site) -> None:
    old = site.elsewhere()
    with old.recipe() as recipe:
        recipe.create()
        recipe.s3.put_bucket_versioning(Bucket=recipe.bucket, VersioningConfiguration={"Status": "Enabled"})
        recipe.register("fraud", b"weights", {"f1": 0.9})
    with old.tested():
        said = await old.run("init", "--adopt", "--verify")
    assert said.out[-1].startswith("fraud 1: verified")
    with old.tested():
        assert (await old.run("check")).out == ["clean"]
