import os

import pytest

from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.writers.stamp import Stamp


def test_results_made_anew_or_removed(tmp_path):
    summary = tmp_path / "summary.json"
    summary.write_text("{}")
    stamp = Stamp.of(tmp_path)
    stamp.raise_if_changed("open them")
    sentence = rf"^The results of {tmp_path.name} were removed or made anew since they were opened; open them\.$"
    os.utime(summary, ns=(1, 1))
    with pytest.raises(ResultsFolderError, match=sentence):
        stamp.raise_if_changed("open them")
    summary.unlink()
    with pytest.raises(ResultsFolderError, match=sentence):
        stamp.raise_if_changed("open them")
    Stamp.of(tmp_path).raise_if_changed("open them")  # an image without results
