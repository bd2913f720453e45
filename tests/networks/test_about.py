import json

import pytest
import torch

from coseg_bundle.networks import CheckpointError, HeadLayout, load_weights, save_released
from coseg_bundle.networks.about import About, Detail, build, describe, detail_of
from coseg_bundle.networks.checkpoints import read_state_dict, read_weights

SAID = {"tissue_classes": ("background", "tumour", "stroma"), "nuclei_classes": ("background", "a", "b"), "mpp": 0.5}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layout": HeadLayout(3, 2), "subpixel": 2},
        {"encoder": {"detail_depth": 1, "adapter_ratio": 0.25}},
        {"prompting": "none"},
        {"paradigm": "separate", "prompting": "own"},
    ],
)
def test_a_network_is_built_again_from_its_description(make_network, options):
    network = make_network(**options)
    described = json.loads(json.dumps(describe(network)))
    again = build(described)
    assert {n: p.shape for n, p in again.state_dict().items()} == {n: p.shape for n, p in network.state_dict().items()}
    assert (again.prompting, again.layout, describe(again)) == (network.prompting, network.layout, described)


def test_a_file_says_what_it_is_and_loads_as_before(make_network, tmp_path):
    network = make_network(HeadLayout(3, 2))
    about = About.of(network, **SAID, untrained=("tissue",), training={"seed": 3})
    save_released(network, tmp_path / "model.pt", about.to_tensor())
    state, said = read_weights(tmp_path / "model.pt")
    assert said is not None
    assert About.from_tensor(said) == about
    assert state.keys() == network.state_dict().keys() == read_state_dict(tmp_path / "model.pt").keys()
    load_weights(build(about.network), tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in content.values())


def test_a_file_of_before_says_nothing(make_network, tmp_path):
    save_released(make_network(), tmp_path / "model.pt")
    assert read_weights(tmp_path / "model.pt")[1] is None


def test_names_of_a_later_version_are_passed_over(make_network):
    about = About.of(make_network(), **SAID)
    content = {**json.loads(bytes(about.to_tensor().tolist())), "colour": "blue"}
    assert About.from_tensor(torch.tensor(list(json.dumps(content).encode()), dtype=torch.uint8)) == about


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "3", '{"network": 3}', '{"network": {"layout": {"tissue_classes": 1}}}']
)
def test_damage_is_one_sentence(text):
    with pytest.raises(CheckpointError, match=r"m\.pt: what it says of itself is damaged"):
        About.from_tensor(torch.tensor(list(text.encode()), dtype=torch.uint8), "m.pt")


@pytest.mark.parametrize("dims", [[64, 64], [64, 48]])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_what_a_file_has_of_fine_detail(make_network, tmp_path, depth, dims):
    network = make_network(encoder={"detail_depth": depth, "pyramid_dims": dims})
    torch.save(network.state_dict(), tmp_path / "a.pt")
    assert detail_of(tmp_path / "a.pt")[:3] == (depth, dims, 0)


@pytest.mark.parametrize("adapter_ratio", [0.0, 0.25])
def test_what_a_file_has_of_a_lighter_network(make_network, tmp_path, adapter_ratio):
    sizes = {"detail_dims": [32, 48], "stages": [1, 2, 4, 2], "mlp_ratio": 1.0}
    network = make_network(window=8, encoder={"detail_depth": 2, "adapter_ratio": adapter_ratio, **sizes})
    torch.save(network.state_dict(), tmp_path / "a.pt")
    assert detail_of(tmp_path / "a.pt") == (2, [64, 64], 8, *sizes.values(), 1)
    assert network.image_encoder.arguments.items() >= sizes.items()


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (8, 1), (8, 2)])
def test_what_a_file_has_of_windows(make_network, tmp_path, window, stride):
    network = make_network(window=window, stride=stride)
    about = About.of(network, tissue_classes=("a", "b"), nuclei_classes=("background", "n"), mpp=0.25)
    save_released(network, tmp_path / "a.pt", about.to_tensor())
    detail = detail_of(tmp_path / "a.pt")
    assert (detail.window, detail.stride) == (window, stride)
    torch.save({"network": network.state_dict()}, tmp_path / "bare.pt")
    assert detail_of(tmp_path / "bare.pt").stride == stride
    built = build(about.network)
    assert built.mp_decoder.nuclei.window == window
    assert built.rp_encoder.from_nuclei.cross_attention.stride == stride


def test_a_description_of_a_former_version(make_network):
    """It says nothing of windows, means and sizes: there are none, and SAM 2's."""
    said = describe(make_network())
    of_encoder = "global_attention", "detail_dims", "stages", "mlp_ratio"
    of_prompts = "window", "stride"
    for part, names in (("image_encoder", of_encoder), ("rp_encoder", of_prompts), ("mp_decoder", ["window"])):
        said[part] = {key: value for key, value in said[part].items() if key not in names}
    assert describe(build(said)) == describe(make_network())


def test_what_a_new_network_gets_of_fine_detail(make_network, tmp_path):
    assert detail_of(None) == detail_of("") == detail_of(tmp_path / "missing.pt") == Detail(3, [64, 64])
    assert detail_of(None, "large") == Detail(3, None)
    torch.save(make_network(variant="tiny").state_dict(), tmp_path / "a.pt")
    assert detail_of(tmp_path / "a.pt") == Detail(0, None, stages=[1, 2, 7, 2])  # SAM 2's sizes have neither
