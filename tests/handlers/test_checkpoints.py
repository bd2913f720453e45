import math
from types import SimpleNamespace

import pytest
import torch
from full_disk import file_size_limit
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser

from coseg_bundle.atomic import NoRoomError
from coseg_bundle.handlers import LastCheckpointHandler, ReleaseHandler, ResumeHandler
from coseg_bundle.networks import CheckpointError
from coseg_bundle.networks.checkpoints import read_state_dict

NAN = math.nan


class Training:
    """A tiny training with everything a resumed one needs; `stop_after` kills it."""

    def __init__(self, path, width=2):
        torch.manual_seed(0)
        self.network = torch.nn.Linear(width, 1)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.1)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.5)
        self.epochs = []
        state = {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule}
        self.engine = Engine(self._step)
        ResumeHandler(str(path), state).attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: torch.manual_seed(engine.state.epoch))
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: self.schedule.step())
        LastCheckpointHandler(str(path), state).attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: self.epochs.append(engine.state.epoch))

    def _step(self, engine, batch):
        self.optimizer.zero_grad()
        self.network(torch.rand(3, self.network.in_features)).sum().backward()
        self.optimizer.step()

    def run(self, max_epochs, stop_after=None):
        def kill(engine):
            if engine.state.epoch == stop_after:
                raise KeyboardInterrupt

        self.engine.add_event_handler(Events.EPOCH_COMPLETED, kill)
        try:
            self.engine.run(range(4), max_epochs=max_epochs)
        except KeyboardInterrupt:
            pass
        return self.network.weight.detach().clone()


def test_resumed_equals_uninterrupted(tmp_path):
    expected = Training(tmp_path / "a" / "last.pt").run(5)
    Training(tmp_path / "b" / "last.pt").run(5, stop_after=2)
    resumed = Training(tmp_path / "b" / "last.pt")
    assert torch.equal(resumed.run(5), expected)
    assert resumed.epochs == [3, 4, 5]
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["last.pt"]


def test_a_finished_training_stays_finished(tmp_path):
    done = Training(tmp_path / "last.pt").run(2)
    again = Training(tmp_path / "last.pt")
    assert torch.equal(again.run(2), done)
    assert again.epochs == []


def test_checkpoint_of_another_network(tmp_path):
    Training(tmp_path / "last.pt").run(1)
    with pytest.raises(CheckpointError, match=r"last.pt does not fit this configuration .*set resume to false"):
        Training(tmp_path / "last.pt", width=3).run(2)


def test_a_damaged_checkpoint(tmp_path):
    Training(tmp_path / "last.pt").run(1)
    content = (tmp_path / "last.pt").read_bytes()
    for damaged in (content[:-50], b"", content.replace(b"PK", b"XX")):
        (tmp_path / "last.pt").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"last.pt cannot be read \(.+\); set resume to false, or output_dir"):
            Training(tmp_path / "last.pt").run(2)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [([0.2, 0.5, 0.4], 2), ([NAN, NAN, NAN], 3), ([NAN, 0.1, NAN], 2), ([0.3, NAN, 0.2], 1), ([NAN, -0.1, -0.2], 2)],
)
def test_nothing_to_score_is_below_every_score(make_network, bundle_root, tmp_path, caplog, scores, kept):
    """MONAI keeps a first NaN for ever: no number is above it. Where all are NaN the last weights are kept."""
    config = ConfigParser.load_config_file(bundle_root / "configs" / "train.yaml")["validate"]["evaluator"]
    compare = ConfigParser({"fn": config["metric_cmp_fn"]}).get_parsed_content("fn")
    network = make_network()
    name, weight = next(iter(network.named_parameters()))
    state = SimpleNamespace(best_metric=-1, best_metric_epoch=-1, epoch=0)
    handler = ReleaseHandler(network, str(tmp_path / "model.pt"))
    for score in scores:  # as MONAI's workflow compares
        state.epoch += 1
        if state.best_metric_epoch == -1 or compare(score, state.best_metric):
            state.best_metric, state.best_metric_epoch = score, state.epoch
        with torch.no_grad():
            weight.fill_(state.epoch)
        handler(SimpleNamespace(state=state))
    assert read_state_dict(tmp_path / "model.pt")[name].unique().tolist() == [kept]
    assert caplog.text.count("have nothing to score, so the last weights are kept") == math.isnan(scores[0])


def test_only_the_best_is_released(tmp_path, make_network):
    network = make_network()
    engine = Engine(lambda *_: None)
    engine.state.best_metric, engine.state.best_metric_epoch = 0.5, 1
    engine.state_dict_user_keys.clear()
    ReleaseHandler(network, str(tmp_path / "model.pt")).attach(engine)
    engine.run([0], max_epochs=1)
    first = (tmp_path / "model.pt").read_bytes()
    with torch.no_grad():
        next(network.parameters()).add_(1)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda e: setattr(e.state, "best_metric_epoch", 1))
    engine.run([0], max_epochs=2)  # epoch 2 is no better
    assert (tmp_path / "model.pt").read_bytes() == first


def test_a_full_disk_is_said_with_the_checkpoint(tmp_path):
    """PyTorch's words were "unexpected pos", and the former checkpoint stays."""
    path = tmp_path / "last.pt"
    former = Training(path)
    former.run(1)
    content = path.read_bytes()
    with file_size_limit(2000), pytest.raises(NoRoomError, match=r"last\.pt: the results cannot be written there"):
        Training(path).run(2)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]
