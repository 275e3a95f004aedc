"""How requests of MLflow's clients are treated."""

from typing import Final

from modelkeep.faces.mlflow.credentials import BEARER_OR_PASSWORD
from modelkeep.faces.mlflow.errors import render_error
from modelkeep.http.route_table import RouteRow

ROWS: Final = (RouteRow("/api/", render_error=render_error, credential_sources=(BEARER_OR_PASSWORD,)),)
