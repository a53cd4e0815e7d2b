"""What a server's error means where it was met inside a script, which Redis before 7 tells as an error of the script."""

from __future__ import annotations

from redis.exceptions import OutOfMemoryError, ReadOnlyError


def meant(error: Exception) -> Exception:
    """*error* as it would be outside of a script."""
    text = str(error)
    if "-READONLY " in text:
        return ReadOnlyError("You can't write against a read only replica.")
    if "-OOM " in text or isinstance(error, OutOfMemoryError):
        return OutOfMemoryError(
            "The store's memory is full (`maxmemory`), so nothing is reserved; what is settled is still booked. Give the "
            "server more memory, or keep what has ended for less long (`retention`)."
        )
    return error
