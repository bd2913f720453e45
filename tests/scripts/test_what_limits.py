import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image


def test_pixels_go_to_the_nearest_nucleus(script):
    instances = np.array([[0, 1, 0, 0, 0, 7, 0]])
    mask = np.array([[1, 1, 1, 0, 1, 0, 1]], bool)
    assert script.divided(mask, instances).tolist() == [[1, 1, 1, 0, 7, 0, 7]]
    assert not script.divided(mask, np.zeros_like(instances)).any()


def test_outlines_that_hold_several_nuclei(script):
    truth = np.array([[1, 1, 1, 2, 2, 2, 0, 5, 5, 5, 5, 8, 8]])
    found = np.array([[3, 3, 3, 3, 3, 3, 3, 4, 4, 0, 0, 4, 4]])  # only half of 5 lies in outline 4
    assert script.held_together(found, truth) == (1, 2)
    assert script.held_together(np.zeros_like(found), truth) == (0, 0)
    assert script.held_together(truth, truth) == (0, 0)
    assert script.held_together(np.ones_like(found), truth) == (1, 4)


def test_each_fault_has_its_own_row(script, tmp_path):
    """Two touching nuclei found as one: the mask is right, the division is not."""
    truth = np.zeros((20, 30), np.int32)
    truth[5:15, 5:15], truth[5:15, 15:25] = 1, 2
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(tmp_path / "image.png")
    np.save(tmp_path / "label.npy", truth)
    merged = SimpleNamespace(predict=lambda rgb, mpp: SimpleNamespace(instance_map=(truth > 0).astype(np.int32)))
    item = {"image": str(tmp_path / "image.png"), "instances": str(tmp_path / "label.npy")}
    found, held = script.rows(merged, None, item)
    assert held == (1, 2)
    divided = found["the labels' nuclei, in the predicted mask"]
    assert [divided[name] for name in script.COLUMNS.values()] == [1, 1, 1, 1, 1]
    np.testing.assert_equal(found["as predicted"], found["the predicted nuclei, in the labels' mask"])
    assert found["as predicted"]["nuclei_pq"] == 0  # an overlap of a half matches nothing
    assert found["as predicted"]["nuclei_dice"] == 1


def test_the_first_decoding_takes_the_place_of_the_second(script):
    network = torch.nn.Module()
    network.forward = lambda image, return_prior: (torch.zeros(1, 7, 2, 2), torch.ones(1, 3, 2, 2))
    assert script.FirstDecoding(network)(torch.zeros(1, 3, 2, 2)).mean((0, 2, 3)).tolist() == [1, 1, 1, 0, 0, 0, 0]


def test_a_section_that_is_not_there(script, tmp_path, monkeypatch):
    (tmp_path / "list.json").write_text('{"training": []}')
    monkeypatch.setattr(sys, "argv", ["what_limits.py", str(tmp_path / "list.json"), "--section", "testing"])
    with pytest.raises(SystemExit, match="testing"):
        script.main()
