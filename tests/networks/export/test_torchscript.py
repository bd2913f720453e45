import io

import pytest
import torch

from coseg_bundle.networks.export import torchscript
from coseg_bundle.networks.export.torchscript import TracedNetwork


def test_script_equals_the_network_for_any_batch(make_network, monkeypatch):
    """`torch.jit.script` of the network itself, as `monai.bundle ckpt_export` calls it, written and read again."""
    monkeypatch.setattr(torchscript.TracedNetwork.__init__, "__defaults__", (64,))
    network = make_network().train()
    scripted = torch.jit.script(network)
    assert network.training
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    file.seek(0)
    read = torch.jit.load(file)
    for batch in (1, 3):
        image = torch.rand(batch, 3, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(read(image), network.eval()(image), atol=1e-5, rtol=0)


def test_another_tile_size_is_refused(make_network):
    scripted = torch.jit.script(TracedNetwork(make_network(), 64))
    with pytest.raises(torch.jit.Error, match="Expected tiles of 64 px, got 64 x 96"):
        scripted(torch.rand(1, 3, 64, 96))
