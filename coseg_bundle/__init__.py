"""Co-Seg: tissue regions and nuclei instances of H&E images, each task prompting the other.

Xu et al., "Co-Seg: Mutual Prompt-Guided Collaborative Learning for Tissue and Nuclei Segmentation", MICCAI 2025.
Importing this package imports neither torch nor MONAI; the subpackages do, when they are used.
"""

__version__ = "0.1.0"
