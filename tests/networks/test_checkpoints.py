import pytest
import torch

from coseg_bundle.networks import CheckpointError, load_sam2_weights, load_weights, save_released, start_from
from coseg_bundle.networks.checkpoints import read_state_dict
from coseg_bundle.networks.weights_file import check_sum, sha256


def sam2_state(network) -> dict:
    """A state with SAM 2's names and random values, of the sizes of `network`."""
    ours = network.state_dict()
    state = {n: torch.randn_like(v) for n, v in ours.items() if n.startswith("image_encoder.")}
    head = "sam_mask_decoder."
    for name, value in ours.items():
        if name.startswith("mp_decoder.tissue.transformer."):
            state[head + name.removeprefix("mp_decoder.tissue.")] = torch.randn_like(value)
    for theirs, own in (
        ("output_upscaling.0", "upscalings.0"),
        ("output_upscaling.1", "norms.0"),
        ("output_upscaling.3", "upscalings.1"),
        ("conv_s1", "skips.0"),
        ("conv_s0", "skips.1"),
    ):
        for kind in ("weight", "bias"):
            state[f"{head}{theirs}.{kind}"] = torch.randn_like(ours[f"mp_decoder.tissue.{own}.{kind}"])
    positions = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    state[positions] = torch.randn_like(ours["mp_decoder.positions.positional_encoding_gaussian_matrix"])
    state["memory_encoder.fuser.weight"] = torch.zeros(3)
    return state


def test_sam2_weights_fill_encoder_and_both_heads(make_network, tmp_path):
    network = make_network(variant="tiny", encoder={"lora_rank": 2, "adapter_ratio": 0.25})
    state = sam2_state(make_network(variant="tiny"))
    torch.save({"model": state}, tmp_path / "sam2.pt")
    report = load_sam2_weights(network, tmp_path / "sam2.pt")
    ours = network.state_dict()
    name = "sam_mask_decoder.conv_s0.weight"
    assert torch.equal(ours["mp_decoder.tissue.skips.1.weight"], state[name])
    assert torch.equal(ours["mp_decoder.nuclei.skips.1.weight"], state[name])
    assert torch.equal(
        ours["image_encoder.trunk.blocks.3.attn.qkv.base_layer.weight"],
        state["image_encoder.trunk.blocks.3.attn.qkv.weight"],
    )
    assert report.unused == ("memory_encoder.fuser.weight",)
    assert all("lora" in n or ".down." in n or ".up." in n or not n.startswith("image_encoder") for n in report.fresh)
    assert "loaded" in str(report)


def test_sam2_weights_of_another_variant(make_network, tmp_path):
    torch.save({"model": sam2_state(make_network(variant="tiny"))}, tmp_path / "tiny.pt")
    with pytest.raises(CheckpointError, match=r"tiny.pt.*another variant"):
        load_sam2_weights(make_network(variant="mini"), tmp_path / "tiny.pt")


def test_an_incomplete_trunk_never_loads_partially(make_network, tmp_path):
    network = make_network(variant="tiny")
    before = {n: v.clone() for n, v in network.state_dict().items()}
    state = sam2_state(network)
    del state["image_encoder.trunk.blocks.0.attn.qkv.weight"]
    torch.save({"model": state}, tmp_path / "cut.pt")
    with pytest.raises(CheckpointError, match=r"blocks.0.attn.qkv.weight"):
        load_sam2_weights(network, tmp_path / "cut.pt")
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_own_weights_are_no_sam2_checkpoint(make_network, tmp_path):
    torch.save({"something.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a SAM 2 checkpoint"):
        load_sam2_weights(make_network(), tmp_path / "other.pt")


def test_released_file_round_trip(make_network, tmp_path):
    torch.manual_seed(0)
    trained = make_network(encoder={"lora_rank": 2}).eval()
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.02)
    save_released(trained, tmp_path / "model.pt")
    fresh = make_network().eval()
    load_weights(fresh, tmp_path / "model.pt")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(fresh(image), trained(image), atol=2e-2)  # half precision
    state = read_state_dict(tmp_path / "model.pt")
    assert {name for name, value in state.items() if value.dtype != torch.float16} == {"two_scales"}


def test_weights_that_do_not_speak_of_two_scales_are_looked_at_at_one(make_network, tmp_path):
    state = make_network().state_dict()
    del state["two_scales"]
    torch.save(state, tmp_path / "model.pt")
    network = make_network(two_scales=True)
    load_weights(network, tmp_path / "model.pt")
    assert not network.two_scales


def test_weights_of_another_network(make_network, tmp_path):
    from coseg_bundle.networks import HeadLayout

    save_released(make_network(), tmp_path / "two.pt")
    with pytest.raises(CheckpointError, match=r"two.pt belongs to another network.*another shape"):
        load_weights(make_network(HeadLayout(5)), tmp_path / "two.pt")


def test_unusable_files(make_network, tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_weights(make_network(), tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="not a readable weights file"):
        load_weights(make_network(), tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds no network weights"):
        load_weights(make_network(), tmp_path / "list.pt")


class _Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_pickled_code_is_never_run(make_network, tmp_path):
    torch.save({"model": _Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="not a readable weights file"):
        load_weights(make_network(), tmp_path / "evil.pt")


def randomised(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.05)
    return network.eval()


def test_start_from_whole_weights_is_the_same_network(make_network, tmp_path):
    network = randomised(make_network())
    torch.save(network.state_dict(), tmp_path / "model.pt")
    added = {"freeze_trunk": True, "lora_rank": 2, "adapter_ratio": 0.25, "detail_depth": 1}
    other = make_network(encoder=added).eval()
    report = start_from(other, tmp_path / "model.pt")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(other(image), network(image), atol=1e-5)  # what was added starts as the identity
    assert report.unused == ()
    assert report.fresh
    assert all(any(part in name for part in (".lora_", ".down.", ".up.", ".detail.")) for name in report.fresh)


def test_start_from_coarser_subpixels_repeats_them(make_network, tmp_path):
    coarse, fine = randomised(make_network()), make_network(subpixel=2).eval()
    torch.save(coarse.state_dict(), tmp_path / "model.pt")
    start_from(fine, tmp_path / "model.pt")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        z = coarse.encode(image).nuclei
        stride_4, stride_2 = (n.mp_decoder.nuclei(z, None, n.mp_decoder.positions) for n in (coarse, fine))
    assert torch.allclose(stride_2, stride_4.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-5)


def test_start_from_the_encoder_alone_fills_both_encoders(make_network, tmp_path):
    source = randomised(make_network())
    torch.save(source.state_dict(), tmp_path / "model.pt")
    separate = make_network(paradigm="separate", prompting="none")
    before = {name: value.clone() for name, value in separate.state_dict().items()}
    start_from(separate, tmp_path / "model.pt", encoder_only=True)
    for name, value in separate.state_dict().items():
        if "image_encoder." in name:
            assert torch.equal(value, source.state_dict()[name.removeprefix("nuclei_")])
        else:
            assert torch.equal(value, before[name])


def test_start_from_another_network_changes_nothing(make_network, tmp_path):
    torch.save(make_network(variant="tiny").state_dict(), tmp_path / "tiny.pt")
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"tiny\.pt cannot start this network.*for example"):
        start_from(network, tmp_path / "tiny.pt")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("added", "words"),
    [({"adapter_ratio": 0.25}, r"no place.*mlp\.(down|up)"), ({"detail_depth": 1}, r"no place.*detail")],
)
def test_start_from_drops_nothing_of_the_encoder(make_network, tmp_path, added, words):
    torch.save(make_network(encoder=added).state_dict(), tmp_path / "richer.pt")
    with pytest.raises(CheckpointError, match=words):
        start_from(make_network(), tmp_path / "richer.pt")


def test_start_from_other_subpixels_is_refused(make_network, tmp_path):
    torch.save(make_network(subpixel=2).state_dict(), tmp_path / "fine.pt")
    with pytest.raises(CheckpointError, match="hypernetworks"):
        start_from(make_network(subpixel=4), tmp_path / "fine.pt")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({1: torch.ones(2)}, "expected names of parameters, got 1"),
        ({"a": torch.eye(2).to_sparse()}, "a is sparse_coo"),
        ({"a": torch.ones(2, device="meta")}, "a is meta"),
        ({"a": torch.tensor([1.0, float("nan")])}, "a has values that are not finite"),
        ({"a": torch.tensor([float("inf")]).half()}, "a has values that are not finite"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "a is no plain tensor"),
        ({"a": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, "a is no plain tensor"),
        ({}, "holds no network weights"),
        (None, "holds no network weights"),
    ],
)
def test_parameters_that_are_none(tmp_path, state, words):
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=words):
        read_state_dict(tmp_path / "model.pt")


def test_an_empty_file_is_no_weights_file(tmp_path):
    (tmp_path / "model.pt").touch()
    with pytest.raises(CheckpointError, match=r"not a readable weights file \(EOFError\)"):
        read_state_dict(tmp_path / "model.pt")


def test_whole_numbers_do_not_stand_for_fractions(make_network, tmp_path):
    network = make_network()
    state = network.state_dict()
    name = next(name for name, value in state.items() if value.is_floating_point())
    torch.save({**state, name: state[name].int()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=f"1 have another shape .*{name}"):
        load_weights(network, tmp_path / "model.pt")


def test_the_sum_beside_the_weights(tmp_path):
    path, listed = tmp_path / "model.pt", tmp_path / "model.pt.sha256"
    path.write_bytes(b"weights")
    check_sum(path)  # nothing is said
    listed.write_text(f"{sha256(path).upper()}  model.pt\n")
    check_sum(path)
    for text in ("0" * 64, ""):
        listed.write_text(text)
        with pytest.raises(CheckpointError, match=r"model\.pt\.sha256 says (0+|nothing): it is damaged or another"):
            check_sum(path)


def test_damaged_numbers_are_noticed(make_network, tmp_path):
    path = tmp_path / "model.pt"
    save_released(make_network(), path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pt is not a readable weights file \(its part .+ is damaged\)"):
        read_state_dict(path)
