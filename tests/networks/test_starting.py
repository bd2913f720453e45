"""Starting from weights of other classes; the same classes are in test_checkpoints.py."""

import pytest
import torch

from coseg_bundle.networks import About, CheckpointError, HeadLayout, known_tasks, save_released, start_from

IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def trained(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.05)
    return network.eval()


def written(network, path, tissue=None, nuclei=None):
    said = None if tissue is None else About.of(network, tissue_classes=tissue, nuclei_classes=nuclei, mpp=0.25)
    torch.save(network.state_dict() | ({} if said is None else {"about": said.to_tensor()}), path)
    return path


def logits(network):
    with torch.no_grad():
        return network.layout.split(network(IMAGE))


def differing(network, other):
    """Parameters that are another network's, up to names that one of them lacks."""
    ours, theirs = network.state_dict(), other.state_dict()
    return {
        name.partition(".queries")[0].partition(".hypernetworks")[0]
        for name in ours
        if name not in theirs or ours[name].shape != theirs[name].shape or not torch.equal(ours[name], theirs[name])
    }


def test_widening_from_one_nuclei_class_to_three(make_network, tmp_path, caplog):
    """All but the type channels is the file's; each type says what the mask says, the background the opposite."""
    caplog.set_level("INFO", "coseg_bundle")
    source = trained(make_network())
    file = written(source, tmp_path / "model.pt", ("background", "gland"), ("background", "nucleus"))
    network = make_network(HeadLayout(2, 3)).eval()
    report = start_from(network, file, tissue_classes=["background", "gland"], nuclei_classes=["background", *"abc"])
    assert report.fresh == report.unused == ()
    assert differing(network, source) == {"mp_decoder.nuclei"}
    found = logits(network)
    torch.testing.assert_close(
        found["type_logits"], found["nuclei_logits"] * torch.tensor([-1, 1, 1, 1])[:, None, None]
    )
    head = "mp_decoder.nuclei.hypernetworks.1.layers.2.bias"  # hv map x
    assert torch.equal(network.state_dict()[head], source.state_dict()[head])
    assert "nuclei classes a, b, c are new and start as the nuclei mask" in caplog.text
    assert "tissue" not in caplog.text


def test_tissue_classes_of_the_same_name_keep_what_they_know(make_network, tmp_path, caplog):
    """Another order, one class gone, one new: the answers move with the names."""
    caplog.set_level("INFO", "coseg_bundle")
    source = trained(make_network(HeadLayout(3, disagreement=False), prompting="none"))
    file = written(source, tmp_path / "m.pt", ("background", "gland", "muscle"), ("background", "nucleus"))
    network = make_network(HeadLayout(3, disagreement=False), prompting="none").eval()
    start_from(network, file, tissue_classes=["muscle", "necrosis", "background"])
    queries = "mp_decoder.tissue.queries.weight"
    assert torch.equal(network.state_dict()[queries], source.state_dict()[queries][[2, 0, 0]])
    last = "mp_decoder.tissue.hypernetworks.{}.layers.2.weight"
    for ours, theirs in enumerate((2, 0, 0)):
        assert torch.equal(network.state_dict()[last.format(ours)], source.state_dict()[last.format(theirs)])
    assert "tissue classes necrosis are new and start as background" in caplog.text


def test_capitals_of_class_names_do_not_matter(make_network, tmp_path, caplog):
    """Gland, as QuPath spells it, was new and started as empty."""
    caplog.set_level("INFO", "coseg_bundle")
    source = trained(make_network(HeadLayout(3)))
    file = written(source, tmp_path / "m.pt", ("empty", "gland", "other_tissue"), ("background", "nucleus"))
    ours = ["empty", "Other_tissue", "Gland"]
    network = make_network(HeadLayout(3)).eval()
    start_from(network, file, tissue_classes=ours, nuclei_classes=["background", "nucleus"])
    torch.testing.assert_close(logits(network)["tissue_logits"], logits(source)["tissue_logits"][:, [0, 2, 1]])
    assert "new and start" not in caplog.text
    assert known_tasks(file, ours, ["background", "nucleus"]) == ["nuclei", "tissue"]
    assert known_tasks(file, ["empty", "GLAND", "Gland"], ["background", "nucleus"]) == ["nuclei"]


def test_another_resolution_is_said(make_network, tmp_path, caplog):
    """Weights of 0.25 um per pixel started a training at 0.5 without a word, and what they know of tissue counted."""
    file = written(trained(make_network()), tmp_path / "m.pt", ("background", "gland"), ("background", "nucleus"))
    silent = written(make_network(), tmp_path / "silent.pt")
    names = ["background", "gland"], ["background", "nucleus"]
    for path, mpp in ((file, None), (file, 0.25), (file, 0.27), (silent, 0.5)):
        start_from(make_network(), path, mpp=mpp)
        assert known_tasks(path, *names, mpp) == ["nuclei", "tissue"]
    assert " um per pixel" not in caplog.text
    start_from(make_network(), file, mpp=0.5)
    assert f"{file} works at 0.25 um per pixel, and this training at 0.5:" in caplog.text
    assert "mpp=0.25 trains at the resolution of the weights." in caplog.text
    assert known_tasks(file, *names, 0.5) == []


def test_the_prompt_of_known_tissue_stays(make_network, tmp_path):
    """Added classes have no weight in the prompt; where no class is known the first one's weights are shared out."""
    source = trained(make_network())
    file = written(source, tmp_path / "model.pt", ("background", "gland"), ("background", "nucleus"))
    name = "rp_encoder.from_tissue.conv_1.weight"
    before = source.state_dict()[name]
    more, others = make_network(HeadLayout(4)), make_network(HeadLayout(3))
    start_from(more, file, tissue_classes=["background", "stroma", "gland", "fat"])
    after = more.state_dict()[name]
    assert torch.equal(after[:, [0, 2]], before)
    assert not after[:, [1, 3]].any()
    start_from(others, file, tissue_classes=["stroma", "fat", "tumour"])
    torch.testing.assert_close(others.state_dict()[name].sum(1), before[:, 0])


def test_types_by_name_and_no_types_any_more(make_network, tmp_path):
    source = trained(make_network(HeadLayout(2, 2)))
    file = written(source, tmp_path / "model.pt", ("background", "gland"), ("background", "a", "b"))
    network, plain = make_network(HeadLayout(2, 3)), make_network()
    start_from(network, file, nuclei_classes=["background", "b", "new", "a"])
    queries = "mp_decoder.nuclei.queries.weight"
    assert torch.equal(network.state_dict()[queries], source.state_dict()[queries][[0, 1, 2, 3, 5, 0, 4]])
    start_from(plain, file)
    assert torch.equal(plain.state_dict()[queries], source.state_dict()[queries][:3])
    assert differing(plain, source) == {"mp_decoder.nuclei"}


def test_a_file_without_names(make_network, tmp_path, caplog):
    """By position where the counts agree, new where they do not; sub-pixels on top."""
    caplog.set_level("INFO", "coseg_bundle")
    source = trained(make_network())
    network = make_network(HeadLayout(3), subpixel=2)
    start_from(network, written(source, tmp_path / "model.pt"), tissue_classes=["background", "tumour", "stroma"])
    assert "tissue classes background, tumour, stroma are new and start as the file's first class" in caplog.text
    same = make_network()
    start_from(same, tmp_path / "model.pt", tissue_classes=["background", "tumour"])
    assert differing(same, source) == set()


def test_released_files_too(make_network, tmp_path):
    source = trained(make_network(encoder={"lora_rank": 2}))
    about = About.of(source, tissue_classes=("background", "gland"), nuclei_classes=("background", "nucleus"), mpp=0.25)
    save_released(source, tmp_path / "model.pt", about.to_tensor())
    report = start_from(make_network(HeadLayout(5, 4)), tmp_path / "model.pt", nuclei_classes=["background", *"abcd"])
    assert report.unused == report.fresh == ()


def test_other_classes_where_they_must_be_the_same(make_network, tmp_path):
    file = written(trained(make_network()), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="cannot start this network"):
        start_from(make_network(HeadLayout(5)), file, same_classes=True)


def test_which_tasks_a_file_knows(make_network, tmp_path):
    network = make_network(HeadLayout(2, 2))
    names = {"tissue_classes": ("background", "gland"), "nuclei_classes": ("background", "a", "b"), "mpp": 0.25}
    for untrained in ((), ("tissue",)):
        said = About.of(network, **names, untrained=untrained).to_tensor()
        torch.save(network.state_dict() | {"about": said}, tmp_path / "model.pt")
        known = known_tasks(tmp_path / "model.pt", ["background", "gland"], ["background", "b", "a"])
        assert known == (["nuclei", "types"] if untrained else ["nuclei", "tissue", "types"])
    assert known_tasks(tmp_path / "model.pt", ["background", "fat"], ["background", "a", "c"]) == ["nuclei"]
    plain = written(make_network(), tmp_path / "plain.pt")
    assert known_tasks(plain, ["background", "fat"], ["background", "nucleus"]) == ["nuclei", "tissue"]
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pt")
    assert known_tasks(tmp_path / "x.pt", [], []) == []
