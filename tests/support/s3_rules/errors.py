"""S3's errors in S3's words."""

from dataclasses import dataclass
from uuid import uuid4
from xml.sax.saxutils import escape

from tests.support.faults.proxy import Reply, Request


@dataclass(eq=False)
class S3Error(Exception):
    """S3 refuses a request."""

    status: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def reply(self, request: Request) -> Reply:
        """As S3 sends it: an answer to HEAD has no body."""
        body = b"" if request.method == "HEAD" else self._xml().encode()
        headers = {
            "x-amz-request-id": uuid4().hex[:16].upper(),
            "content-type": "application/xml",
            "content-length": str(len(body)),
        }
        return Reply(status=self.status, headers=headers, body=body)

    def _xml(self) -> str:
        fields = {"Code": self.code, "Message": self.message, "RequestId": uuid4().hex[:16].upper()}
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
