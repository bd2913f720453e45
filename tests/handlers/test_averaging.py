import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from coseg_bundle.handlers import MovingAverage


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        return self.layers(x)


def run(network, *averages, iterations=8):
    """Iterations that change all weights and buffers; the momenta of the first average."""
    generator = torch.Generator().manual_seed(0)
    momenta = []

    def step(engine, batch):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        network.train()(torch.randn(5, 4, generator=generator))  # moves the means of the batch norm
        network.steps += 1

    engine = Engine(step)
    for number, average in enumerate(averages):
        average.attach(engine, "ema_momentum", warn_if_exists=number == 0)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: momenta.append(e.state.ema_momentum))
    engine.run(range(iterations), max_epochs=1)
    return momenta


def test_two_steps_by_hand():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = MovingAverage(network, momentum=0.5)
    engine = Engine(lambda _, value: nn.init.constant_(network.weight, value))
    average.attach(engine)
    seen = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: seen.append(average.ema_model.weight.item()))
    engine.run([1.0, 2.0])
    assert seen == [0.5, 1.25]  # half of 0 and of 1; half of that and of 2


def test_a_training_begins_with_the_weights_of_its_start():
    """Who builds it, and then loads weights, released the average of fresh ones."""
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, momentum=0.5)
    nn.init.constant_(network.weight, 8.0)
    engine = Engine(lambda _, value: nn.init.constant_(network.weight, value))
    average.attach(engine)
    engine.run([0.0])
    assert average.ema_model.weight.item() == 4.0  # half of 8 and of 0


def test_a_resumed_training_keeps_its_average():
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, momentum=0.5)
    engine = Engine(lambda _, value: nn.init.constant_(network.weight, value))

    @engine.on(Events.STARTED)
    def resume(engine):
        nn.init.constant_(average.ema_model.weight, 2.0)
        nn.init.constant_(network.weight, 100.0)
        engine.state.iteration, engine.state.epoch = 3, 1

    average.attach(engine)
    engine.run([0.0, 0.0, 0.0], max_epochs=2)
    assert average.ema_model.weight.item() == 2 / 2**3


def test_equals_ignites():
    network = Network()
    options = {"momentum": 0.01, "momentum_warmup": 0.3, "warmup_iters": 5}
    ours, theirs = MovingAverage(network, **options), EMAHandler(network, **options)
    start = [parameter.detach().clone() for parameter in network.parameters()]
    momenta = run(network, ours, theirs)
    assert momenta[0] > momenta[2] > momenta[-1] == 0.01
    for found, expected, first in zip(ours.ema_model.parameters(), theirs.ema_model.parameters(), start, strict=True):
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, first)


def test_equals_ignites_without_a_warm_up():
    network = Network()
    ours, theirs = MovingAverage(network, momentum=0.2), EMAHandler(network, momentum=0.2)
    assert set(run(network, ours, theirs)) == {0.2}
    for found, expected in zip(ours.ema_model.parameters(), theirs.ema_model.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_buffers_are_copies():
    network = Network()
    average = MovingAverage(network, momentum=0.1)
    run(network, average, iterations=3)
    buffers = dict(average.ema_model.named_buffers())
    assert buffers["steps"].item() == buffers["layers.1.num_batches_tracked"].item() == 3
    assert buffers["layers.1.running_mean"].any()
    for name, buffer in network.named_buffers():
        assert torch.equal(buffers[name], buffer)
        assert buffers[name].dtype == buffer.dtype
        assert buffers[name].data_ptr() != buffer.data_ptr()  # a later step leaves the released ones alone


def test_the_average_does_not_learn():
    network = Network()
    average = MovingAverage(network, momentum=0.1)
    run(network, average, iterations=1)
    assert not average.ema_model.training
    assert not any(parameter.requires_grad for parameter in average.ema_model.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
