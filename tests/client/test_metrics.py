"""Metrics through the Python client: the numbers of libraries are welcome, what is no number is refused by its name."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, SupportsFloat

import pytest

from modelkeep.client import RegistryClient
from modelkeep.domain.errors import InvalidRequestError

Write = Callable[..., Path]


class Float32:
    """A scalar as arrays give it."""

    dtype = "float32"
    shape = ()

    def __float__(self) -> float:
        return 0.5


def test_numbers_of_libraries_are_registered_and_edited(client: RegistryClient, model: str, write: Write) -> None:
    metrics: Mapping[str, SupportsFloat] = {"f1": Float32(), "loss": Decimal("0.25"), "tokens": 2**60, "epochs": 3}
    stored = {"f1": 0.5, "loss": 0.25, "tokens": float(2**60), "epochs": 3.0}
    assert client.register(model, write(10), metrics=metrics).metrics == stored
    edited = client.edit_version(model, 1, metrics={"auc": Float32(), "loss": None, "tokens": 2**61})
    assert edited.metrics == {"f1": 0.5, "auc": 0.5, "tokens": float(2**61), "epochs": 3.0}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "a metric is a number, not a truth value"),
        ("0.5", "a metric is a number, not text"),
        ([0.5], "a metric is a number, not a list"),
        (2**53 + 1, "a metric holds no integer"),
    ],
)
def test_what_is_no_number_is_named(client: RegistryClient, model: str, write: Write, value: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^metrics.f1: .*{message}"):
        client.register(model, write(10), metrics={"f1": value})
    with pytest.raises(InvalidRequestError, match=f"^metrics.f1: .*{message}"):
        client.edit_version(model, 1, metrics={"f1": value})


def test_nothing_is_a_metric_that_is_removed_and_never_registered(
    client: RegistryClient, model: str, write: Write
) -> None:
    nothing: Any = {"f1": None}
    with pytest.raises(InvalidRequestError, match=r"^metrics\.f1: a metric is a number, not null"):
        client.register(model, write(10), metrics=nothing)
