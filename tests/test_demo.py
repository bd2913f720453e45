"""The demonstration's image is what its docstring says."""

import numpy as np

from coseg_bundle.demo import colon_section

EOSIN_PER_DAB, HAEMATOXYLIN = 0.25, 1.4
"""Amounts of eosin that stands for one of DAB, and of haematoxylin: an antibody's counterstain is paler than the nuclei
of a section of H&E, and its brown stronger than their surroundings."""


def test_the_colon_section_is_scikit_images_in_other_stains(tmp_path):
    from skimage.color import hed2rgb, rgb2hed
    from skimage.data import immunohistochemistry

    haematoxylin, eosin, dab = np.moveaxis(rgb2hed(immunohistochemistry()), -1, 0)
    stains = np.stack([HAEMATOXYLIN * haematoxylin, eosin.clip(0) + EOSIN_PER_DAB * dab, np.zeros_like(dab)], axis=-1)
    expected = (hed2rgb(stains).clip(0, 1) * 255).round().astype(np.uint8)
    found = colon_section(tmp_path / "image" / "colon.png").rgb
    assert np.abs(found.astype(int) - expected).max() <= 1  # another version may round another way
