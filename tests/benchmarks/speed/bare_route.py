"""The least that FastAPI does for an answer: a route of the same path that returns bytes it was given."""

import os
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Response

ANSWERS = "ANSWERS"
"""The folder with a file for each model: what is answered for it."""


@cache
def _answer(model: str) -> bytes:
    return (Path(os.environ[ANSWERS]) / model).read_bytes()


def create_app() -> FastAPI:
    app = FastAPI()

    @app.get("/v1/models/{model}/versions/{ref}/download")
    async def get_download(model: str, ref: str) -> Response:
        return Response(_answer(model), media_type="application/json")

    return app
