"""How many tokens a text can be at most, without a tokenizer."""

from __future__ import annotations

import unicodedata


def input_bound(text: str) -> int:
    """An upper bound of *text* in tokens: its UTF-8 bytes, as it is or normalised, whichever is more.

    Byte-level vocabularies never need more tokens than bytes. Tokenizers that normalise first (NFKC) see another
    text, which can be longer: one Arabic ligature becomes eighteen letters. What a provider wraps around a message
    is not in it.
    """
    if text.isascii():
        return len(text)
    raw = len(text.encode("utf-8", "surrogatepass"))
    if unicodedata.is_normalized("NFKC", text):
        return raw
    return max(raw, len(unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")))
