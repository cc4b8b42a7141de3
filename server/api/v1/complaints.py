"""What is wrong with a body, in the words of those who sent it: JSON's, not the decoder's.

Knows the decoder's sentences (msgspec's), and no HTTP.
"""

import re
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import structs

PLACE: Final = re.compile(r"(?P<said>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
MISSING: Final = re.compile(r"Object missing required field `(.+)`")
WRONG: Final = re.compile(r"Expected `(.+)`, got `(.+)`")
LENGTH: Final = re.compile(r"Expected `(.+)` of length (>=|<=) (\d+)")
KINDS: Final = {"str": "a string", "int": "a whole number", "float": "a number",
                "bool": "true or false", "object": "an object", "array": "a list",
                "null": "null"}  # fmt: skip
PATTERN: Final = re.compile(r"Expected `str` matching regex '(.+)'")
PARTS: Final = {"str": "characters", "array": "entries", "object": "fields"}


def complaint(error: msgspec.ValidationError, kind: type) -> str:
    """A sentence that names the field and what it may be. kind: what the body should have been."""
    found = PLACE.fullmatch(str(error))
    assert found is not None  # it matches whatever there is
    said, place = found["said"], found["place"] or ""
    name = place or "The body"
    if missing := MISSING.fullmatch(said):
        return f"{f'{place}.' if place else ''}{missing[1]} is missing"
    if said.startswith("Invalid enum value") and (allowed := _allowed(kind, place)):
        return f"{name} must be one of {', '.join(allowed)}"
    if wrong := WRONG.fullmatch(said):
        wanted = " or ".join(KINDS.get(one, one) for one in wrong[1].split(" | "))
        return f"{name} must be {wanted}, not {KINDS.get(wrong[2], wrong[2])}"
    if length := LENGTH.fullmatch(said):
        most = length[2] == "<="
        if length[3] == "1" and not most:
            return f"{name} must not be empty"
        part = PARTS.get(length[1], "parts")
        return f"{name} must have {length[3]} {part} at {'most' if most else 'least'}"
    if pattern := PATTERN.fullmatch(said):
        return f"{name} must match {pattern[1]}"
    return f"{name}: {said}"


def _allowed(kind: type, place: str) -> tuple[str, ...]:
    """The values of the enumeration that a field is, or whose entries a list is."""
    name = place.partition("[")[0]
    return next((_values(field.type) for field in structs.fields(kind)
                 if field.encode_name == name), ())


def _values(hint: Any) -> tuple[str, ...]:
    """Those of the Literal in an annotation, in their own order."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return tuple(map(str, parts))
    return next(filter(None, map(_values, parts)), ())
