import sys
from pathlib import Path

for folder in ("wsi", "postprocessing"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))  # for the helpers in standin.py and maps.py
