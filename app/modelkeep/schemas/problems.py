"""RFC 9457 error bodies on the wire."""

from pydantic import BaseModel, ConfigDict


class Problem(BaseModel):
    """What went wrong and what to do next. `code` is stable; the error's own fields are further members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
