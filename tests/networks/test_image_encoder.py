import pytest
import torch

from coseg_bundle.networks.blocks.variants import VARIANTS
from coseg_bundle.networks.image_encoder import HieraImageEncoder
from coseg_bundle.networks.peft import trainable_parameters


def features(encoder, image):
    """All that an encoder gives, coarse to fine."""
    found = encoder(image)
    return found.embeddings, *found.high_res_features


def test_step_0_is_the_trunk_without_additions():
    """LoRA, adapters and fine detail start as the identity; what the trunk computes, `blocks/test_hiera.py` says."""
    torch.manual_seed(0)
    plain = HieraImageEncoder("tiny").eval()
    added = HieraImageEncoder("tiny", freeze_trunk=True, lora_rank=4, adapter_ratio=0.25, detail_depth=2).eval()
    names = {n.replace(".base_layer.", ".").replace(".mlp.mlp.", ".mlp."): n for n in added.state_dict()}
    added.load_state_dict({names[name]: value for name, value in plain.state_dict().items()}, strict=False)
    image = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        for a, b in zip(features(plain, image), features(added, image), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", ["mini", "tiny"])
def test_strides_and_channels(variant):
    encoder = HieraImageEncoder(variant).eval()
    with torch.no_grad():
        found = encoder(torch.rand(2, 3, 64, 96))
    assert found.embeddings.shape == (2, encoder.embed_dim, 4, 6)
    sizes = [(8, 12), (16, 24), (32, 48)]
    for features, dim, size in zip(found.high_res_features, encoder.high_res_dims, sizes, strict=False):
        assert features.shape == (2, dim, *size)


def test_fine_detail_learns_from_the_second_step_on():
    encoder = HieraImageEncoder("mini", detail_depth=1)
    optimizer = torch.optim.SGD(encoder.detail.parameters(), lr=0.1)
    image = torch.rand(1, 3, 64, 64)
    for step in range(2):
        optimizer.zero_grad()
        sum(feature.square().mean() for feature in encoder(image).high_res_features).backward()
        still = {name for name, p in encoder.detail.named_parameters() if not p.grad.any()}
        optimizer.step()
        assert bool(still) == (step == 0)  # what stands before a layer of zeros waits for it


def test_every_variant_has_the_size_of_sam2():
    with torch.device("meta"):
        encoders = {variant: HieraImageEncoder(variant) for variant in VARIANTS if variant != "mini"}
    millions = {
        variant: round(sum(p.numel() for p in encoder.parameters()) / 1e6, 1) for variant, encoder in encoders.items()
    }
    assert millions == {"tiny": 27.2, "small": 34.3, "base_plus": 69.1, "large": 212.7}  # as SAM 2's builders give them


def test_frozen_trunk_learns_only_lora_and_adapters():
    encoder = HieraImageEncoder("mini", freeze_trunk=True, lora_rank=2, adapter_ratio=0.25)
    learning = {name for name, p in encoder.trunk.named_parameters() if p.requires_grad}
    assert learning
    assert all(".lora_" in name or ".down." in name or ".up." in name for name in learning)
    frozen = HieraImageEncoder("mini", freeze_trunk=True)
    assert trainable_parameters(frozen.trunk) == 0
    assert trainable_parameters(frozen.neck) > 0


@pytest.mark.parametrize("shape", [(1, 3, 60, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_wrong_shapes_teach(shape):
    with pytest.raises(ValueError, match=r"multiples of 32.*pad the image"):
        HieraImageEncoder("mini")(torch.zeros(shape))


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"'huge': expected one of mini, tiny"):
        HieraImageEncoder("huge")


def test_drop_path_is_for_training():
    torch.manual_seed(0)
    plain, dropping = HieraImageEncoder("mini"), HieraImageEncoder("mini", drop_path=0.5)
    assert list(dropping.state_dict()) == list(plain.state_dict())  # it has no weights
    dropping.load_state_dict(plain.state_dict())
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for found, expected in zip(features(dropping.eval(), image), features(plain.eval(), image), strict=True):
            assert torch.equal(found, expected)
        once, again = features(dropping.train(), image)[0], features(dropping, image)[0]
        assert not torch.equal(once, again)
        assert torch.equal(features(plain.train(), image)[0], features(plain, image)[0])


def test_drop_path_rises_with_depth():
    blocks = HieraImageEncoder("mini", drop_path=0.3).trunk.blocks
    rates = [block.drop_path.share for block in blocks]
    assert rates == pytest.approx([0.3 * i / (len(blocks) - 1) for i in range(len(blocks))])


@pytest.mark.parametrize("global_attention", [True, False])
def test_without_global_attention_only_the_surroundings_matter(global_attention):
    torch.manual_seed(0)
    encoder = HieraImageEncoder("mini", detail_depth=1, global_attention=global_attention).eval()
    image = torch.rand(1, 3, 256, 512)
    changed = image.clone()
    changed[..., 448:] = 0
    with torch.no_grad():
        before, after = encoder(image).embeddings, encoder(changed).embeddings
    assert torch.equal(before[..., :16], after[..., :16]) != global_attention


def test_a_lighter_one_has_fewer_blocks_and_channels():
    encoder = HieraImageEncoder(
        "mini", detail_depth=1, global_attention=False, detail_dims=[32, 48], stages=[1, 2, 4, 2], mlp_ratio=1.5
    )
    assert [block.dim_out for block in encoder.trunk.blocks] == [48, 96, 96, 192, 192, 192, 192, 384, 384]
    assert [block.mlp.layers[0].out_features for block in encoder.trunk.blocks][:3] == [72, 144, 144]
    assert [blocks[0].widen.out_channels for blocks in encoder.detail.blocks] == [32, 48]
    embeddings = encoder.eval()(torch.rand(1, 3, 64, 96))
    assert [tuple(features.shape[1:]) for features in (embeddings[0], *embeddings[1])] == [
        (128, 4, 6),
        (64, 8, 12),
        (64, 16, 24),
    ]


def test_which_blocks_of_other_stages_see_all_is_unknown():
    with pytest.raises(ValueError, match=r"Expected the stages \(1, 2, 7, 2\) of 'mini', got \(1, 2, 4, 2\)"):
        HieraImageEncoder("mini", stages=[1, 2, 4, 2])
    assert len(HieraImageEncoder("mini", stages=[1, 2, 7, 2]).trunk.blocks) == 12
