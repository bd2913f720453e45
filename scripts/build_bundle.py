"""Builds dist/coseg_tissue_nuclei_segmentation_v<version>.zip (`make bundle`)."""

from pathlib import Path

from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.release.archive import build

if __name__ == "__main__":
    root = find_bundle_root()
    archive = build(root, Path("dist"))
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB")
    print(archive.with_suffix(".zip.sha256").read_text(), end="")
