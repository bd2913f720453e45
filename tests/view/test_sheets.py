import csv
import io

from coseg_bundle.view.sheets import regions_csv


def test_a_class_called_nuclei_has_columns_of_its_own():
    region = {
        "name": "r",
        "all": {"count": 5, "low": 4},
        "classes": [{"name": "nuclei", "count": 2, "low": 1}, {"name": "other", "count": 3, "low": 2}],
        "tissue": [{"name": "gland", "share": 1}],
    }
    [row] = csv.DictReader(io.StringIO(regions_csv([region])))
    assert (row["nuclei"], row["nuclei low"]) == ("5", "4")
    assert (row["class nuclei count"], row["class nuclei low"]) == ("2", "1")
    assert (row["other count"], row["in gland: share"]) == ("3", "1")
