"""Every seam in one table.

The client has no public hook. HTTP hooks would miss: version 3 left `httpx` for `httpx2`, and both can be given to it.
So we stand where every resource of every version passes: `request` (one call of the app), `_build_request` (one
attempt; `_prepare_request` is overridden without `super()` in version 3), and `_process_response` (the reply, before
it is parsed). `_calculate_retry_timeout` says that an attempt has failed and how long the next one waits.
"""

from __future__ import annotations

from mas_guard.adapter import Patch, PatchSet
from mas_guard_openai import _attempt, _request, _response


def patch_set() -> PatchSet:
    """The patches of the client."""
    base = "openai._base_client"
    return PatchSet(
        "openai",
        (
            Patch(base, "SyncAPIClient.request", _request.make_request),
            Patch(base, "AsyncAPIClient.request", _request.make_async_request),
            Patch(base, "SyncAPIClient._process_response", _response.make_process),
            Patch(base, "AsyncAPIClient._process_response", _response.make_async_process),
            Patch(base, "BaseClient._build_request", _attempt.make_build),
            Patch(base, "BaseClient._calculate_retry_timeout", _attempt.make_wait),
        ),
    )
