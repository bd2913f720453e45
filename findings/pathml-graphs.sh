#!/usr/bin/env bash
# PathML's graphs of nuclei and of tissue regions: RAGGraphBuilder and MSTGraphBuilder.
#
# Expected: RAGGraphBuilder, a region adjacency graph, joins regions that touch. MSTGraphBuilder joins nuclei by the shortest tree of
# their nearest neighbours: links are short, and the ends of a link are the nodes with those numbers, whose features come with them.
# Seen (pathml 3.0.8, torch-geometric 2.8.0, networkx 3.2.1, torch 2.12.0, scikit-image 0.22.0, numpy 1.26.4, CPython 3.11): where there is
# background around regions each of them is joined to the last one as well, however far away, and the last to itself: of five
# regions, of which 1-2 and 3-4 touch, 1-5, 2-5, 3-5, 4-5 and 5-5 are links too. Background is 0, one is taken off to count nodes from 0, and
# -1 is the last. In a map without background it is right. The tree of 60 nuclei has 59 links, of which 4 are in the tree by hand;
# they are 506 px long on average instead of 101, about as far as any two nuclei are apart (521). Its nodes are numbered in the order
# in which links were added and not by nucleus. KNNGraphBuilder joins the right ones. Nothing is said about either.
# What follows: take links to the last node out unless they touch, or number regions without background; make the tree with
# scipy.sparse.csgraph.minimum_spanning_tree of the distances.
# Installed without what it needs for slides: the module of the graphs is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.12.0" "torch-geometric==2.8.0" "networkx==3.2.1" "scikit-image==0.22.0" "scikit-learn==1.5.2"
env/bin/pip install --quiet "pandas==2.1.4" "scipy==1.13.1" "numpy==1.26.4" "opencv-python-headless==4.8.1.78"
env/bin/pip install --quiet --no-deps "pathml==3.0.8"
cat > graphs.py <<'PY'
import importlib
import sys
import types
from importlib.metadata import distribution, version

import networkx
import numpy as np
import torch
from scipy.spatial.distance import cdist

for name in ("pathml", "pathml.graph"):  # without what their __init__ imports besides (slides, networks)
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("pathml").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
graphs = importlib.import_module("pathml.graph.preprocessing")

print(*(f"{name} {version(name)}" for name in ("pathml", "torch-geometric", "networkx", "torch", "numpy")))


def links(builder, labels):
    """Pairs of labels that are joined."""
    edges = builder.process(labels, features=torch.zeros(int(labels.max()), 1)).edge_index.T.tolist()
    return {tuple(sorted((one + 1, other + 1))) for one, other in edges}


regions = np.zeros((60, 200), dtype=np.int64)
for number, left in enumerate((10, 30, 90, 110, 170), start=1):  # 1 and 2 touch, and 3 and 4; 5 is alone
    regions[20:40, left : left + 20] = number
alone = links(graphs.RAGGraphBuilder(), regions)
full = np.repeat(np.arange(1, 6), 40)[None].repeat(60, axis=0)
print("regions that touch: 1-2 and 3-4; joined:", sorted(alone), "without background:", sorted(links(graphs.RAGGraphBuilder(), full)))

random = np.random.default_rng(0)
nuclei = np.zeros((1000, 1000), dtype=np.int64)
spots = random.permutation(100)[:60]
for number, spot in enumerate(spots, start=1):
    y, x = 100 * (spot // 10) + random.integers(0, 80), 100 * (spot % 10) + random.integers(0, 80)
    nuclei[y : y + 12, x : x + 12] = number
builder = graphs.MSTGraphBuilder(k=8)
tree = links(builder, nuclei)
centres = builder.centroids.numpy()
apart = cdist(centres, centres)
by_hand = {tuple(sorted((one + 1, other + 1))) for one, other in networkx.minimum_spanning_tree(networkx.from_numpy_array(apart)).edges}


def length(pairs):
    return np.mean([apart[one - 1, other - 1] for one, other in pairs])


print(f"spanning tree: {len(tree)} links, {len(tree & by_hand)} of the {len(by_hand)} by hand; ", end="")
print(f"mean length {length(tree):.0f} px, by hand {length(by_hand):.0f} px, of any two nuclei {apart[apart > 0].mean():.0f} px")
nearest = links(graphs.KNNGraphBuilder(k=3), nuclei)
order = np.argsort(apart, axis=1)[:, 1:4]
near = {tuple(sorted((one + 1, int(other) + 1))) for one in range(60) for other in order[one]}
print(f"nearest three: {len(nearest)} links, {len(nearest & near)} of the {len(near)} by hand")
as_seen = alone == {(1, 2), (3, 4), (1, 5), (2, 5), (3, 5), (4, 5), (5, 5)} and len(nearest & near) > 0.95 * len(near)
as_seen &= links(graphs.RAGGraphBuilder(), full) == {(1, 2), (2, 3), (3, 4), (4, 5)}
as_seen &= len(tree) == len(by_hand) == 59 and len(tree & by_hand) < 10 and length(tree) > 4 * length(by_hand)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore graphs.py
