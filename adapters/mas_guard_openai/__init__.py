"""The raw OpenAI client's adapter. This front door holds metadata only."""

from __future__ import annotations
