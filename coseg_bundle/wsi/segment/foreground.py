"""Where there is tissue on a slide, from a thumbnail; and what the rest is: glass, pen and dirt, or not scanned.

What counts is the colour that is missing from the light of the bare glass, in optical density. Eosin and haematoxylin
both take most of the green. So however faint it is, tissue is told from grey glass (which takes all channels alike),
from yellow glass (blue) and from black, blue and green pen. Red ink has the colour of blood, but more of it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.fill import brightest, darkest, find_fill
from coseg_bundle.wsi.read.reader import UNREADABLE, SlideReader
from coseg_bundle.wsi.segment.tiling import TileGrid

_THUMBNAIL_PX, _COARSEST_UM = 2048, 8
"""Longer side of the thumbnail that tissue is looked for in; where its pixels were wider than so many um it is larger,
up to as many pixels as a square of that side has."""

GLASS, TISSUE, PEN, UNSCANNED = range(4)
KINDS = ("glass", "tissue", "pen or dirt", "not scanned")
"""Names of what a thumbnail's pixels are, by number."""

_LEAST_STAIN = 0.02
"""Optical density by which green must be darker than red or blue: a tenth of what stained stroma has."""

_NEUTRAL = 0.72
"""Share of the strongest absorption that the weakest reaches in greys: pen, dust, shadow. Tissue stays below 0.7."""

_YELLOW = 2.5, 1.1
"""Absorption of blue over that of green in yellow ink, and in what is even; in the saffron of HES stains, which is not,
it is up to 2."""

_OPAQUE = 0.75, 9, 15
"""Absorption of every channel from which on what is even (over so many pixels, by so many of 255) is ink: tissue that
dark has nuclei."""

_BLUISH = 1.3
"""Absorption of red over that of green in blue and green ink; in haematoxylin it is 0.93."""

_NAVY = 1.3, 1.03
"""Absorption of green from which on more than so many times as much of red is dark blue ink."""

_INK = 1.3, 0.6, 0.35
"""Absorption of green from which on red is ink, and the shares of it that blue exceeds and red does not: blood is
thinner, eosin lets more blue through."""

_VISIBLE = 0.15
"""Absorption from which on something that is no tissue is pen or dirt, and no glass."""

_DARKEST_GLASS = 90
"""Of 255: no lamp leaves glass so dark."""

_COLOURLESS = 30
"""Difference of the channels, of 255, below which an even area of a thumbnail is black or grey, and no ink."""

_PINKEST_GLASS = -0.1
"""Log of green over red and blue below which the palest that there is is stained: a thumbnail without glass."""

_EVEN = (9, 0.0055), (27, 0.0035)
"""Glass is even: over so many pixels its light, or the mean of a third of them, varies by less than this share. In pale
collagen it is a hundredth."""

_SPREAD = 1.2
"""From -1 to 1: glass on less of either axis does not tell how the light changes over the slide."""

_LEAST_EVEN = 0.005
"""Share of a thumbnail that is even where there is glass."""

_PEN_EDGE_PX = 9
"""Ink is blurred so far: mixed with glass it has the colours of stain."""

_SPECK = 20, 2000
"""Components of stain below so many px, and below so many um2, are dust: a fragment counts on any size of glass."""

_DENSE = 20, 0.0025
"""Dark components in tissue up to so many px, or up to this share of the thumbnail, are tissue."""

_COLOURS = {PEN: (230, 140, 0), UNSCANNED: (40, 90, 200)}
_OUTLINE = (0, 160, 0)


def look_for_tissue(reader: SlideReader) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A slide's thumbnail `(h, w, 3)`, and what each of its pixels is, `(h, w)`: see `classify`."""
    thumbnail = reader.thumbnail(thumbnail_side(reader.size_xy, reader.mpp))
    return thumbnail, classify(thumbnail, reader.size_xy[0] * reader.mpp / thumbnail.shape[1])


def thumbnail_side(size_xy: tuple[int, int], mpp: float) -> int:
    """Longer side of the thumbnail in which tissue is looked for, px.

    Args:
        size_xy: Width and height of the slide, px of level 0.
        mpp: Microns per pixel of level 0.

    Example:
        >>> thumbnail_side((32_000, 24_000), 0.5), thumbnail_side((140_000, 35_000), 0.5)
        (2048, 4096)
    """
    longest = max(size_xy)
    most = _THUMBNAIL_PX * (longest / min(size_xy)) ** 0.5
    return max(_THUMBNAIL_PX, int(min(longest * mpp / _COARSEST_UM, most)))


def find_foreground(thumbnail: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Finds stained pixels; parts that could not be read count as stained, so that they are tried again as tiles.

    Args:
        thumbnail: `(h, w, 3)` uint8.

    Returns:
        `(h, w)` bool, a few pixels wider than what is stained.
    """
    return classify(thumbnail) == TISSUE


def classify(thumbnail: NDArray[np.uint8], mpp: float = 0.0) -> NDArray[np.uint8]:
    """Says what each pixel is.

    Args:
        thumbnail: `(h, w, 3)` uint8.
        mpp: Microns per pixel of the thumbnail, which say what is dust on a large slide; 0 where they are not known.

    Returns:
        `(h, w)` uint8, positions in `KINDS`. Tissue is a few pixels wider than what is stained, and holds the parts
        that could not be read.
    """
    broken = unreadable(thumbnail)
    low = darkest(thumbnail)
    unscanned = find_fill(thumbnail, _FILL_PX) & ~broken & (low < _DARKEST_GLASS)
    unscanned &= brightest(thumbnail) - low < _COLOURLESS  # strokes of a pen are even too
    smooth = cv2.GaussianBlur(np.where(broken[..., None], np.uint8(255), thumbnail), (0, 0), 1.5).astype(np.float32)
    scanned = ~(broken | unscanned)
    even = _is_even(smooth) & scanned
    glass = _glass(smooth, scanned, even)
    unscanned = unscanned & (darkest(smooth - 0.6 * glass) < 0)  # pale and even glass is glass
    density = np.log(np.maximum(glass, 1) / np.maximum(smooth, 1))
    stained, ink = _stained(density, smooth, even)
    stained &= ~unscanned & ~broken
    ink &= ~unscanned & ~broken
    opened = cv2.morphologyEx(stained.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    dense = _enclosed(ink, opened)
    ink &= ~dense
    speck_px = min(_SPECK[0], _SPECK[1] / mpp**2) if mpp else _SPECK[0]
    opened = _without_specks(_without_ink_edges(opened, ink) | dense.astype(np.uint8), speck_px)
    wide = cv2.dilate(opened, np.ones((7, 7), np.uint8)) > 0
    kinds = np.where(wide & ~ink, TISSUE, np.where(ink, PEN, GLASS)).astype(np.uint8)
    kinds[unscanned] = UNSCANNED
    kinds[broken] = TISSUE
    return kinds


def unreadable(thumbnail: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels `(h, w)` of a thumbnail that could not be read."""
    return np.asarray((thumbnail == UNREADABLE).all(-1))


_FILL_PX = 9
"""Side of the smallest fill in a thumbnail."""


def _glass(smooth: NDArray[np.float32], valid: NDArray[np.bool_], even: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The light of the bare glass at each pixel `(h, w, 3)`: a surface of second degree through what looks like glass.

    Grey as bright as the brightest channel where there is no glass at all.
    """
    height, width = valid.shape
    step = max(1, max(height, width) // 256)
    values, known = smooth[::step, ::step], valid[::step, ::step]
    light = values.min(-1)
    if not known.any() or (level := float(np.quantile(light[known], 0.99))) < _DARKEST_GLASS:
        return np.full(smooth.shape, 255, np.float32)
    bright = known & (light > 0.7 * level) & even[::step, ::step]
    logs = np.log(np.maximum(values, 1))
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in light.shape)
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    greenish = logs[..., 1] - logs[..., [0, 2]].mean(-1)  # stain takes green, so glass is where there is most of it
    few = bright.sum() < max(50, _LEAST_EVEN * bright.size)
    if few or (peak := _highest_peak(greenish[bright])) < _PINKEST_GLASS:
        return np.full(smooth.shape, np.quantile(brightest(values)[known], 0.99), np.float32)
    chosen = bright & (np.abs(greenish - peak) < 0.03)
    spread = min(np.ptp(grid_x[chosen]), np.ptp(grid_y[chosen]))
    for degree in (0, 1, 1, 2, 2, 2) if spread > _SPREAD else (0,):
        terms = _terms(grid_x, grid_y, degree)
        fit = np.linalg.lstsq(terms[chosen], logs[chosen], rcond=None)[0]
        density = terms @ fit - logs
        chroma = np.abs(density[..., 1] - density[..., [0, 2]].mean(-1))
        fits = bright & (chroma < (0.02, 0.015)[degree > 0]) & (np.abs(density).max(-1) < (0.3, 0.15, 0.08)[degree])
        if fits.sum() < max(50, 0.5 * chosen.sum()):
            break
        chosen = fits
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (height, width))
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    surface = np.exp(_terms(grid_x, grid_y, {1: 0, 3: 1, 6: 2}[len(fit)]) @ fit.astype(np.float32))
    return np.asarray(np.clip(surface, 0.6 * level, 255), np.float32)


def _is_even(smooth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels `(h, w)` around which the light varies less than it does in the palest tissue."""
    light = smooth.min(-1)
    even = _varies_less(light, *_EVEN[0]) | _varies_less(cv2.blur(light, (9, 9)), *_EVEN[1])  # what is noisy, too
    return cv2.morphologyEx(even.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)) > 0


def _varies_less(light: NDArray[np.float32], side: int, share: float) -> NDArray[np.bool_]:
    mean, of_squares = cv2.blur(light, (side, side)), cv2.blur(light * light, (side, side))
    return np.asarray(of_squares - mean * mean < (share * mean) ** 2)


def _terms(x: NDArray[np.float32], y: NDArray[np.float32], degree: int) -> NDArray[np.float32]:
    one = np.ones_like(x)
    return np.stack([one, x, y, x * x, x * y, y * y][: (1, 3, 6)[degree]], axis=-1)


def _highest_peak(values: NDArray[np.floating]) -> float:
    """The largest value around which there are many: three in a hundred, and more than on either side."""
    counts, edges = np.histogram(values, bins=np.arange(-1.5, 1.5, 0.005))
    smooth = np.convolve(counts, np.ones(5), "same")
    peaks = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] >= smooth[2:]) & (smooth[1:-1] > 0)) + 1
    high = peaks[smooth[peaks] >= 0.03 * values.size]
    best = high[-1] if high.size else peaks[smooth[peaks].argmax()]
    return float((edges[best] + edges[best + 1]) / 2)


def _stained(
    density: NDArray[np.float32], smooth: NDArray[np.float32], even: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels that have a colour of stains, and those that have another."""
    red, green, blue = np.moveaxis(density, -1, 0)
    excess = green - np.minimum(red, blue)
    strongest = np.maximum(np.maximum(red, green), blue)
    neutral = np.minimum(np.minimum(red, green), blue) > _NEUTRAL * strongest
    other = neutral | (red > _BLUISH * green + 0.02) | (blue > np.where(even, _YELLOW[1], _YELLOW[0]) * green + 0.02)
    opaque = np.minimum(np.minimum(red, green), blue) > _OPAQUE[0]
    square = np.ones((_OPAQUE[1],) * 2, np.uint8)
    flat = brightest(cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, square)) < _OPAQUE[2]
    other |= opaque & (cv2.dilate((opaque & flat).astype(np.uint8), square) > 0)
    other |= (green > _NAVY[0]) & (red > _NAVY[1] * green)
    other |= (green > _INK[0]) & (blue > _INK[1] * green) & (red < _INK[2] * green)
    calm = np.abs(excess[even & (np.abs(excess) < _LEAST_STAIN)])
    noise = 1.48 * float(np.median(calm)) if calm.size > _LEAST_EVEN * excess.size else 0.0
    stained = (excess > max(_LEAST_STAIN, 4 * noise)) & ~other
    return stained, other & (strongest > _VISIBLE)


def _enclosed(ink: NDArray[np.bool_], stained: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Small dark components that mostly border on stain: dense nuclei, pigment, keratin."""
    count, components, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    around = cv2.dilate(components.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
    around[components > 0] = 0
    border = np.bincount(around.ravel(), minlength=count)
    shared = np.bincount(around.ravel(), stained.ravel(), minlength=count)
    small = stats[:, cv2.CC_STAT_AREA] <= max(_DENSE[0], _DENSE[1] * ink.size)
    inside = small & (shared > 0.5 * border)
    inside[0] = False
    return inside[components]


def _without_ink_edges(stained: NDArray[np.uint8], ink: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Leaves out what lies along ink; dust has no such edges, since it is small."""
    _, components, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] > 10 * _SPECK[0]
    large[0] = False
    near = cv2.dilate(large[components].astype(np.uint8), np.ones((2 * _PEN_EDGE_PX + 1,) * 2, np.uint8))
    return stained & (1 - near)


def _without_specks(stained: NDArray[np.uint8], speck_px: float) -> NDArray[np.uint8]:
    _, components, stats, _ = cv2.connectedComponentsWithStats(stained, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= speck_px
    keep[0] = False
    return keep[components].astype(np.uint8)


def shares(kinds: NDArray[np.uint8]) -> dict[str, float]:
    """Share of each kind, by name."""
    counts = np.bincount(kinds.ravel(), minlength=len(KINDS)) / kinds.size
    return {name: round(float(share), 4) for name, share in zip(KINDS, counts, strict=True)}


def with_missing(kinds: NDArray[np.uint8], reader: SlideReader) -> NDArray[np.uint8]:
    """The kinds, what the file does not hold counted as not scanned: it is read as white, and looks like glass.

    Args:
        kinds: `(h, w)`, those of the slide's thumbnail.
        reader: The slide.
    """
    return np.where(reader.unscanned(max(kinds.shape)), np.uint8(UNSCANNED), kinds)


def foreground_tiles(mask: NDArray[np.bool_], grid: TileGrid) -> list[int]:
    """Indices of the tiles whose cores hold foreground.

    Args:
        mask: `(h, w)` over the plane of the grid, at any resolution.
        grid: The tiles.
    """
    counts = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    found = []
    for tile in grid:
        x0, y0, x1, y1 = grid.on_picture(tile.core, mask.shape)
        if counts[y1, x1] - counts[y0, x1] - counts[y1, x0] + counts[y0, x0]:
            found.append(tile.index)
    return found


def without_holes(kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The kinds, glass that tissue encloses (such as the lumen of a gland) counted as tissue."""
    tissue = (kinds == TISSUE).astype(np.uint8)
    contours, _ = cv2.findContours(tissue, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(kinds.shape, np.uint8), contours, -1, 1, cv2.FILLED) > 0
    return np.where(filled & (kinds == GLASS), np.uint8(TISSUE), kinds)


def draw_foreground(thumbnail: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The thumbnail with the foreground outlined, glass dimmed, the rest tinted by what it is; with a legend."""
    mask = kinds == TISSUE
    canvas = np.where(mask[..., None], thumbnail, thumbnail // 2 + 100).astype(np.uint8)
    for kind, colour in _COLOURS.items():
        canvas[kinds == kind] = (canvas[kinds == kind] * 0.4 + np.array(colour) * 0.6).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, _OUTLINE, 2)
    _draw_legend(canvas, kinds)
    return canvas


def _draw_legend(canvas: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> None:
    """One line per kind at the lower left."""
    colours = {GLASS: (220, 220, 220), TISSUE: _OUTLINE, **_COLOURS}
    scale = float(np.clip(min(canvas.shape[:2]) / 1200, 0.3, 0.7))
    line = round(34 * scale)
    for row, (name, share) in enumerate(reversed(shares(kinds).items()), start=1):
        y = canvas.shape[0] - line * row
        text = f"{name} {100 * share:.1f} %"
        width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
        cv2.rectangle(canvas, (0, y), (2 * line + width, y + line), (255, 255, 255), cv2.FILLED)
        box = (line // 4, y + line // 4), (line, y + line - line // 4)
        cv2.rectangle(canvas, *box, colours[KINDS.index(name)], cv2.FILLED)
        place = (line + line // 3, y + line - line // 3)
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
