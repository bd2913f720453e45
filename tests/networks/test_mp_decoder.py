import pytest
import torch

from coseg_bundle.networks import HeadLayout, MPDecoder
from coseg_bundle.networks.blocks.two_way import RandomPositions
from coseg_bundle.networks.image_encoder import ImageEmbeddings


@pytest.fixture
def embeddings() -> ImageEmbeddings:
    torch.manual_seed(0)
    sizes = ((64, 4, 6), (64, 8, 12), (64, 16, 24))
    z, *features = (torch.randn(2, *size) for size in sizes)
    return ImageEmbeddings(z, tuple(features))


@pytest.fixture
def prepared(embeddings) -> ImageEmbeddings:
    """With the channels that a pixel decoder has when none are given."""
    coarse, fine = embeddings.high_res_features
    return embeddings._replace(high_res_features=(coarse[:, :16], fine[:, :8]))


def test_channels_and_stride(prepared):
    decoder = MPDecoder(HeadLayout(3, 2), 64, (64, 64), pixel_dims=(16, 8), mlp_dim=64)
    positions = decoder.positions
    assert decoder.tissue(prepared, None, positions).shape == (2, 3, 16, 24)  # stride 4
    assert decoder.nuclei(prepared, None, positions).shape == (2, 6, 16, 24)  # mask, hv, 3 types


def test_subpixels_are_interleaved(prepared):
    """Worked by hand: with hypernetworks that give weight i to sub-pixel i, each 2 x 2 block holds 0, 1 / 2, 3 times
    what one pixel says."""
    coarse = MPDecoder(HeadLayout(2), 64, (64, 64), pixel_dims=(16, 8), mlp_dim=64).eval()
    fine = MPDecoder(HeadLayout(2), 64, (64, 64), pixel_dims=(16, 8), mlp_dim=64, subpixel=2).eval()
    state = coarse.state_dict()
    for name, value in state.items():
        if ".hypernetworks." in name and ".layers.2." in name:
            state[name] = torch.cat([i * value for i in range(4)])
    fine.load_state_dict(state)
    with torch.no_grad():
        one = coarse.nuclei(prepared, None, coarse.positions)
        four = fine.nuclei(prepared, None, fine.positions)
    assert four.shape == (2, 3, 32, 48)  # stride 2
    expected = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert torch.allclose(four, torch.kron(one, expected), atol=1e-5)


def test_features_are_prepared_once(embeddings):
    """The first of several channels are those of all, and the pixel decoder adds what a 1 x 1 convolution says."""
    head = MPDecoder(HeadLayout(2, 3), 64, (64, 64), pixel_dims=(16, 8), mlp_dim=64).eval().nuclei
    with torch.no_grad():
        prepared = head.prepared(embeddings)
        for skip, feature, said in zip(
            head.skips, embeddings.high_res_features, prepared.high_res_features, strict=True
        ):
            by_hand = torch.einsum("oc,bchw->bohw", skip.weight[..., 0, 0], feature) + skip.bias[:, None, None]
            torch.testing.assert_close(said, by_hand, atol=1e-5, rtol=1e-5)
        positions = RandomPositions(32)
        every, one = (head(prepared, None, positions, masks) for masks in (None, 1))
    assert one.shape == (2, 1, 16, 24)
    torch.testing.assert_close(one, every[:, :1])


def test_prompt_is_added_to_the_embeddings(prepared):
    decoder = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64).eval()
    positions = decoder.positions
    prompt = torch.randn_like(prepared.embeddings)
    moved = ImageEmbeddings(prepared.embeddings + prompt, prepared.high_res_features)
    with torch.no_grad():
        assert torch.equal(decoder.tissue(prepared, prompt, positions), decoder.tissue(moved, None, positions))


def test_batch_is_independent(prepared):
    decoder = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64).eval()
    one = ImageEmbeddings(prepared.embeddings[:1], tuple(f[:1] for f in prepared.high_res_features))
    with torch.no_grad():
        both = decoder.nuclei(prepared, None, decoder.positions)
        single = decoder.nuclei(one, None, decoder.positions)
    assert torch.allclose(both[:1], single, atol=1e-5)


def test_nuclei_are_told_by_what_their_window_shows(prepared):
    """Windows of two tokens: what stands in the last two columns changes nothing in the four before. Tissue
    sees all."""
    torch.manual_seed(0)
    decoder = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64, window=2).eval()
    z = prepared.embeddings.clone()
    z[..., 4:] += torch.randn_like(z[..., 4:])
    changed = prepared._replace(embeddings=z)
    with torch.no_grad():
        before, after = (decoder.nuclei(x, None, decoder.positions) for x in (prepared, changed))
        assert torch.equal(before[..., :16], after[..., :16])
        assert not torch.allclose(before[..., 16:], after[..., 16:], atol=1e-3)
        before, after = (decoder.tissue(x, None, decoder.positions) for x in (prepared, changed))
        assert not torch.allclose(before[..., :16], after[..., :16], atol=1e-4)


def test_one_window_that_holds_all_is_none(prepared):
    square = ImageEmbeddings(
        *(x[..., : x.shape[-2]] for x in prepared[:1]), tuple(x[..., : x.shape[-2]] for x in prepared[1])
    )
    torch.manual_seed(0)
    whole = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64, subpixel=2).eval()
    windowed = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64, subpixel=2, window=4).eval()
    windowed.load_state_dict(whole.state_dict())
    with torch.no_grad():
        answers = [d.nuclei(square, None, d.positions) for d in (whole, windowed)]
    assert torch.allclose(*answers, atol=1e-5)


def test_levels_must_fit():
    with pytest.raises(ValueError, match=r"Expected 2 pixel_dims.*got \[16, 8, 8\]"):
        MPDecoder(HeadLayout(2), 64, (64, 64), pixel_dims=(16, 8, 8))
