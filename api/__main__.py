"""`python -m api` runs the API server alone, for example in a container."""

import argparse
import sys

import uvicorn

from api.app import create_app
from api.auth import check_bind
from api.settings import ApiSettings
from orchestrator.store import Store


def main() -> int:
    """Serves until the process is stopped. Returns 2 if the settings are invalid or the database cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m api", description="Run the relearn API server.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")
    options = parser.parse_args()
    try:
        settings = ApiSettings.from_environment()
        check_bind(options.host, settings.token)
        app = create_app(settings)
        Store(
            settings.service.database_url
        ).close()  # a database of a later version is refused before anything is served
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
