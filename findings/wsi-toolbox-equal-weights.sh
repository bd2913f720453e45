#!/usr/bin/env bash
# wsi-toolbox's clusters of a slide's patches (leiden_cluster, ClusteringCommand), and its "otsu" test for white patches.
#
# Expected: patches are joined to their nearest ones with weights that fall with the distance of their features, which Leiden's
# clustering is given: what is far away is hardly joined. is_white_patch_otsu: a blank patch is white, one of tissue is not.
# Seen (wsi-toolbox 0.3.0, leidenalg 0.12.0, igraph 1.0.0, scikit-learn 1.9.1, numpy 2.4.6, CPython 3.11): all weights are equal,
# exp(-1) = 0.368: each distance is divided by the mean of itself. Of 900 patches each is joined to 29, so that a kind of which
# there are 15 is joined to 15 others, as strongly as to itself: 40 standard deviations away from all others as it is, it is in one
# cluster with about 100 of them. With the distances divided by their mean over all patches it is a cluster of its own.
# The threshold of "otsu" is found for each patch alone: blank glass with a camera's noise is split in two halves of 50 % "white" and
# is kept, where 80 % are asked for, and a patch of pale tissue of which 12 % are nuclei is 88 % white, and left out: of blank and
# tissue it keeps the blank one. "ptp", the default, and "std" and "green" tell them apart. Nothing is said about either.
# What follows: build the graph oneself where rare kinds of patches matter; --detect-white ptp.
# Installed without its dependencies: the two modules are loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "scikit-learn==1.9.1" "networkx==3.6.1" "igraph==1.0.0" \
    "leidenalg==0.12.0" "joblib==1.6.0" "opencv-python-headless==5.0.0.93"
env/bin/pip install --quiet --no-deps "wsi-toolbox==0.3.0"
cat > weights.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import igraph
import leidenalg
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

utils = types.ModuleType("utils")  # the package, without what its other modules need
utils.__path__ = [str(distribution("wsi-toolbox").locate_file("wsi_toolbox/utils"))]
sys.modules["utils"] = utils
analysis, white = import_module("utils.analysis"), import_module("utils.white")


def together(clusters, kind):
    """How many clusters the patches of a kind are in, and how many others are in these."""
    own = np.unique(clusters[kind])
    return len(own), int(np.isin(clusters, own).sum() - kind.sum())


def by_hand(features, neighbours):
    """Leiden's clusters of the same graph with weights that fall with the distance."""
    pca = PCA(analysis.find_optimal_components(features))
    places = pca.fit_transform(features) * np.sqrt(pca.explained_variance_ratio_)
    distances = np.linalg.norm(places[:, None] - places[neighbours], axis=2)
    weights = np.exp(-distances / distances[:, 1:].mean())
    edges = {tuple(sorted((i, int(j)))): w for i in range(len(places)) for j, w in zip(neighbours[i], weights[i]) if i != j}
    graph = igraph.Graph(n=len(places), edges=list(edges))
    clusters = leidenalg.find_partition(graph, leidenalg.RBConfigurationVertexPartition, weights=list(edges.values()), seed=0)
    return np.array(clusters.membership)


print(*(f"{name} {version(name)}" for name in ("wsi-toolbox", "leidenalg", "igraph", "scikit-learn", "numpy")))
rng = np.random.default_rng(0)
kinds = np.repeat([0, 1, 2], [442, 443, 15])
features = rng.normal(size=(900, 20))
features[kinds == 1, 0] += 40
features[kinds == 2, 1] += 40
pca = PCA(analysis.find_optimal_components(features))
places = pca.fit_transform(features)
neighbours = NearestNeighbors(n_neighbors=30).fit(places).kneighbors(places)[1]
weights = analysis.process_edges_batch(range(900), neighbours, places, False, pca)[1]
apart = sorted({round(float(weight), 6) for weight in weights})
print(f"{len(weights)} joined pairs; their weights: {apart[0]} to {apart[-1]}")
seen = [together(analysis.leiden_cluster(features, n_jobs=1), kinds == 2) for _ in range(3)]
own = together(by_hand(features, neighbours), kinds == 2)
print(f"clusters that 15 patches of one kind are in, and others in these: three times {seen}; with weights by distance {own}")
glass = np.clip(rng.normal(240, 2, (256, 256, 1)) + rng.normal(0, 1, (256, 256, 3)), 0, 255).astype(np.uint8)
tissue = np.full((256, 256, 3), (225, 150, 200), np.uint8)
tissue[:88, :89] = (90, 60, 140)  # nuclei, 12 % of the patch
tests = {name: white.create_white_detector(name) for name in ("otsu", "ptp", "std", "green")}
found = {name: (bool(test(glass)), bool(test(tissue))) for name, test in tests.items()}
print("is the blank patch white, and the one of tissue:", found)
as_seen = apart == [0.367879] and all(clusters == 1 and others > 50 for clusters, others in seen) and own == (1, 0)
sys.exit(0 if as_seen and found.pop("otsu") == (False, True) and set(found.values()) == {(True, False)} else 1)
PY
OMP_NUM_THREADS=1 env/bin/python -W ignore weights.py
