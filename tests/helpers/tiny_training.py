"""A tiny training with everything random that a real one has, to be stopped and killed."""

import os
import random
import signal

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch.utils.data import DataLoader, Dataset

from coseg_bundle.data.sampling import DatasetSampler
from coseg_bundle.handlers import EpochSeedHandler, LastCheckpointHandler, MovingAverage, ResumeHandler, StopSignals

EPOCHS, STEPS, BATCH = 4, 6, 3


class Draws(Dataset):
    """The number of an item, moved by the seed of its draw."""

    def __len__(self):
        return 5

    def __getitem__(self, draw):
        index, seed = draw
        return torch.tensor([float(index), np.random.default_rng(seed).random(), 1.0, 0.5])


class Training:
    """A tiny training with everything random that a real one has: draws, dropout, numpy, a moving average."""

    def __init__(self, path, stop_at=None, validation_stop=False, epochs=EPOCHS, fresh=False):
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        average = MovingAverage(self.network, 0.1, momentum_warmup=0.5, warmup_iters=15)
        self.average, self.stop, self.epochs = average.ema_model, StopSignals(), epochs
        self.stop_at, self.validation_stop = stop_at, validation_stop
        self.losses, self.validations = {}, []
        items = [{"dataset": "a"}] * 5
        sampler = DatasetSampler(items, STEPS * BATCH, seed=7, batch_size=BATCH)
        self.loader = DataLoader(Draws(), batch_size=BATCH, sampler=sampler)
        state = {"network": self.network, "optimizer": self.optimizer, "schedule": schedule, "ema": self.average}
        self.validator = Engine(self._validate)
        self.validator.state.best_metric, self.validator.state.best_metric_epoch = -1.0, -1
        self.validator.add_event_handler(Events.EPOCH_COMPLETED, self._score)
        self.engine = Engine(self._step)
        ResumeHandler(str(path), state, sampler=sampler, validator=self.validator).attach(self.engine)
        EpochSeedHandler(3, sampler).attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda _: self.validator.run([0, 1]))
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: schedule.step())
        LastCheckpointHandler(str(path), state, self.validator, stop=self.stop, fresh=fresh).attach(self.engine)
        average.attach(self.engine)

    def _step(self, engine, batch):
        self.optimizer.zero_grad()
        loss = (self.network(batch) + np.random.random() + random.random()).square().mean()
        loss.backward()
        self.optimizer.step()
        self.losses[engine.state.iteration] = loss.item()
        if engine.state.iteration == self.stop_at and not self.validation_stop:
            os.kill(os.getpid(), (signal.SIGINT, signal.SIGTERM)[self.stop_at % 2])
        return {"loss": loss}

    def _validate(self, engine, batch):
        if self.validation_stop and self.engine.state.iteration == self.stop_at and batch == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    def _score(self, engine):
        score = sum(float(p.sum()) for p in self.average.parameters())
        self.validations.append(score)
        if score > self.validator.state.best_metric:
            self.validator.state.best_metric, self.validator.state.best_metric_epoch = score, self.engine.state.epoch

    def run(self):
        self.engine.run(self.loader, max_epochs=self.epochs)
        return self

    def result(self):
        best = self.validator.state
        weights = [*self.network.state_dict().values(), *self.average.state_dict().values()]
        return [w.tolist() for w in weights], best.best_metric, best.best_metric_epoch


def write_after_every_step(training):
    """The same training with a checkpoint after each of its steps."""
    for handler, *_ in training.engine._event_handlers[Events.COMPLETED]:
        if isinstance(getattr(handler, "__self__", None), LastCheckpointHandler):
            handler.__self__.interval_s = 0.0
    return training
