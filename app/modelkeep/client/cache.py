"""Files by digest, shared by the processes of a machine: each is fetched once. `disk_layout` describes the paths.

The cache is an optimisation: whatever is wrong with it is said in a remark, and the file is fetched without it. A file
is fetched to its destination and copied into the cache when it is verified; one that comes out of the cache is verified
where it was put, so that nothing that happens in the cache afterwards matters.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from modelkeep.client.cache_folder import CacheFolder, UntrustedError
from modelkeep.client.disk_layout import is_disk_full, lock_path
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.kit.digests import sha256_of_file
from modelkeep.kit.file_locks import async_locked_if_possible


class Cache:
    """Files by digest in `folder`, which is made if it is missing.

    With `hard_links` a download and the cache are one file, read-only, where the file system allows it. `remark` is
    called with a sentence, once for each reason, when the cache or one of its files is not used.
    """

    def __init__(self, folder: Path, *, hard_links: bool, remark: Callable[[str], None]) -> None:
        self._folder = folder
        self._hard_links = hard_links
        self._remark = remark
        self._reasons: set[str] = set()

    async def provide(
        self, sha256: str, target: Path, fetch: Callable[[Path], Awaitable[None]], transfers: TransferPool
    ) -> bool:
        """Put the file with this digest at `target`, by `fetch(target)` unless the cache has it.

        Returns whether it came out of the cache. Raises `OSError` for `target`, and what `fetch` raises.
        """
        try:
            folder = await transfers.in_thread(CacheFolder, self._folder)
        except (OSError, UntrustedError) as error:
            self._pass_by(self._folder, error)
            await fetch(target)
            return False
        with folder:
            return await self._provide(folder, sha256, target, fetch, transfers)

    async def _provide(
        self,
        folder: CacheFolder,
        sha256: str,
        target: Path,
        fetch: Callable[[Path], Awaitable[None]],
        transfers: TransferPool,
    ) -> bool:
        lock = lock_path(Path(sha256))
        if await transfers.in_thread(self._take, folder, sha256, target):
            return True
        unlocked = partial(self._pass_by, self._folder / lock)
        async with async_locked_if_possible(lock, unlocked, dir_fd=folder.descriptor):
            if await transfers.in_thread(self._take, folder, sha256, target):
                return True
            await fetch(target)
            await transfers.in_thread(self._keep, folder, sha256, target)
        return False

    def _take(self, folder: CacheFolder, sha256: str, target: Path) -> bool:
        """Whether the file with this digest is at `target` now, out of the cache."""
        draft = target.with_name(f"{target.name}.cached")
        draft.unlink(missing_ok=True)
        try:
            folder.copy_out(sha256, draft, as_link=self._hard_links)
            _verify(draft, sha256)
            draft.replace(target)
        except FileNotFoundError:
            return False
        except (OSError, UntrustedError) as error:
            if isinstance(error, OSError) and is_disk_full(error):
                raise
            self._pass_by(self._folder / sha256, error)
            return False
        else:
            return True
        finally:
            draft.unlink(missing_ok=True)

    def _keep(self, folder: CacheFolder, sha256: str, target: Path) -> None:
        """Copy a file that was verified into the cache, if that is possible."""
        try:
            folder.copy_in(target, sha256, as_link=self._hard_links)
        except OSError as error:
            self._pass_by(self._folder / sha256, error)

    def _pass_by(self, path: Path, error: OSError | UntrustedError) -> None:
        reason = f"cannot be used: {error.strerror}" if isinstance(error, OSError) else str(error)
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._remark(f"The cache is passed by: '{path}' {reason}.")


def _verify(draft: Path, sha256: str) -> None:
    if sha256_of_file(draft) != sha256:
        raise UntrustedError("has other bytes than its name says")
