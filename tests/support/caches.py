"""A plugin: what each test would make anew and always the same is made once for the session.

Service models, their endpoint rules and the list of services of botocore; the certificates that OpenSSL trusts; the
command line that typer builds from functions. And the garbage collector does not look through them, or through the
modules and tests that were imported, again and again: that was a fifth of the time of tests that open clients.
"""

import gc
import os
import ssl
from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest import mock

import httpx
import pytest
from botocore.endpoint_provider import RuleSet
from botocore.loaders import JSONFileLoader, Loader
from typer.main import get_command


def pytest_collection_finish() -> None:
    _settle()


def _settle() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def service_models_are_read_once() -> Iterator[None]:
    """botocore reads megabytes of JSON for each session, and these tests open some hundred."""
    read, list_services = JSONFileLoader.load_file, Loader.list_available_services
    models: dict[str, Any] = {}
    services: dict[tuple[str, ...], list[str]] = {}
    rules: dict[int, RuleSet] = {}

    def load_file(loader: JSONFileLoader, path: str) -> Any:
        if path not in models:
            models[path] = read(loader, path)
            _settle()
        return models[path]

    def list_available_services(loader: Loader, type_name: str) -> list[str]:
        key = (type_name, *sorted(set(loader.search_paths)))
        if key not in services:
            services[key] = list_services(loader, type_name)
        return services[key]

    def rule_set(**data: Any) -> RuleSet:
        if id(data["rules"]) not in rules:
            rules[id(data["rules"])] = RuleSet(**data)
        return rules[id(data["rules"])]

    with (
        mock.patch.object(JSONFileLoader, "load_file", load_file),
        mock.patch.object(Loader, "list_available_services", list_available_services),
        mock.patch("botocore.endpoint_provider.RuleSet", rule_set),
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities_are_read_once() -> Iterator[None]:
    """OpenSSL takes 25 ms or more for the certificates that it trusts, and httpx wants them for each client."""
    make = httpx.create_ssl_context

    @cache
    def shared(_: tuple[str | None, ...], *, trust_env: bool) -> ssl.SSLContext:
        return make(trust_env=trust_env)

    def create(*, verify: ssl.SSLContext | bool, cert: Any, trust_env: bool) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return make(verify=verify, cert=cert, trust_env=trust_env)
        named = tuple(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        return shared(named if trust_env else (), trust_env=trust_env)

    with mock.patch("httpx._transports.default.create_ssl_context", create):
        yield


@pytest.fixture(scope="session", autouse=True)
def commands_are_built_once() -> Iterator[None]:
    """typer takes 35 ms for it at each invocation."""
    with mock.patch("typer.testing._get_command", cache(get_command)):
        yield
