"""Pages, read as a browser reads them."""

from typing import Any

import httpx
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tests.support.api import Api


class Page:
    """A page that was answered with the expected status."""

    def __init__(self, answer: httpx.Response, status: int = 200) -> None:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        self.answer = answer
        self._parser = LexborHTMLParser(answer.text)

    @property
    def title(self) -> str:
        """What the browser's tab says."""
        return self.text("title")

    def all(self, selector: str) -> list[LexborNode]:
        """Every element that the selector finds."""
        return self._parser.css(selector)

    def one(self, selector: str) -> LexborNode:
        """The one element that the selector finds."""
        (found,) = self.all(selector)
        return found

    def text(self, selector: str) -> str:
        """The text of one element, in one line."""
        return words(self.one(selector))

    def texts(self, selector: str) -> list[str]:
        """The text of every element."""
        return [words(node) for node in self.all(selector)]

    def links(self, selector: str = "a") -> list[str]:
        """Where the elements lead."""
        return [node.attributes["href"] or "" for node in self.all(selector)]

    def table(self, number: int = 0) -> list[list[str]]:
        """The rows of a table, the header first."""
        return [[words(cell) for cell in row.css("th, td")] for row in self.all("table")[number].css("tr")]


def words(node: LexborNode) -> str:
    """All text in an element."""
    return " ".join(node.text(separator=" ").split())


async def page(api: Api, path: str, *, status: int = 200, **options: Any) -> Page:
    """Read a page below `/ui`."""
    return Page(await api.http.get(f"/ui{path}", **options), status)
