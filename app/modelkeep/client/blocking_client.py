"""The client of a registry, for code that does not await: training scripts and notebooks."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial, update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from modelkeep.client.async_client import AsyncRegistryClient

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncRegistryClient, P], Awaitable[T]],
) -> Callable[Concatenate["RegistryClient", P], T]:
    def call(self: "RegistryClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait_for(partial(method, self.client, *args, **kwargs))

    update_wrapper(call, method)
    return call


class RegistryClient:
    """`AsyncRegistryClient` with blocking methods, to be used with `with`, or closed by `close`.

    Its event loop runs in a daemon thread. So it works where another event loop runs already, as in a notebook, and a
    program can end without closing it.
    """

    def __init__(self, url: str | None = None, **options: Any) -> None:
        """Takes the arguments of `AsyncRegistryClient`."""
        self.client = AsyncRegistryClient(url, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="registry", daemon=True)
        self._thread.start()
        self.wait_for(self.client.__aenter__)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Idempotent."""
        if not self._loop.is_closed():
            self.wait_for(self.client.__aexit__)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def wait_for(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call in the loop's thread, and return the result. If this thread is interrupted, the call is cancelled."""

        async def awaited() -> T:
            return await call()

        future = asyncio.run_coroutine_threadsafe(awaited(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    register = _blocking(AsyncRegistryClient.register)
    copy = _blocking(AsyncRegistryClient.copy)
    preview = _blocking(AsyncRegistryClient.preview)
    download = _blocking(AsyncRegistryClient.download)
    get_download_urls = _blocking(AsyncRegistryClient.get_download_urls)
    list_models = _blocking(AsyncRegistryClient.list_models)
    get_model = _blocking(AsyncRegistryClient.get_model)
    list_versions = _blocking(AsyncRegistryClient.list_versions)
    get_version = _blocking(AsyncRegistryClient.get_version)
    find_same_files = _blocking(AsyncRegistryClient.find_same_files)
    compare_versions = _blocking(AsyncRegistryClient.compare_versions)
    list_events = _blocking(AsyncRegistryClient.list_events)
    list_uploads = _blocking(AsyncRegistryClient.list_uploads)
    abandon_upload = _blocking(AsyncRegistryClient.abandon_upload)
    promote = _blocking(AsyncRegistryClient.promote)
    rollback = _blocking(AsyncRegistryClient.rollback)
    set_alias = _blocking(AsyncRegistryClient.set_alias)
    remove_alias = _blocking(AsyncRegistryClient.remove_alias)
    create_model = _blocking(AsyncRegistryClient.create_model)
    edit_version = _blocking(AsyncRegistryClient.edit_version)
    edit_model = _blocking(AsyncRegistryClient.edit_model)
    delete_version = _blocking(AsyncRegistryClient.delete_version)
    delete_model = _blocking(AsyncRegistryClient.delete_model)
    restore = _blocking(AsyncRegistryClient.restore)
    create_token = _blocking(AsyncRegistryClient.create_token)
    list_tokens = _blocking(AsyncRegistryClient.list_tokens)
    revoke_token = _blocking(AsyncRegistryClient.revoke_token)
    get_rules = _blocking(AsyncRegistryClient.get_rules)
    set_rules = _blocking(AsyncRegistryClient.set_rules)
    explain_access = _blocking(AsyncRegistryClient.explain_access)
