"""Writers: what a prediction becomes on disk."""

from coseg_bundle.writers.geojson import nuclei_features, tissue_features, write_features
from coseg_bundle.writers.overlay import draw_overlay
from coseg_bundle.writers.results import write_results

__all__ = ["draw_overlay", "nuclei_features", "tissue_features", "write_features", "write_results"]
