#!/usr/bin/env bash
# pathology-image-features (the Pathology Image Features Ontology, PIFO): the shape of nuclei and of glands that were annotated.
#
# Expected: each feature is what its definition says. Eccentricity is "the ratio of the focal distance over the major axis length", a
# ratio. The axes are those "of the ellipse that has the same normalized second central moments". Dispersion is "the average distance
# from the centroid to all points on the shapes perimeter". Indices that are normalized by a circle of the same area are 1 for a
# circle. Perimeter is "the length of the outer boundary".
# Seen (pathology-image-features 0.5.0, shapely 2.2.0, numpy 2.4.6, CPython 3.11): a nucleus of 40 x 20 px, an ellipse, has an
# eccentricity of 34.6 for 0.87; it is not divided by the major axis. A rectangle of 40 x 20 px has axes of 40 and 20 px, those of the
# rectangle around it, where the ellipse has 46.2 and 23.1, and a dispersion of 22.4 px, the distance of its corners, for 16.8; with a
# point every pixel it is 16.8. A circle of 400 px has a normalized viable interior index of 1.29 for 1: the circle that it is compared
# with grows by the width of the edge where it should shrink. A ring of 400 px with a hole of 200 px has a perimeter of 1885 px for
# 1257, the hole's included. The proximity index, the average distance of inner points from the centroid, of a circle of 9000 px is 0
# for 3000, normalized 0 for 1, and of one of 4000 px 1198 for 1333: the distance of its grid's points is an area divided by 10,000.
# Nothing is said about any of these.
# What follows: shapely and regionprops; divide the eccentricity by the major axis.
# Installed without its dependencies: what reads slides and calls servers is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "shapely==2.2.0" "rdflib==7.6.0" "ontology-package-boilerplate==0.18.0" "rasterio==1.4.4" \
    "scikit-image==0.26.0" "matplotlib==3.11.1" "graphviz==0.21" "lxml==6.1.1"
env/bin/pip install --quiet --no-deps "pathology-image-features==0.5.0"
cat > shapes.py <<'PY'
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import numpy as np
import shapely
from shapely import affinity

for name in ("large_image", "large_image_converter", "girder_client", "requests", "pandas"):
    sys.modules[name] = MagicMock()
from pathology_image_features.ontology.classes.SpatialObject.SpatialObject import Feature  # noqa: E402
from pathology_image_features.ontology.individuals import shape_characteristic_quantification_process as shapes  # noqa: E402
from pathology_image_features.ontology.individuals.size_characteristic_quantification_process import perimeter  # noqa: E402

print(*(f"{name} {version(name)}" for name in ("pathology-image-features", "shapely", "numpy")))


def value(feature, shape):
    return float(feature(Feature.from_spatial(shape)).has_specified_numeric_value)


def circle(diameter):
    return shapely.Point(0, 0).buffer(diameter / 2, quad_segs=128)


def dispersion(shape):
    """By hand: the mean over the outline, in steps of about 0.01 px."""
    at = shapely.line_interpolate_point(shape.exterior, np.linspace(0, shape.exterior.length, 10000, endpoint=False))
    return float(shapely.distance(at, shape.centroid).mean())


nucleus, rectangle, ring = affinity.scale(circle(20), 2, 1), shapely.box(0, 0, 40, 20), circle(400).difference(circle(200))
dense = shapely.segmentize(rectangle, 1)
found = {
    "eccentricity of an ellipse of 40 x 20": (np.sqrt(0.75), value(shapes.eccentricity, nucleus)),
    "major axis of a rectangle of 40 x 20": (4 * np.sqrt(40**2 / 12), value(shapes.major_axis_length, rectangle)),
    "its minor axis": (4 * np.sqrt(20**2 / 12), value(shapes.minor_axis_length, rectangle)),
    "its dispersion": (dispersion(rectangle), value(shapes.dispersion, rectangle)),
    "the same with a point every pixel": (dispersion(dense), value(shapes.dispersion, dense)),
    "viable interior of a circle of 400, normalized": (1, value(shapes.normalized_viable_interior_index, circle(400))),
    "perimeter of a ring": (ring.exterior.length, value(perimeter, ring)),
    "proximity index of a circle of 1000": (1000 / 3, value(shapes.proximity_index, circle(1000))),
    "of 4000": (4000 / 3, value(shapes.proximity_index, circle(4000))),
    "of 9000": (9000 / 3, value(shapes.proximity_index, circle(9000))),
    "of 9000, normalized": (1, value(shapes.normalized_proximity_index, circle(9000))),
}
for name, (right, got) in found.items():
    print(f"{name}: by hand {right:.2f}, here {got:.2f}")
near = [abs(got / right - 1) < 0.03 for right, got in found.values()]
as_seen = near == [False, False, False, False, True, False, False, True, False, False, False]
as_seen &= abs(found["eccentricity of an ellipse of 40 x 20"][1] - 40 * np.sqrt(0.75)) < 0.1 and found["of 9000"][1] == 0
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore shapes.py
