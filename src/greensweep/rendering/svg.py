"""A figure as SVG that lives in a page: its colours, and what hovering shows."""

import re
from itertools import accumulate
from xml.etree import ElementTree

from greensweep.rendering.figures.drawing import Drawing
from greensweep.rendering.style import FAINT, INK

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_PLACES = {"d", "x", "y"}
_LONG_NUMBER = re.compile(r"(\.\d\d)\d+")
_MOST_REACHED = 60  # points of one figure that are stops of the Tab key
_PAGE_COLOURS = {INK: "currentColor", FAINT: "var(--faint)"}


def inline_svg(drawing: Drawing) -> str:
    """Return a drawing as an SVG element: page colours, no fixed size, and `data-tip` on points.

    The points of its smallest groups, such as a front, are reached by keyboard too.
    """
    for prefix, address in (("", _SVG), ("xlink", _LINK)):
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.fromstring(drawing.svg)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    _own_ids(root, f"{drawing.name}-")
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    _round_places(root)
    reached = _reached(drawing)
    for group in root.iter(f"{{{_SVG}}}g"):
        name = group.attrib.pop("id", "")
        tips = drawing.tips.get(name, [])
        points = list(group.iter(f"{{{_SVG}}}use")) if tips else []
        for point, tip in zip(points, tips, strict=True):
            point.set("data-tip", tip)
            if name in reached:
                point.attrib |= {"tabindex": "0", "role": "img", "aria-label": tip}
    root.set("role", "group" if reached else "img")  # what is in an image nobody reaches
    root.set("aria-label", drawing.alt)
    text = ElementTree.tostring(root, encoding="unicode")
    for ours, page in _PAGE_COLOURS.items():
        text = text.replace(ours, page)
    return re.sub(r"\s*\n\s*", " ", text)


def _round_places(root: ElementTree.Element) -> None:
    """Write places to a hundredth of a point: there are thousands of them, of six digits each."""
    for element in root.iter():
        for name in _PLACES & element.attrib.keys():
            element.set(name, _LONG_NUMBER.sub(r"\1", element.attrib[name]))


def _reached(drawing: Drawing) -> set[str]:
    """Return the groups whose points the keyboard reaches: the smallest, as far as they are few."""
    names = sorted(drawing.tips, key=lambda name: len(drawing.tips[name]))
    totals = accumulate(len(drawing.tips[name]) for name in names)
    return {name for name, total in zip(names, totals, strict=True) if total <= _MOST_REACHED}


def _own_ids(root: ElementTree.Element, prefix: str) -> None:
    """Give the ids of a drawing, and what refers to them, its name: a page has many drawings."""
    for element in root.iter():
        if element.tag != f"{{{_SVG}}}g" and "id" in element.attrib:
            element.set("id", prefix + element.attrib["id"])
        for name, value in element.attrib.items():
            start = "#" if name.endswith("href") else "url(#"
            element.set(name, value.replace(start, start + prefix))
