"""The MONAI Label application: annotate with Co-Seg, correct it, teach it.

Only `main`, `app` and `tasks` import MONAI Label; everything else here works and is tested without it.
"""
