# What `__init__.py` gives when it is asked for, for type checkers and editors.
from coseg_bundle.api.model import Model as Model
from coseg_bundle.api.model import load as load
from coseg_bundle.api.result import Result as Result
from coseg_bundle.api.slide_result import SlideResult as SlideResult

__version__: str
