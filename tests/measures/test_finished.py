import json

import pytest

from coseg_bundle.measures.finished import finished_image
from coseg_bundle.writers.folders import ResultsFolderError


@pytest.mark.parametrize(
    ("untrained", "remedy"),
    [
        (["tissue"], r"measure its nuclei alone with `coseg measure .*nuclei\.geojson --slide SLIDE --output DIR`, or"),
        (["tissue", "types"], "segment it with weights that know both"),
        (["nuclei"], "segment it with weights that know both"),
    ],
)
def test_a_task_that_nobody_taught(tmp_path, untrained, remedy):
    (tmp_path / "summary.json").write_text(json.dumps({"untrained": untrained}))
    (tmp_path / "nuclei.geojson").write_text("{}")
    said = f"not trained for {' and '.join(untrained)}, and measures need nuclei and tissue; {remedy}"
    with pytest.raises(ResultsFolderError, match=said), finished_image(tmp_path):
        pass
