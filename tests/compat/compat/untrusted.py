"""Reading what a server sent without trusting its types: what is of the wrong one is taken for empty, as the contract tells of it."""

from typing import Any


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in an array."""
    return [item for item in listing(value) if isinstance(item, dict)]


def indexed(value: Any) -> list[dict[str, Any]]:
    """The objects in an array that have an integer `index`."""
    return [item for item in objects(value) if isinstance(item.get("index"), int)]


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""
