"""The routes of the pages: parse, ask the services, show."""

from typing import Final

from modelkeep.web import assets
from modelkeep.web.routes import models

ROUTERS: Final = (assets.router, models.router)
