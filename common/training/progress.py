"""The progress of a training run, and how it is shown in the terminal."""

import dataclasses
import shutil
import sys

from common.backend import keras


@dataclasses.dataclass
class Progress:
    """Counts and losses of a run. A checkpoint holds them besides the variables of the models."""

    epochs: int = 0  # finished epochs
    steps: int = 0  # finished steps of the next epoch
    sums: dict = dataclasses.field(default_factory=dict)  # of each loss over these steps
    history: dict = dataclasses.field(default_factory=dict)  # a list for each loss: epoch means
    quality: dict = dataclasses.field(default_factory=dict)  # the same; None if not measured
    seconds: float = 0.0  # time spent on training

    @classmethod
    def from_json(cls, stored):
        """The reverse of `vars(progress)`. Raises an exception if `stored` is not like that."""
        progress = cls(
            int(stored["epochs"]),
            int(stored["steps"]),
            {str(name): float(value) for name, value in stored["sums"].items()},
            {str(name): list(map(float, row)) for name, row in stored["history"].items()},
            {
                str(name): [None if value is None else float(value) for value in row]
                for name, row in stored.get("quality", {}).items()
            },
            float(stored["seconds"]),
        )
        rows = [*progress.history.values(), *progress.quality.values()]
        complete = all(len(row) == progress.epochs for row in rows)
        if not complete or min(progress.epochs, progress.steps) < 0:
            raise ValueError("its progress: the numbers do not fit together")
        return progress

    def add(self, losses):
        """Add the losses of a step to the sums."""
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(loss)

    def means(self):
        """The mean of each loss over the steps of this epoch so far."""
        return {name: total / self.steps for name, total in self.sums.items()}

    def end_epoch(self, means, quality):
        """Record the mean losses and the quality of an epoch; `quality` is {} if not measured."""
        for name, mean in means.items():
            self.history.setdefault(name, []).append(float(mean))
        for name in self.quality | quality:
            row = self.quality.setdefault(name, [None] * self.epochs)
            row.append(quality.get(name))
        self.epochs, self.steps, self.sums = self.epochs + 1, 0, {}

    def summary(self, epochs):
        """A line about the newest epoch; `epochs` is the number of epochs in all."""
        newest = {name: row[-1] for name, row in (self.history | self.quality).items()}
        shown = ", ".join(
            f"{name} {value:.3f}" for name, value in newest.items() if value is not None
        )
        return f"epoch {self.epochs}/{epochs}: {shown}; {self.time_left(epochs)} left"

    def time_left(self, epochs):
        """The estimated time until `epochs` epochs are finished, in words."""
        return in_words((epochs - self.epochs) * self.seconds / self.epochs)

    def __str__(self):
        steps = f" and {_with_plural(self.steps, 'step')}" if self.steps else ""
        return _with_plural(self.epochs, "epoch") + steps


def in_words(seconds):
    """A duration in words, such as "5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def is_terminal():
    """Whether standard output is a terminal."""
    return bool(sys.stdout) and sys.stdout.isatty()


class Bar:
    """The progress bar of an epoch. It is shown only in a terminal, which can redraw it."""

    def __init__(self, progress, epochs, count, shown=True):
        self._count, self._bar = count, None
        if shown and is_terminal():
            left = f", {progress.time_left(epochs)} left" if progress.epochs else ""
            print(f"Epoch {progress.epochs + 1}/{epochs}{left}")
            self._bar = keras.utils.Progbar(count, width=5)

    def show(self, step, means):
        """Show that `step` is finished, and the means of the losses so far."""
        if self._bar:
            self._bar.stateful_metrics = means  # these are means already: show them as they are
            shown = means.items() if step == self._count else _as_many_as_fit(means)
            self._bar.update(step, shown)


def _as_many_as_fit(means):
    """The first means that fit into a line of the terminal: a longer line cannot be redrawn."""
    room = shutil.get_terminal_size().columns - len("468/468 ━━━━━ 1:00:00 999ms/step")
    for name, mean in means.items():
        room -= len(f" - {name}: 0.1234")
        if room < 0:
            return
        yield name, mean


def _with_plural(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"
