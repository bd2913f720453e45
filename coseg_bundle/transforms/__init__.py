"""MONAI transforms: loading, crops, stain augmentation, targets, post-processing."""

from coseg_bundle.transforms.empty import RandEmptyd
from coseg_bundle.transforms.glass import RandGlassd
from coseg_bundle.transforms.hv_maps import hv_map
from coseg_bundle.transforms.load import LoadHistologyd
from coseg_bundle.transforms.postprocess import ForgetClassesd, SegmentMapsd
from coseg_bundle.transforms.scale_crop import RandScaleCropd
from coseg_bundle.transforms.stain import RandStainJitterd
from coseg_bundle.transforms.stain_transfer import RandStainTransferd
from coseg_bundle.transforms.targets import NucleiTargetsd

__all__ = [
    "ForgetClassesd",
    "LoadHistologyd",
    "NucleiTargetsd",
    "RandEmptyd",
    "RandGlassd",
    "RandScaleCropd",
    "RandStainJitterd",
    "RandStainTransferd",
    "SegmentMapsd",
    "hv_map",
]
