"""`python -m mas_guard.cli`, for where the `mas-guard` script is not on PATH."""

from mas_guard.cli import main

main()
