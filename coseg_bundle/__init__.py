"""Co-Seg: tissue regions and nuclei instances of H&E images, each task prompting the other.

Xu et al., "Co-Seg: Mutual Prompt-Guided Collaborative Learning for Tissue and Nuclei Segmentation", MICCAI 2025.
Importing this package imports nothing heavy; its names are imported when they are used.

Example:
    >>> import coseg_bundle as coseg                          # doctest: +SKIP
    >>> result = coseg.load().image("region.png", mpp=0.5)    # doctest: +SKIP
    >>> result.save("out")                                    # doctest: +SKIP
"""

from coseg_bundle.lazy import lazily

__version__ = "0.1.0"

__all__ = ["Model", "Result", "SlideResult", "load"]

__getattr__, __dir__ = lazily(
    __name__,
    {"Model": "api.model", "Result": "api.result", "SlideResult": "api.slide_result", "load": "api.model"},
)
