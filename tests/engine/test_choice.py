import pytest

from coseg_bundle.engine import choice as engine
from coseg_bundle.engine.choice import EngineError, choose_engine


@pytest.fixture
def installed(monkeypatch):
    """Sets which packages are there."""

    def there(*names):
        monkeypatch.setattr(engine, "find_spec", lambda name: name if name in names else None)

    return there


def test_auto_is_torch_where_it_is_installed(installed):
    installed("torch", "onnxruntime")
    assert choose_engine("auto", "model.pt") == "torch"
    assert choose_engine("auto", "model.onnx") == "onnx"
    assert choose_engine("onnx", "model.pt") == "onnx"
    installed("onnxruntime")
    assert choose_engine("auto") == "onnx"


def test_what_is_not_there(installed):
    installed("onnxruntime")
    with pytest.raises(
        EngineError, match=r"engine torch needs torch, which is not installed; pip install 'coseg-bundle\[torch\]'"
    ):
        choose_engine("torch")
    installed("torch")
    with pytest.raises(
        EngineError, match="engine onnx needs onnxruntime, which is not installed; pip install onnxruntime"
    ):
        choose_engine("onnx")
    installed()
    with pytest.raises(EngineError, match="needs onnxruntime"):
        choose_engine("auto")


def test_what_does_not_fit(installed):
    installed("torch", "onnxruntime")
    with pytest.raises(EngineError, match="Expected engine auto, torch or onnx, got tpu"):
        choose_engine("tpu")
    with pytest.raises(EngineError, match=r"model\.ONNX is an ONNX file, which .*; give the \.pt .* or --engine onnx"):
        choose_engine("torch", "model.ONNX")
