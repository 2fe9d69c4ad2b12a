"""A service for one test: writes down every POST the moment it arrives, then takes its time to answer.

`python journal_app.py --host H --port P --journal FILE`; a line of the journal is the request's `x-load-id`.
"""

import argparse
import asyncio
import os
from typing import Any

import uvicorn

WORK_SECONDS = 0.3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", required=True)
    words = parser.parse_args()
    journal = os.open(words.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            identity = dict(scope["headers"]).get(b"x-load-id", b"?")
            os.write(journal, identity + b"\n")
            await asyncio.sleep(WORK_SECONDS)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"instance_id": "journal"}'})

    uvicorn.run(app, host=words.host, port=words.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
