from functools import lru_cache
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.wsi.read.reader import UNREADABLE
from coseg_bundle.wsi.segment.foreground import (
    GLASS,
    KINDS,
    PEN,
    TISSUE,
    UNSCANNED,
    classify,
    draw_foreground,
    find_foreground,
    look_for_tissue,
    shares,
    thumbnail_side,
    with_missing,
    without_holes,
)

WHITE = (244, 243, 246)
GLASSES = {"white": WHITE, "grey": (185, 186, 184), "yellow": (238, 228, 185)}
PENS = {
    "black": (35, 33, 38),
    "bluish black": (40, 36, 60),
    "blue": (30, 60, 190),
    "light blue": (70, 130, 220),
    "green": (20, 130, 70),
    "red": (215, 30, 45),
    "yellow": (250, 235, 110),
    "orange": (250, 150, 40),
}
COLLAGEN = {"rose": (216, 200, 201), "beige": (224, 216, 214), "saffron": (225, 190, 150)}
"""Medians of tiles of TNBC, whose stain is HES."""


@lru_cache
def _tissue(seed: int) -> np.ndarray:
    return synthetic_tissue(256, seed).rgb


def section(side: int = 512) -> np.ndarray:
    """A round piece of tissue on the left."""
    y, x = np.mgrid[:side, :side]
    return (x - 0.3 * side) ** 2 + (y - 0.5 * side) ** 2 < (0.22 * side) ** 2


def slide(
    strength: float, glass: tuple[float, ...] = WHITE, gradient: float = 0.0, strong: bool = False, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A thumbnail of one section, and where it lies; with `strong`, a second one at full strength on the right."""
    rng = np.random.default_rng(seed)
    mask = section()
    tissue = cv2.resize(np.tile(_tissue(seed), (4, 4, 1)), (512, 512), interpolation=cv2.INTER_AREA)
    density = -np.log(np.maximum(tissue, 1) / 255.0)
    amount = strength * mask + (mask[:, ::-1] * 1.3 if strong else 0)
    y, x = np.mgrid[:512, :512] / 511
    lamp = np.array(glass) * np.stack([1 - gradient * y, 1 - gradient * y, 1 - gradient * y - gradient / 2 * x], -1)
    image = lamp * np.exp(-density * amount[..., None]) + rng.normal(0, 3, (512, 512, 3))
    return np.clip(image, 0, 255).round().astype(np.uint8), mask


def assert_found(kinds: np.ndarray, mask: np.ndarray, beside: np.ndarray | None = None) -> None:
    assert (kinds == TISSUE)[mask].mean() > 0.95
    away = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)) == 0
    if beside is not None:
        away &= ~beside
    assert (kinds == TISSUE)[away].mean() < 0.05


def test_by_hand():
    thumbnail = np.full((60, 80, 3), 245, np.uint8)
    thumbnail[20:40, 30:50] = (235, 190, 215)
    mask = find_foreground(thumbnail)
    assert mask[20:40, 30:50].all()
    assert not mask[:10].any()
    assert not mask[:, 60:].any()
    assert shares(classify(thumbnail))["glass"] == pytest.approx(1 - mask.mean(), abs=1e-4)


@pytest.mark.parametrize("gradient", [0.0, 0.2])
@pytest.mark.parametrize("glass", GLASSES)
@pytest.mark.parametrize("strength", [0.2, 0.35, 0.5, 1.0])
def test_pale_tissue_on_any_glass(strength, glass, gradient):
    thumbnail, mask = slide(strength, GLASSES[glass], gradient)
    assert_found(classify(thumbnail), mask)


@pytest.mark.parametrize("strength", [0.2, 0.5])
def test_beside_a_strongly_stained_section(strength):
    thumbnail, mask = slide(strength, strong=True)
    assert_found(classify(thumbnail), mask, beside=cv2.dilate(mask[:, ::-1].astype(np.uint8), np.ones((25, 25))) > 0)


@pytest.mark.parametrize("glass", GLASSES)
@pytest.mark.parametrize("pen", PENS)
@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_beside_a_pen_mark(strength, pen, glass):
    thumbnail, mask = slide(strength, GLASSES[glass])
    drawn = np.zeros((512, 512), np.uint8)
    cv2.line(drawn, (300, 40), (490, 90), 1, 22)
    cv2.circle(drawn, (400, 320), 70, 1, 16)
    ink = cv2.GaussianBlur(drawn.astype(float), (0, 0), 1.5)[..., None]
    thumbnail = (thumbnail * (1 - ink) + np.array(PENS[pen]) * ink).round().astype(np.uint8)
    kinds = classify(thumbnail)
    assert_found(kinds, mask)
    assert (kinds == TISSUE)[drawn > 0].mean() < 0.05
    assert np.isin(kinds[drawn > 0], (PEN, UNSCANNED)).mean() > 0.6


@pytest.mark.parametrize("seed", [0, 1])
def test_dark_blue_with_the_texture_of_a_felt_tip(seed):
    """It is not even, and has nearly the hue of haematoxylin, but more of it than nuclei."""
    thumbnail, mask = slide(0.5)
    drawn = np.zeros((512, 512), np.uint8)
    cv2.line(drawn, (300, 40), (490, 90), 1, 22)
    texture = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, drawn.shape), (0, 0), 4)
    texture = 1 + 0.12 * texture / texture.std()
    ink = cv2.GaussianBlur(drawn.astype(float), (0, 0), 1.5) * texture
    absorbed = -np.log(np.array((25, 30, 110)) / 255) * ink[..., None]
    kinds = classify((thumbnail * np.exp(-absorbed)).round().astype(np.uint8))
    assert_found(kinds, mask)
    assert (kinds == TISSUE)[drawn > 0].mean() < 0.05


@pytest.mark.parametrize("gradient", [0.0, 0.25])
@pytest.mark.parametrize("glass", GLASSES)
def test_a_slide_without_tissue(glass, gradient):
    thumbnail, _ = slide(0.0, GLASSES[glass], gradient)
    assert (classify(thumbnail) == TISSUE).mean() < 0.01


@pytest.mark.parametrize("glass", [(235, 225, 210), (215, 225, 245), (228, 227, 229)])
def test_noisy_glass(glass):
    thumbnail, mask = slide(0.5, glass)
    noisy = thumbnail + np.random.default_rng(0).normal(0, 9, thumbnail.shape)
    assert_found(classify(np.clip(noisy, 0, 255).round().astype(np.uint8)), mask)


@pytest.mark.parametrize("colour", [(120, 80, 45), (190, 110, 60), (225, 200, 150)])
def test_brown_ink_and_tape(colour):
    """Even, as saffron is not."""
    thumbnail, mask = slide(0.5)
    thumbnail[40:100, 340:470] = colour
    kinds = classify(thumbnail)
    assert_found(kinds, mask)
    assert (kinds[44:96, 344:466] == PEN).mean() > 0.7
    assert (kinds[44:96, 344:466] == TISSUE).mean() < 0.05


def test_dark_debris_and_dust():
    thumbnail, mask = slide(0.4)
    rng = np.random.default_rng(1)
    for x, y in rng.integers(300, 500, (60, 2)):
        colour = rng.choice([(70, 68, 66), (90, 70, 45), (120, 118, 119)])
        cv2.circle(thumbnail, (int(x), int(y)), int(rng.integers(1, 6)), colour.tolist(), -1)
    assert_found(classify(thumbnail), mask)


@pytest.mark.parametrize("grey", [0, 40, 80])
def test_what_was_not_scanned(grey):
    thumbnail, mask = slide(0.4)
    thumbnail[:, 400:] = grey
    kinds = classify(thumbnail)
    assert_found(kinds, mask)
    assert (kinds[:, 404:] == UNSCANNED).all()
    assert not (kinds[:, :394] == UNSCANNED).any()


@pytest.mark.parametrize("value", [0, 60, 255])
def test_one_colour_has_no_tissue(value):
    kinds = classify(np.full((40, 50, 3), value, np.uint8))
    assert (kinds == (GLASS if value == 255 else UNSCANNED)).all()


def test_tissue_everywhere():
    tissue = cv2.resize(_tissue(1), (128, 128), interpolation=cv2.INTER_AREA)
    assert find_foreground(tissue).mean() > 0.95


def strands(colour: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Collagen: strands along the rows."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (512, 512)), (0, 0), sigmaX=5, sigmaY=1.2)
    light = np.exp(0.04 * texture / texture.std())[..., None]
    return np.clip(np.array(colour) * light, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("colour", COLLAGEN)
@pytest.mark.parametrize("seed", [0, 1])
def test_pale_collagen_without_glass_is_tissue(colour, seed):
    """What is palest on a tile is not its glass."""
    assert find_foreground(strands(COLLAGEN[colour], seed)).mean() > 0.97


@pytest.mark.parametrize("colour", COLLAGEN)
def test_glass_in_a_corner_of_pale_collagen(colour):
    thumbnail = strands(COLLAGEN[colour])
    thumbnail[:120, :120] = (228, 227, 229)
    kinds = classify(thumbnail)
    assert (kinds[:110, :110] == GLASS).all()
    assert (kinds[125:] == TISSUE).mean() > 0.97
    assert (kinds[:, 125:] == TISSUE).mean() > 0.97


def test_what_cannot_be_read_is_tried_again():
    thumbnail, _ = slide(0.4)
    thumbnail[:100, :100] = UNREADABLE
    assert (classify(thumbnail)[:100, :100] == TISSUE).all()


def test_what_the_file_does_not_hold_is_not_scanned():
    kinds = np.array([[GLASS, TISSUE, PEN, UNSCANNED], [GLASS, TISSUE, PEN, UNSCANNED]], np.uint8)
    missing = {4: np.array([[False] * 4, [True] * 4])}  # by the longer side that is asked for
    found = with_missing(kinds, SimpleNamespace(unscanned=missing.get))
    assert found.tolist() == [[GLASS, TISSUE, PEN, UNSCANNED], [UNSCANNED] * 4]


def test_glass_beside_what_cannot_be_read_is_glass():
    thumbnail = np.full((200, 300, 3), 240, np.uint8)
    thumbnail[50:100, 50:100] = UNREADABLE
    kinds = classify(thumbnail)
    assert (kinds[50:100, 50:100] == TISSUE).all()
    assert (kinds == TISSUE).sum() == 50 * 50


def test_holes_of_glass_are_tissue_and_holes_of_ink_are_not():
    kinds = np.full((20, 40), GLASS, np.uint8)
    kinds[2:18, 2:38] = TISSUE
    kinds[6:10, 6:10], kinds[6:10, 20:24], kinds[6:10, 30:34] = GLASS, PEN, UNSCANNED
    filled = without_holes(kinds)
    assert (filled[6:10, 6:10] == TISSUE).all()
    assert (filled[6:10, 20:24] == PEN).all()
    assert (filled[6:10, 30:34] == UNSCANNED).all()
    assert (filled[:2] == GLASS).all()


def test_the_picture_says_what_is_what():
    thumbnail, _ = slide(0.4)
    thumbnail[:, 400:] = 0
    kinds = classify(thumbnail)
    picture = draw_foreground(thumbnail, kinds)
    assert picture.shape == thumbnail.shape
    assert picture[100, 450, 2] > picture[100, 450, 0] + 50  # blue: not scanned
    assert list(shares(kinds)) == list(KINDS)
    assert sum(shares(kinds).values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("size_mm", "side"),
    [((16, 12), 2048), ((12, 16), 2048), ((30, 7.5), 3750), ((70, 17.5), 4096), ((50, 50), 2048), ((1, 0.001), 2048)],
)
def test_the_thumbnail_has_pixels_of_8_um_or_as_many_as_a_square_has(size_mm, side):
    assert thumbnail_side(tuple(round(mm * 2000) for mm in size_mm), 0.5) == side


def fragments(size_mm: tuple[float, float], width_um: float) -> SimpleNamespace:
    """A slide of 0.5 um with twelve round fragments of tissue on it, which gives its thumbnail alone."""

    def thumbnail(side: int) -> np.ndarray:
        um = max(size_mm) * 1000 / side
        image = np.full((round(size_mm[1] * 1000 / um), round(size_mm[0] * 1000 / um), 3), WHITE, np.float32)
        for number in range(12):
            y, x = np.mgrid[: 16 * side // 2048, : 16 * side // 2048] + 0.5
            inside = np.clip((width_um / 2 - um * np.hypot(y - 7.3 - number / 9, x - 7.7)) / um + 0.5, 0, 1)[..., None]
            place = np.s_[40 : 40 + len(y), 60 * number + 20 : 60 * number + 20 + len(x)]
            image[place] += (np.array((196, 142, 178)) - image[place]) * inside
        noise = np.random.default_rng(0).normal(0, 1, image.shape)
        return np.clip(image + noise, 0, 255).round().astype(np.uint8)

    return SimpleNamespace(thumbnail=thumbnail, size_xy=tuple(int(mm * 2000) for mm in size_mm), mpp=0.5)


@pytest.mark.parametrize("size_mm", [(3, 2), (20, 7.5), (50, 15), (70, 12.5), (75, 25)])
def test_a_fragment_is_found_however_much_glass_was_scanned(size_mm):
    width_um = 80 if size_mm[0] > 3 else 20
    thumbnail, kinds = look_for_tissue(fragments(size_mm, width_um))
    assert thumbnail.shape[:2] == kinds.shape
    assert cv2.connectedComponents((kinds == TISSUE).astype(np.uint8))[0] - 1 == 12


def test_dust_is_no_tissue_on_a_large_slide():
    assert not (look_for_tissue(fragments((70, 12.5), 25))[1] == TISSUE).any()
