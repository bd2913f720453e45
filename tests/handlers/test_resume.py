"""A training that is stopped anywhere and goes on is the training that was never stopped."""

import random
import signal

import pytest
from ignite.engine import Events
from tiny_training import EPOCHS, STEPS, Training, write_after_every_step


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return Training(tmp_path_factory.mktemp("undisturbed") / "last.pt").run()


TWENTY = sorted(random.Random(28).sample(range(1, EPOCHS * STEPS), 20))


@pytest.mark.parametrize("step", TWENTY)
def test_stopped_at_a_random_step(undisturbed, tmp_path, step):
    before = signal.getsignal(signal.SIGINT)
    first = Training(tmp_path / "last.pt", stop_at=step).run()
    assert signal.getsignal(signal.SIGINT) is before
    assert max(first.losses) == step  # the step in flight was the last
    second = Training(tmp_path / "last.pt").run()
    assert min(second.losses) == step + 1  # and nothing is done twice
    assert first.losses | second.losses == undisturbed.losses
    assert first.validations + second.validations == undisturbed.validations
    assert second.result() == undisturbed.result()


def test_stopped_again_and_again(undisturbed, tmp_path):
    losses = {}
    for step in [*TWENTY, None]:
        losses |= (last := Training(tmp_path / "last.pt", stop_at=step).run()).losses
    assert losses == undisturbed.losses
    assert last.result() == undisturbed.result()


@pytest.mark.parametrize("step", [2 * STEPS, 4 * STEPS])
def test_stopped_while_it_validates(undisturbed, tmp_path, step):
    first = Training(tmp_path / "last.pt", stop_at=step, validation_stop=True).run()
    assert len(first.validations) == step // (2 * STEPS) - 1  # that one was not finished
    second = Training(tmp_path / "last.pt").run()
    assert first.validations + second.validations == undisturbed.validations
    assert second.result() == undisturbed.result()


def test_checkpoints_by_time(undisturbed, tmp_path):
    """Killed without a word in the second epoch, with a checkpoint after every step."""
    killed = write_after_every_step(Training(tmp_path / "last.pt"))

    def kill(engine):
        raise SystemExit

    killed.engine.add_event_handler(Events.ITERATION_STARTED(once=9), kill)
    with pytest.raises(SystemExit):
        killed.run()
    killed.stop.restore()
    second = Training(tmp_path / "last.pt").run()
    assert min(second.losses) == 9
    assert killed.losses | second.losses == undisturbed.losses
    assert second.result() == undisturbed.result()


def test_it_says_so_once(tmp_path, caplog):
    caplog.set_level("INFO", "coseg_bundle")
    Training(tmp_path / "last.pt", stop_at=8).run()
    assert caplog.text.count("Stopped after step 8 of 24, saved: the same command goes on.") == 1
    caplog.clear()
    Training(tmp_path / "last.pt").run()
    assert caplog.text.count("in epoch 2, step 8.") == 1
    assert "Stopped" not in caplog.text


def test_a_fresh_run_says_which_command_goes_on(tmp_path, caplog):
    caplog.set_level("INFO", "coseg_bundle")
    Training(tmp_path / "last.pt", stop_at=2, fresh=True).run()
    assert "saved: without --fresh (resume: true) the same command goes on." in caplog.text


def test_longer_trainings_go_on(undisturbed, tmp_path):
    Training(tmp_path / "last.pt", epochs=2).run()
    assert Training(tmp_path / "last.pt").run().result() == undisturbed.result()
