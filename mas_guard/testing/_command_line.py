"""`python -m mas_guard.testing.model_server`: the server as a process of its own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from threading import Event

from mas_guard.testing._script import Script
from mas_guard.testing.model_server import ModelServer


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted; the first line on standard output is the URL."""
    parser = argparse.ArgumentParser(prog="python -m mas_guard.testing.model_server", description=__doc__)
    parser.add_argument("--script", required=True, help="module:name of a list of replies or of a function")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--max-requests", type=int, help="give up after this many (default: never)")
    parser.add_argument("--repeat-last", action="store_true", help="give a list's last reply for ever")
    given = parser.parse_args(arguments)
    try:
        script = _load(given.script)
        server = ModelServer(script, port=given.port, max_requests=given.max_requests, repeat_last=given.repeat_last)
    except (ImportError, AttributeError, ValueError, TypeError, OSError) as error:
        parser.error(f"cannot serve {given.script} on port {given.port}: {error}")
    with server:
        print(server.url, flush=True)
        try:
            Event().wait()
        except KeyboardInterrupt:
            pass


def _load(place: str) -> Script:
    module, separator, name = place.partition(":")
    if not separator:
        raise ValueError("name the script as module:name")
    script: Script = getattr(import_module(module), name)
    return script
