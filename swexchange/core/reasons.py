"""Says in plain words why xmlschema refuses a document.

xmlschema's own reasons speak of its classes; these say what was found and what was expected, short
enough for a receipt. Validates nothing: it puts an error into words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import isfunction
from itertools import takewhile
from xml.etree.ElementTree import Element

from xmlschema import XMLSchemaChildrenValidationError, XMLSchemaDecodeError, XMLSchemaValidationError
from xmlschema.validators import XsdElement, XsdGroup, facets

from swexchange.core.schema import LONGEST_DETAIL, LONGEST_VALUE, Reason, local_name, shortened

_MOST_NAMES = 5  # of expected elements or values
_ATTRIBUTE = re.compile(r"attribute ([^\s=]+)=")
_COMPONENT = re.compile(r"Xsd\w+\((?:\w+=)?'(?:[^':]*:)?([^']*)'[^()]*\)")
_NAMESPACE = re.compile(r"\{[^{}]*\}")

_LIMITS: dict[type, str] = {
    facets.XsdTotalDigitsFacet: "has more than {} digits",
    facets.XsdFractionDigitsFacet: "has more than {} decimals",
    facets.XsdMinInclusiveFacet: "is less than {}",
    facets.XsdMinExclusiveFacet: "is not more than {}",
    facets.XsdMaxInclusiveFacet: "is more than {}",
    facets.XsdMaxExclusiveFacet: "is not less than {}",
}
_LENGTHS: dict[type, str] = {
    facets.XsdLengthFacet: "{} expected",
    facets.XsdMinLengthFacet: "at least {} expected",
    facets.XsdMaxLengthFacet: "at most {} allowed",
}


def reason(error: XMLSchemaValidationError, order: Mapping[Element, int]) -> Reason:
    """The reason of an error of xmlschema; `order` counts the document's elements."""
    element, detail = error.elem, ""
    if isinstance(error, XMLSchemaChildrenValidationError):
        detail = _wrong_child(error)
    else:
        detail = _wrong_value(error, (element.text if element is not None else "") or "")
    place = 0 if element is None else order[element]
    culprit = place if error.invalid_child is None else order[error.invalid_child]
    return Reason(shortened(detail, LONGEST_DETAIL), place, culprit)


# -- children


def _wrong_child(error: XMLSchemaChildrenValidationError) -> str:
    expected = list(dict.fromkeys(e.name or "" for e in error.expected or ()))
    if error.invalid_tag is None:
        one_of = "one of " if len(expected) > 1 else ""
        return f"{one_of}{_names(expected) or 'an element'} is missing"
    tag, times = error.invalid_tag, _times_before(error)
    name = _name_beside(tag, expected)
    if times and tag not in expected:
        return f"{name} may occur {'only once' if times == 1 else f'{times} times at most'}"
    known = _is_known(error.validator, tag)
    if not expected:
        return f"{name} is not {'allowed' if known else 'known'} here"
    return f"{f'found {name}' if known else f'{name} is not known here'}, expected {_names(expected, tag)}"


def _names(tags: list[str], other: str = "") -> str:
    """Local names; with their namespace where they would read the same as `other`."""
    names = [_name_beside(tag, [other]) if tag else "an element of another schema" for tag in tags[:_MOST_NAMES]]
    return ", ".join(names) + (", ..." if len(tags) > _MOST_NAMES else "")


def _name_beside(tag: str, others: list[str]) -> str:
    name = local_name(tag)
    if not any(local_name(other) == name and other != tag for other in others):
        return name
    return f"{name} of {tag.partition('}')[0].lstrip('{') if '}' in tag else 'no namespace'}"


def _times_before(error: XMLSchemaChildrenValidationError) -> int:
    """How many elements of the same name stand directly before the one that must not be there."""
    before = list(error.elem or ())[: error.index][::-1]
    return sum(1 for _ in takewhile(lambda other: other.tag == error.invalid_tag, before))


def _is_known(model: object, tag: str) -> bool:
    return isinstance(model, XsdGroup) and any(
        isinstance(e, XsdElement) and e.name == tag for e in model.iter_elements()
    )


# -- values


def _wrong_value(error: XMLSchemaValidationError, text: str) -> str:
    attribute = _ATTRIBUTE.match(error.reason or "")
    value = str(error.obj) if attribute else text
    subject = f"attribute {local_name(attribute[1].rpartition(':')[2])} " if attribute else ""
    said = _facet(error) or _type(error)
    return f"{subject}{_quoted(value)} {said}" if said else _plain(error.reason or "is not valid")


def _facet(error: XMLSchemaValidationError) -> str:
    facet = error.validator
    limit = getattr(facet, "value", None)
    if type(facet) in _LIMITS:
        return _LIMITS[type(facet)].format(limit)
    if type(facet) in _LENGTHS:
        return f"is {_length(error.obj)} long, {_LENGTHS[type(facet)].format(limit)}"
    if isinstance(facet, facets.XsdEnumerationFacets):
        values = [str(value) for value in facet.enumeration]
        return f"is not one of {', '.join(values[:_MOST_NAMES])}{', ...' if len(values) > _MOST_NAMES else ''}"
    if isinstance(facet, facets.XsdPatternFacets):
        return f"does not match the pattern {' or '.join(facet.regexps)}"
    return ""


def _type(error: XMLSchemaValidationError) -> str:
    name: str | None = getattr(error.validator, "local_name", None)
    if isinstance(error, XMLSchemaDecodeError):
        return f"is not a valid {name or 'value'}"
    return f"is refused: {error.reason}" if isfunction(error.validator) else ""  # limits of the built-in types


def _length(value: object) -> int:
    length: Callable[[], int] | None = getattr(value, "__len__", None)
    return length() if length else len(str(value))


# -- words


def _quoted(value: str) -> str:
    return f"'{shortened(value, LONGEST_VALUE)}'"


def _plain(said: str) -> str:
    return _COMPONENT.sub(r"\1", _NAMESPACE.sub("", said))
