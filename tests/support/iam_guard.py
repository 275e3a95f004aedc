"""IAM before servers that know none: what a `Proxy` does with each request while a policy is in force."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from xml.sax.saxutils import escape

from tests.support.faults.proxy import Forward, Reply, Request
from tests.support.iam import Access, Document, allows
from tests.support.iam_requests import ACCOUNT, accesses, listing


class Guard:
    """The fault of a proxy: what the policy in force allows passes, all else is answered as AWS does."""

    def __init__(self) -> None:
        self._policy: Document = {"Statement": []}

    @contextmanager
    def enforcing(self, policy: Document) -> Iterator[None]:
        """Put a policy in force to the end of the block."""
        before, self._policy = self._policy, policy
        try:
            yield
        finally:
            self._policy = before

    def __call__(self, request: Request, forward: Forward) -> Reply:
        for access in accesses(request):
            if not allows(self._policy, access):
                return _denied(request, access)
        reply = forward(request)
        if reply.status == 404 and (telling := listing(request)) and not allows(self._policy, telling):
            return _denied(request, telling)
        return reply


def _denied(request: Request, access: Access) -> Reply:
    sentence = (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/registry/test is not authorized to perform: {access.action}"
        f" on resource: {access.resource} because no identity-based policy allows the {access.action} action"
    )
    if "x-amz-target" in request.headers:
        body = {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": sentence}
        return Reply(status=400, headers={"content-type": "application/x-amz-json-1.0"}, body=json.dumps(body).encode())
    xml = f"<Error><Code>AccessDenied</Code><Message>{escape(sentence)}</Message></Error>"
    content = b"" if request.method == "HEAD" else xml.encode()
    return Reply(status=403, headers={"content-type": "application/xml"}, body=content)
