import pytest
import torch

from coseg_bundle.networks import HeadLayout, MPDecoder
from coseg_bundle.networks.image_encoder import ImageEmbeddings


@pytest.fixture
def embeddings() -> ImageEmbeddings:
    torch.manual_seed(0)
    sizes = ((64, 4, 6), (64, 8, 12), (64, 16, 24))
    z, *features = (torch.randn(2, *size) for size in sizes)
    return ImageEmbeddings(z, tuple(features))


def test_channels_and_stride(embeddings):
    decoder = MPDecoder(HeadLayout(3, 2), 64, (64, 64), pixel_dims=(16, 8), mlp_dim=64)
    positions = decoder.positions
    assert decoder.tissue(embeddings, None, positions).shape == (2, 3, 16, 24)  # stride 4
    assert decoder.nuclei(embeddings, None, positions).shape == (2, 6, 16, 24)  # mask, hv, 3 types


def test_subpixels_are_interleaved(embeddings):
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
        one = coarse.nuclei(embeddings, None, coarse.positions)
        four = fine.nuclei(embeddings, None, fine.positions)
    assert four.shape == (2, 3, 32, 48)  # stride 2
    expected = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert torch.allclose(four, torch.kron(one, expected), atol=1e-5)


def test_prompt_is_added_to_the_embeddings(embeddings):
    decoder = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64).eval()
    positions = decoder.positions
    prompt = torch.randn_like(embeddings.embeddings)
    moved = ImageEmbeddings(embeddings.embeddings + prompt, embeddings.high_res_features)
    with torch.no_grad():
        assert torch.equal(decoder.tissue(embeddings, prompt, positions), decoder.tissue(moved, None, positions))


def test_batch_is_independent(embeddings):
    decoder = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64).eval()
    one = ImageEmbeddings(embeddings.embeddings[:1], tuple(f[:1] for f in embeddings.high_res_features))
    with torch.no_grad():
        both = decoder.nuclei(embeddings, None, decoder.positions)
        single = decoder.nuclei(one, None, decoder.positions)
    assert torch.allclose(both[:1], single, atol=1e-5)


def test_nuclei_are_told_by_what_their_window_shows(embeddings):
    """Windows of two tokens: what stands in the last two columns changes nothing in the four before. Tissue
    sees all."""
    torch.manual_seed(0)
    decoder = MPDecoder(HeadLayout(2), 64, (64, 64), mlp_dim=64, window=2).eval()
    z = embeddings.embeddings.clone()
    z[..., 4:] += torch.randn_like(z[..., 4:])
    changed = embeddings._replace(embeddings=z)
    with torch.no_grad():
        before, after = (decoder.nuclei(x, None, decoder.positions) for x in (embeddings, changed))
        assert torch.equal(before[..., :16], after[..., :16])
        assert not torch.allclose(before[..., 16:], after[..., 16:], atol=1e-3)
        before, after = (decoder.tissue(x, None, decoder.positions) for x in (embeddings, changed))
        assert not torch.allclose(before[..., :16], after[..., :16], atol=1e-4)


def test_one_window_that_holds_all_is_none(embeddings):
    square = ImageEmbeddings(
        *(x[..., : x.shape[-2]] for x in embeddings[:1]), tuple(x[..., : x.shape[-2]] for x in embeddings[1])
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
