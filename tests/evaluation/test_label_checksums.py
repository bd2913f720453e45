import json

import numpy as np
from PIL import Image

from coseg_bundle.evaluation.label_checksums import label_checksums


def test_what_changes_a_checksum(tmp_path):
    """A file, wherever it lies; the names of class maps; nothing else."""
    for name in "ab":
        Image.fromarray(np.full((2, 2), 1, np.uint8)).save(tmp_path / f"{name}.png")
    Image.fromarray(np.full((2, 2), 2, np.uint8)).save(tmp_path / "c.png")

    def of(instances, tissue, names=None):
        (tmp_path / "d.json").write_text(json.dumps({"tissue_classes": names} if names else {}))
        item = {"image": "/x.png", **{"instances": str(tmp_path / instances), "tissue": str(tmp_path / tissue)}}
        return label_checksums([item], tmp_path / "d.json")["/x.png"]

    first = of("a.png", "a.png")
    assert [*first] == ["instances", "tissue"]
    assert all(len(checksum) == 8 for checksum in first.values())
    assert of("b.png", "b.png") == first
    assert of("c.png", "a.png") == {**of("c.png", "c.png"), "tissue": first["tissue"]} != first
    named = of("a.png", "a.png", {"1": "gland"})
    assert named["instances"] == first["instances"]  # names say nothing of instances
    assert len({first["tissue"], named["tissue"], of("a.png", "a.png", {"1": "tumour"})["tissue"]}) == 3
