"""Guarding an app without a line of it changed: what `mas-guard run` puts into the processes that it starts.

`start/` holds a `sitecustomize`, which Python imports at its start because its directory is first on PYTHONPATH.
It arms with the standard library alone; the guard itself is loaded when the app imports a framework. `arm` is also
the entry point `opentelemetry_pre_instrument`, since OpenTelemetry's launcher puts a `sitecustomize` of its own
before ours.
"""

from __future__ import annotations

from mas_guard.launch.arming import arm

__all__ = ["arm"]
