"""`python -m api`: the API server alone, as a container runs it."""

import argparse
import sys

import uvicorn

from api.app import create_app
from api.auth import check_bind
from api.settings import ApiSettings


def main() -> int:
    """Serves until it is told to end; 2 for settings that are wrong."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        settings = ApiSettings.from_environment()
        check_bind(options.host, settings.token)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    uvicorn.run(
        create_app(settings), host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=3
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
