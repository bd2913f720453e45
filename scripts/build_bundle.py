"""Builds dist/coseg_tissue_nuclei_segmentation_v<version>.zip (`make bundle`)."""

import argparse
from pathlib import Path

from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.release.archive import build

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights-url", help="lists models/model.pt in large_files.yml with this address instead")
    archive = build(find_bundle_root(), Path("dist"), parser.parse_args().weights_url)
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB")
    print(archive.with_suffix(".zip.sha256").read_text(), end="")
