"""Matplotlib figures as SVG elements of an HTML page, in the colours and the font of that page.

The colours in an SVG element are CSS variables, which the page defines once for a light and once for a
dark background.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from acme_psro.display.plain_matplotlib import plain_matplotlib
from acme_psro.display.png import collect_image

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Matplotlib does not know CSS variables. It draws in the colours below, which occur nowhere
# else in a figure, and `_to_svg` replaces each of them by its variable.
INK, MUTED, RULE = "#010101", "#020202", "#030303"
SERIES = ("#0a0000", "#0b0000", "#0c0000", "#0d0000", "#0e0000", "#0f0000")
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"} | {
    colour: f"var(--series-{index})" for index, colour in enumerate(SERIES)
}
# The same colours in images, as on the page's light background.
_LIGHT = {INK: "#16181d", MUTED: "#5a606b", RULE: "#d9dbdf"} | dict(
    zip(SERIES, ("#0b6cb8", "#c2560a", "#00805c", "#a64a86", "#6a5acd", "#7a6a00"), strict=True)
)

# Width of a figure in units of the SVG.
WIDTH = 420
# Matplotlib writes one inch as this number of units.
_UNITS_PER_INCH = 72
_STYLE: dict[str, object] = {
    # Texts stay texts, so that the page's font applies and readers can search and copy them.
    "svg.fonttype": "none",
    # Without a fixed salt, the ids and so the bytes of the file would differ from run to run.
    "svg.hashsalt": "acme_psro",
    "svg.image_inline": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 12,
    "axes.labelsize": 12,
    "legend.fontsize": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.unicode_minus": True,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def render(
    name: str, description: str, height: int, draw: Callable[[Figure], None], width: int = WIDTH
) -> str:
    """Returns a new figure as one SVG element, after `draw` has drawn it.

    Inside `acme_psro.display.png.collecting_images` the figure is kept as an image, too.

    Args:
      name: a prefix for the ids inside the SVG, unique in the page; letters, digits and hyphens.
      description: the figure's description for screen readers, without quotes or HTML.
      height: the figure's height in units of the SVG.
      draw: a function that draws in the figure it is given.
      width: the figure's width in units of the SVG. With letters of 12 units, the default is legible on a
        phone.

    Returns:
      One `<svg>` element. The same input gives the same bytes.
    """
    # Imported here, because importing Matplotlib takes long and most processes draw nothing. A `Figure`
    # without pyplot needs no display, and leaves the user's backend and open figures alone.
    with plain_matplotlib(_STYLE):
        from matplotlib.figure import Figure

        size = (width / _UNITS_PER_INCH, height / _UNITS_PER_INCH)
        figure = Figure(figsize=size, dpi=_UNITS_PER_INCH, layout="constrained")
        draw(figure)
        _lay_out(figure)
        svg = _to_svg(figure, name, description)
        collect_image(name, figure, _LIGHT)
        return svg


def use_whole_numbers(*axes: Axis, most: int = 7) -> None:
    """Labels each axis at whole numbers only, at `most` of them, as for iterations and policies."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1))


def _lay_out(figure: Figure) -> None:
    """Gives everything in a figure its place, once for all files that it is saved to.

    Matplotlib would do so for each of them, and draw the figure twice each time, which takes longest.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # The size of letters is that in SVG.
    FigureCanvasSVG(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def _to_svg(figure: Figure, name: str, description: str) -> str:
    """Saves a figure as SVG and adapts the text, so that it can be an element of an HTML page."""
    buffer = io.StringIO()
    # The date would make the bytes differ between two equal figures.
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    svg = buffer.getvalue()
    # An element inside a page has no XML declaration and no document type.
    svg = svg[svg.index("<svg") :]
    # All figures of a page share its styles and its ids: drop the styles and prefix the ids.
    svg = re.sub(r"<style\b.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    # The `xlink:` prefix is only valid with the namespaces of Matplotlib's `<svg>` tag, replaced below.
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    # The page's style sets the size of the element; the view box keeps the proportions.
    box = re.search(r'viewBox="[^"]*"', svg)
    view_box = box.group() if box else ""
    return f'<svg {view_box} role="img" aria-label="{description}">{svg[svg.index(">") + 1 :].strip()}'
