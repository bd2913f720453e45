"""Pictures of a slide's measures: where its tissue and its nuclei are, and how their measures spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import GROUND, UNLABELLED, ClassMap
from coseg_bundle.measures.groups.areas import TissuePlane
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 900
_NOT_COUNTED = (225, 228, 232)
_PALE = (245, 228, 234)
"""Colour of what is tissue and nothing else: the ground, or the first class where it is the background."""

_TILE_PX = 1024
BLUR_UM = 25.0
"""Densities are blurred by a Gaussian of this standard deviation."""

_CELLS = 320
"""Cells of the picture of density along its longer side."""

_WIDTH_IN, _GAP_IN, _TITLE_IN, _KEY_IN = 10.0, 0.16, 0.3, 0.5
"""Inches: the picture, between panels, above one, below one."""


def tissue_picture(plane: TissuePlane, max_side: int = _SIDE) -> NDArray[np.uint8]:
    """Class ids `(h, w)` of a plane, every so many pixels, `UNLABELLED` where nothing counts."""
    step = max(1, -(-max(plane.shape) // max_side))
    height, width = (-(-side // step) for side in plane.shape)
    found = np.full((height, width), UNLABELLED, np.uint8)
    for tile in TileGrid(plane.shape[1], plane.shape[0], _TILE_PX // step * step or step, 0):
        box = tile.core
        classes = plane.read(Box(*box))[::step, ::step]
        y, x = box.y0 // step, box.x0 // step
        found[y : y + classes.shape[0], x : x + classes.shape[1]] = classes
    return found


def maps_figure(
    thumbnail: NDArray[np.uint8] | None,
    tissue: NDArray[np.uint8] | None,
    tissue_classes: ClassMap,
    points_um: NDArray[np.float64],
    size_um: tuple[float, float],
    regions: Sequence[tuple[str, Any]] = (),
) -> Figure:
    """The slide, its tissue and the density of its nuclei side by side, with scale bars and legends.

    Args:
        thumbnail: `(h, w, 3)` of the slide; left out where it is not at hand.
        tissue: Class ids, `UNLABELLED` where nothing counts; left out where nothing is known.
        tissue_classes: Their names.
        points_um: `(N, 2)` centroids.
        size_um: Width and height of the slide.
        regions: Names and shapely polygons in um, to outline.
    """
    from matplotlib.figure import Figure

    panels = [name for name, there in (("slide", thumbnail), ("tissue", tissue)) if there is not None] + ["density"]
    aspect = min(size_um[1] / size_um[0], 2.0)
    down, across = (len(panels), 1) if aspect < 0.4 else (1, len(panels))  # wide slides one below the other
    wide = _WIDTH_IN / across
    tall = _TITLE_IN + (wide - _GAP_IN) * aspect + _KEY_IN
    figure = Figure(figsize=(_WIDTH_IN, down * tall))
    extent = (0, size_um[0] / 1000, size_um[1] / 1000, 0)

    def axes(number: int, top: float, height: float) -> Any:
        """Axes in a panel, `top` inches below its upper edge."""
        row, column = divmod(number, across)
        left, bottom = column * wide + _GAP_IN / 2, (down - row) * tall - top - height
        return figure.add_axes(
            (left / _WIDTH_IN, bottom / (down * tall), (wide - _GAP_IN) / _WIDTH_IN, height / (down * tall))
        )

    for number, name in enumerate(panels):
        ax = axes(number, _TITLE_IN, tall - _TITLE_IN - _KEY_IN)
        if name == "slide":
            ax.imshow(thumbnail, extent=extent, interpolation="antialiased", aspect="auto")
        elif name == "tissue":
            _draw_tissue(ax, tissue, tissue_classes, extent)
        else:
            shown = _draw_density(ax, points_um, size_um)
            bar = figure.colorbar(shown, cax=axes(number, tall - _KEY_IN + 0.12, 0.12), orientation="horizontal")
            bar.ax.tick_params(labelsize=7)
        ax.set_title({"slide": "Slide", "tissue": "Tissue", "density": "Nuclei per mm²"}[name], fontsize=11)
        for label, polygon in regions if len(regions) <= 60 else ():
            _outline(ax, label if len(regions) <= 12 else "", polygon)
        ax.set_xlim(0, extent[1])
        ax.set_ylim(extent[2], 0)
        ax.set_xticks([])
        ax.set_yticks([])
        _scale_bar(ax, size_um)
    return figure


def tissue_colours(classes: ClassMap) -> NDArray[np.uint8]:
    """Colours `(C, 3)` of tissue classes in pictures that are not laid over a slide."""
    colours = [classes.colour_of(i) for i in range(len(classes))]
    pale = [
        n == GROUND or (min(c) > 245 and GROUND not in classes.names)
        for n, c in zip(classes.names, colours, strict=True)
    ]
    return np.array([_PALE if light else c for light, c in zip(pale, colours, strict=True)], np.uint8)


def _draw_tissue(ax: Any, tissue: Any, classes: ClassMap, extent: tuple[float, ...]) -> None:
    from matplotlib.patches import Patch

    colours = np.full((256, 3), _NOT_COUNTED, np.uint8)
    colours[: len(classes)] = tissue_colours(classes)
    ax.imshow(colours[tissue], extent=extent, interpolation="nearest", aspect="auto")
    entries = [Patch(facecolor=colours[i] / 255, edgecolor="0.5", label=name) for i, name in enumerate(classes.names)]
    if (tissue == UNLABELLED).any():
        entries.append(Patch(facecolor=np.array(_NOT_COUNTED) / 255, edgecolor="0.5", label="not counted"))
    ax.legend(handles=entries, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=3, frameon=False)


def _draw_density(ax: Any, points_um: NDArray[np.float64], size_um: tuple[float, float]) -> Any:
    """Nuclei per mm2, blurred; white where there are next to none."""
    from scipy.ndimage import gaussian_filter

    cell = max(size_um) / _CELLS
    columns, rows = (max(1, int(np.ceil(side / cell))) for side in size_um)
    counts, _, _ = np.histogram2d(
        points_um[:, 1], points_um[:, 0], (rows, columns), ((0, rows * cell), (0, columns * cell))
    )
    blur = float(np.clip(BLUR_UM / cell, 0.7, _CELLS))  # wider than the picture it would show the mean, after minutes
    density = gaussian_filter(counts, blur) / cell**2 * 1e6
    extent = (0, columns * cell / 1000, rows * cell / 1000, 0)
    shown = np.ma.masked_less(density, max(density.max() / 100, 1e-9))
    return ax.imshow(shown, extent=extent, cmap="magma_r", vmin=0, interpolation="nearest", aspect="auto")


def _outline(ax: Any, label: str, polygon: Any) -> None:
    import shapely

    for part in shapely.get_parts(polygon):
        x, y = (shapely.get_coordinates(part.exterior) / 1000).T
        ax.plot(x, y, color="#0b57d0", linewidth=1)
    if label:
        spot = polygon.representative_point()
        ax.text(spot.x / 1000, spot.y / 1000, label, fontsize=7, ha="center", color="#0b57d0",
                bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1})  # fmt: skip


def _scale_bar(ax: Any, size_um: tuple[float, float]) -> None:
    """A bar of a round length, about a quarter of the width."""
    wanted = size_um[0] / 4
    power = 10 ** np.floor(np.log10(wanted))
    length = float(power * max(step for step in (1, 2, 5) if step * power <= wanted))
    width, height = size_um[0] / 1000, size_um[1] / 1000
    x, y = 0.04 * width, 0.955 * height
    label = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    ax.plot([x, x + length / 1000], [y, y], color="white", linewidth=5, solid_capstyle="butt")
    ax.plot([x, x + length / 1000], [y, y], color="black", linewidth=2.5, solid_capstyle="butt")
    ax.text(x + length / 2000, y - 0.012 * height, label, ha="center", va="bottom", fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1})  # fmt: skip


def histograms(
    measures: Mapping[str, tuple[str, NDArray[np.float32]]], type_id: NDArray[np.integer], classes: ClassMap
) -> Figure | None:
    """How measures spread over nuclei, a line for each class where there are several.

    Args:
        measures: Title and `(N,)` values by column; NaN is left out, and so is a column of one value.
        type_id: `(N,)` classes.
        classes: Their names, background first.
    """
    from matplotlib.figure import Figure

    shown = {name: one for name, one in measures.items() if len(np.unique(one[1][np.isfinite(one[1])])) > 1}
    if not shown:
        return None
    rows = -(-len(shown) // 4)
    several = len(classes) > 2
    figure = Figure(figsize=(10, 2.1 * rows + (0.45 if several else 0)), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False).ravel()
    for ax, (title, values) in zip(axes, shown.values(), strict=False):
        known = np.isfinite(values)
        low, high = np.quantile(values[known], [0.002, 0.998])
        edges = np.linspace(low, high if high > low else low + 1, 41)
        if several:
            for i in range(1, len(classes)):
                of_class = values[known & (type_id == i)]
                counts, _ = np.histogram(of_class, edges)
                if len(of_class) > 1 and counts.any():  # a few may all lie in the ends that are cut off
                    colour = np.array(classes.colour_of(i)) / 255
                    ax.stairs(counts / counts.sum(), edges, color=colour, label=classes.name_of(i), linewidth=1.3)
        else:
            ax.hist(values[known], edges, color="#4f7cac")
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
        ax.locator_params(axis="x", nbins=5)  # numbers of five digits beside each other
        ax.set_yticks([])
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    if several:
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncol=6, fontsize=8, frameon=False)
    return figure
