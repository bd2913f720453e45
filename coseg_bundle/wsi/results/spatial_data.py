"""Finished results as SpatialData: nuclei as shapes with a table, tissue as labels and as shapes.

The coordinate system `global` counts pixels of the slide's level 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle.atomic import whole_folder
from coseg_bundle.writers.converted import ATTRIBUTE, CONTENT, SPATIALDATA, check_converted, content_of_parts
from coseg_bundle.writers.folders import check_own
from coseg_bundle.wsi.results.reading import FinishedSlide

_MEASUREMENTS = ("area_um2", "type_prob", "nuclei_prob", "disagreement", "tissue_border_um")


def write_spatialdata(finished: FinishedSlide) -> Path:
    """Writes `spatialdata.zarr` beside the other results; an older one that nobody changed is replaced.

    Elements: `nuclei` (shapes) and `nuclei_table` (class, tissue, measurements), where there are nuclei;
    `tissue_labels` (class ids); `tissue` (shapes), where there are regions. What `coseg slide` left out is left out. All
    nuclei are in memory at a time.

    Args:
        finished: The results.

    Returns:
        The folder.

    Raises:
        ValueError: spatialdata is not installed, or what lies there is not as it was written (ResultsFolderError).
    """
    try:
        from spatialdata import SpatialData
    except ImportError as error:
        raise ValueError(f"spatialdata is not installed ({error}); pip install 'coseg-bundle[spatialdata]'.") from error
    check_converted(finished.folder, SPATIALDATA)
    names = ("slide", "mpp", "network_mpp", "weights", "weights_sha256")
    about = {name: finished.summary[name] for name in names}
    about |= {name: value for name, value in finished.summary.items() if name.startswith("origin")}
    about |= {"tissue_classes": list(finished.tissue_classes.names)}  # the names of the labels 0, 1, ...
    elements = _nuclei(finished)
    if "tissue" not in finished.untrained:
        elements = {"tissue_labels": _labels(finished), **_regions(finished), **elements}
    with whole_folder(finished.folder / SPATIALDATA) as partial:
        data = SpatialData.init_from_elements(elements, attrs={ATTRIBUTE: about, **_for_sopa(elements)})
        data.write(partial)
        data.attrs[ATTRIBUTE][CONTENT] = content_of_parts(partial)
        data.write_attrs()
    return finished.folder / SPATIALDATA


def _for_sopa(elements: dict[str, Any]) -> dict[str, str]:
    """The attribute that sopa takes its boundaries' name from."""
    return {"boundaries_shapes": "nuclei"} if "nuclei" in elements else {}


def _labels(finished: FinishedSlide) -> Any:
    from spatialdata.models import Labels2DModel
    from spatialdata.transformations import Scale

    tissue, mpp = finished.tissue()
    scale = mpp / finished.summary["mpp"]
    return Labels2DModel.parse(
        tissue, dims=("y", "x"), transformations={"global": Scale([scale, scale], axes=("y", "x"))}
    )


def _regions(finished: FinishedSlide) -> dict[str, Any]:
    """The tissue's polygons."""
    import geopandas
    import shapely
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    check_own(finished.folder, finished.summary, "tissue.geojson")
    features = json.loads((finished.folder / "tissue.geojson").read_text(encoding="utf-8"))["features"]
    if not features:
        return {}
    columns = {
        "class": [feature["properties"]["classification"]["name"] for feature in features],
        "area_um2": [feature["properties"]["measurements"]["Area um2"] for feature in features],
    }
    polygons = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    frame = geopandas.GeoDataFrame(columns, geometry=polygons)
    return {"tissue": ShapesModel.parse(frame, transformations={"global": Identity()})}


def _nuclei(finished: FinishedSlide) -> dict[str, Any]:
    """The nuclei's polygons, and their table."""
    import anndata
    import geopandas
    import pandas as pd
    import pyarrow as pa
    import shapely
    from spatialdata.models import ShapesModel, TableModel
    from spatialdata.transformations import Identity

    if not finished.summary["nuclei"]:
        return {}
    rows = pa.concat_tables(finished.nuclei(), promote_options="permissive")
    ids = rows["id"].to_numpy()
    polygons = shapely.from_wkb(rows["geometry"].to_numpy())
    shapes = geopandas.GeoDataFrame(geometry=polygons, index=pd.Index(ids, name="id"))
    columns = {
        "class": pd.Categorical(rows["type"].to_numpy(), categories=finished.nuclei_classes.names[1:]),
        "tissue": pd.Categorical(rows["tissue"].to_numpy(), categories=finished.tissue_classes.names),
        "region": pd.Categorical(["nuclei"] * len(ids)),
        "id": ids,
    }
    table = anndata.AnnData(
        np.stack([rows[name].cast(pa.float32()).to_numpy() for name in _MEASUREMENTS], axis=1),  # null becomes NaN
        obs=pd.DataFrame(columns, index=ids.astype(str)),
        var=pd.DataFrame(index=list(_MEASUREMENTS)),
        obsm={"spatial": np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1)},
    )
    return {
        "nuclei": ShapesModel.parse(shapes, transformations={"global": Identity()}),
        "nuclei_table": TableModel.parse(table, region="nuclei", region_key="region", instance_key="id"),
    }
