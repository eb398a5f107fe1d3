"""Strings of protobuf's text format. Knows no message."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Return a text as a quoted string: bytes that are not plain ASCII, quotes and backslashes as octal escapes."""
    octal = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(octal)}"'
