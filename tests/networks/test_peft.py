import pytest
import torch
from torch import nn

from coseg_bundle.networks.image_encoder import HieraImageEncoder
from coseg_bundle.networks.peft import AdaptedMLP, freeze, has_lora, merge_lora, train_only


def test_adapter_by_hand():
    adapted = AdaptedMLP(nn.Identity(), dim=2, ratio=0.5, scale=0.5)
    x = torch.tensor([[1.0, 2.0]])
    assert torch.equal(adapted(x), x)  # starts as the identity
    with torch.no_grad():
        adapted.down.weight.copy_(torch.tensor([[100.0, 0.0]]))
        adapted.down.bias.zero_()
        adapted.up.weight.copy_(torch.tensor([[1.0], [0.0]]))
    assert torch.allclose(adapted(x), torch.tensor([[51.0, 2.0]]))  # x + 0.5 * gelu(100)


def test_merged_lora_equals_unmerged():
    torch.manual_seed(0)
    encoder = HieraImageEncoder("mini", lora_rank=4).eval()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.05)
    merged_state = merge_lora(encoder.state_dict())
    plain = HieraImageEncoder("mini").eval()
    plain.load_state_dict(merged_state)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        a, b = encoder(image).embeddings, plain(image).embeddings
        unchanged = HieraImageEncoder("mini").eval()
        unchanged.load_state_dict(
            {n.replace(".base_layer.", "."): v for n, v in encoder.state_dict().items() if ".lora_" not in n}
        )
        without = unchanged(image).embeddings
    assert torch.allclose(a, b, atol=1e-4)
    assert not torch.allclose(a, without, atol=1e-3)  # the update was worth merging
    assert has_lora(encoder.state_dict())
    assert not has_lora(merged_state)


def test_only_some_parts_learn():
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ModuleDict({"c": nn.Linear(2, 2), "d": nn.Linear(2, 2)})})
    freeze(network["b"]["d"])
    train_only(network, ["b"])
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["b.c.weight", "b.c.bias"]
    with pytest.raises(ValueError, match="no part 'x'; expected names of modules, such as a, b or parts of them"):
        train_only(network, ["b.c", "x"])
    with pytest.raises(ValueError, match=r"Nothing in b\.d learns"):
        train_only(network, ["b.d"])
