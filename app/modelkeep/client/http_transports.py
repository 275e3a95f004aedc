"""Connections of httpx that take proxies and certificates from the environment, as curl and Go read it.

httpx reads these variables itself, but knows no ranges of addresses in `NO_PROXY` and fails on some values before
anything is requested (0.28.1).
"""

import httpx

from modelkeep.kit.proxies import ProxySettings, require_certificates

_LIMITS = httpx.Limits()


class BlockingTransport(httpx.BaseTransport):
    """For `httpx.Client`. Many threads may use it at once.

    Raises `UnusableVariableError` if the environment names certificates that are not there, and later, from a request,
    if it names a proxy for it that cannot be used.
    """

    def __init__(self, *, limits: httpx.Limits = _LIMITS) -> None:
        require_certificates()
        context = httpx.create_ssl_context()
        self._proxies = ProxySettings.from_environment()
        self._direct = httpx.HTTPTransport(verify=context, limits=limits)
        self._through = {
            proxy: httpx.HTTPTransport(verify=context, limits=limits, proxy=proxy.url)
            for proxy in self._proxies.usable()
        }

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request directly or through its proxy."""
        proxy = self._proxies.find(str(request.url))
        return (self._through[proxy] if proxy else self._direct).handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        for transport in (self._direct, *self._through.values()):
            transport.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`."""

    def __init__(self) -> None:
        require_certificates()
        context = httpx.create_ssl_context()
        self._proxies = ProxySettings.from_environment()
        self._direct = httpx.AsyncHTTPTransport(verify=context)
        self._through = {
            proxy: httpx.AsyncHTTPTransport(verify=context, proxy=proxy.url) for proxy in self._proxies.usable()
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request directly or through its proxy."""
        proxy = self._proxies.find(str(request.url))
        return await (self._through[proxy] if proxy else self._direct).handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (self._direct, *self._through.values()):
            await transport.aclose()
