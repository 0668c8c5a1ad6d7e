"""One XML file of PASCAL VOC, read and written.

VOC counts pixels from 1 and its corners are inside the box. Our edges are therefore
(xmin - 1, ymin - 1, xmax, ymax): a box over a whole image of 500 x 375 is (1, 1, 500, 375) in VOC and
(0, 0, 500, 375) here. `first_pixel=0` reads files of tools that write edges as they are.
"""

import math
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Literal
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from noisedash.datasets.checks import Problem, Severity
from noisedash.datasets.raw import Corners
from noisedash.errors import DataError

FirstPixel = Literal[0, 1]

_EXACT = Context(prec=400)
"""Enough digits that adding 1 to any pixel coordinate and taking it away again changes nothing."""


def to_edge(text: str, shift: FirstPixel) -> float:
    """A coordinate as written, less `shift`, without rounding in between.

    >>> to_edge("48", 1), to_edge("1.1", 1), to_edge("48.0", 0)
    (47.0, 0.1, 48.0)
    """
    try:
        return float(int(text) - shift)
    except ValueError:
        return float(_EXACT.subtract(Decimal(text.strip()), shift))


def from_edge(edge: float, shift: FirstPixel) -> str:
    """The text that `to_edge` reads back to the very same number.

    >>> from_edge(47.0, 1), from_edge(0.1, 1)
    ('48', '1.1')
    """
    if edge == int(edge):
        return str(int(edge) + shift)
    return str(_EXACT.add(Decimal(repr(edge)), shift))


@dataclass(frozen=True)
class AnnotatedObject:
    """One <object>; corners are our edges."""

    number: int
    """Place in the file, from 1."""
    name: str
    xyxy: Corners
    difficult: bool
    truncated: bool
    crowd: bool
    outline_area: float
    """In square pixels; not a number where it is not given."""


@dataclass
class Sheet:
    """One XML file. A size of 0 is not given."""

    stem: str
    file: str
    """Path of the XML file below the set's folder, for messages."""
    folder: str
    filename: str
    width: int
    height: int
    objects: list[AnnotatedObject] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_sheet(root: Element, stem: str, file: str, first_pixel: FirstPixel) -> Sheet:
    """The content of an <annotation>. Objects that cannot be read are left out, with a problem each."""
    sheet = Sheet(
        stem,
        file,
        folder=(root.findtext("folder") or "").strip(),
        filename=(root.findtext("filename") or "").strip(),
        width=_whole(root.findtext("size/width")),
        height=_whole(root.findtext("size/height")),
    )
    for number, element in enumerate(root.findall("object"), start=1):
        try:
            sheet.objects.append(_read_object(element, number, first_pixel))
        except (ValueError, ArithmeticError) as error:
            message = f"{error if isinstance(error, DataError) else 'has a corner that is no number'}; it was dropped."
            sheet.problems.append(Problem(Severity.WARNING, file, number, message))
    return sheet


def _read_object(element: Element, number: int, first_pixel: FirstPixel) -> AnnotatedObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise DataError("has no class (<name>)")
    corners = element.find("bndbox")
    if corners is None:
        raise DataError("has no <bndbox>")
    texts = [corners.findtext(tag) for tag in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = (text or "" for text in texts)
    return AnnotatedObject(
        number,
        name,
        (to_edge(left, first_pixel), to_edge(top, first_pixel), to_edge(right, 0), to_edge(bottom, 0)),
        difficult=_flag(element, "difficult"),
        truncated=_flag(element, "truncated"),
        crowd=_flag(element, "crowd"),
        outline_area=_area(element.findtext("outline_area")),
    )


def _flag(element: Element, tag: str) -> bool:
    return (element.findtext(tag) or "").strip().lower() in ("1", "true", "yes")


def _area(text: str | None) -> float:
    """An area that we wrote; not a number where there is none."""
    try:
        area = float(text or "nan")
    except ValueError:
        return math.nan
    return area if 0 <= area < math.inf else math.nan


def _whole(text: str | None) -> int:
    """A size, 0 where it is not given."""
    return int(text) if text and text.strip().isdecimal() else 0


def sheet_text(sheet: Sheet) -> str:
    """The XML of a sheet, which `read_sheet` reads back to the very same boxes."""
    objects = "".join(_object_text(annotated) for annotated in sheet.objects)
    return (
        "<annotation>\n"
        f"\t<folder>{escape(sheet.folder)}</folder>\n\t<filename>{escape(sheet.filename)}</filename>\n"
        f"\t<size>\n\t\t<width>{sheet.width}</width>\n\t\t<height>{sheet.height}</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n"
        f"{objects}</annotation>\n"
    )


def _object_text(annotated: AnnotatedObject) -> str:
    left, top, right, bottom = annotated.xyxy
    more = "\t\t<crowd>1</crowd>\n" if annotated.crowd else ""
    if not math.isnan(annotated.outline_area):
        more += f"\t\t<outline_area>{annotated.outline_area!r}</outline_area>\n"
    return (
        f"\t<object>\n\t\t<name>{escape(annotated.name)}</name>\n\t\t<pose>Unspecified</pose>\n"
        f"\t\t<truncated>{int(annotated.truncated)}</truncated>\n"
        f"\t\t<difficult>{int(annotated.difficult)}</difficult>\n{more}"
        f"\t\t<bndbox>\n\t\t\t<xmin>{from_edge(left, 1)}</xmin>\n\t\t\t<ymin>{from_edge(top, 1)}</ymin>\n"
        f"\t\t\t<xmax>{from_edge(right, 0)}</xmax>\n\t\t\t<ymax>{from_edge(bottom, 0)}</ymax>\n"
        "\t\t</bndbox>\n\t</object>\n"
    )
