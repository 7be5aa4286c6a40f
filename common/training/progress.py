"""How far a training run has come, and how that is shown."""

import dataclasses
import shutil
import sys

from common import UserError
from common.backend import keras


@dataclasses.dataclass
class Progress:
    """Counts and losses of a run; together with all variables it is what a checkpoint holds."""

    epochs: int = 0  # finished ones
    steps: int = 0  # of the epoch after those
    sums: dict = dataclasses.field(default_factory=dict)  # of each loss, over these steps
    history: dict = dataclasses.field(default_factory=dict)  # of each loss, a mean for each epoch
    quality: dict = dataclasses.field(default_factory=dict)  # likewise; None where not measured
    seconds: float = 0.0  # spent on training

    @classmethod
    def from_json(cls, stored):
        """The same from what `dataclasses.asdict` gave. Raises UserError if it is none of that."""
        try:
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
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"its progress: {problem}") from None
        rows = [*progress.history.values(), *progress.quality.values()]
        complete = all(len(row) == progress.epochs for row in rows)
        if not complete or min(progress.epochs, progress.steps) < 0:
            raise UserError("its progress: the numbers do not fit together")
        return progress

    def add(self, losses):
        """Take the losses of a step."""
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(loss)

    def means(self):
        """The mean of each loss over the steps of this epoch so far."""
        return {name: total / self.steps for name, total in self.sums.items()}

    def end_epoch(self, means, quality):
        """Begin the next epoch, with `means` and, if it was measured, `quality` of the last."""
        for name, mean in means.items():
            self.history.setdefault(name, []).append(float(mean))
        for name in self.quality | quality:
            row = self.quality.setdefault(name, [None] * self.epochs)
            row.append(quality.get(name))
        self.epochs, self.steps, self.sums = self.epochs + 1, 0, {}

    def summary(self, epochs):
        """A line about the newest epoch of so many."""
        newest = {name: row[-1] for name, row in (self.history | self.quality).items()}
        shown = ", ".join(
            f"{name} {value:.3f}" for name, value in newest.items() if value is not None
        )
        return f"epoch {self.epochs}/{epochs}: {shown}; {self.time_left(epochs)} left"

    def time_left(self, epochs):
        """About how long it takes to come to so many epochs, in words."""
        return in_words((epochs - self.epochs) * self.seconds / self.epochs)

    def __str__(self):
        steps = f" and {_counted(self.steps, 'step')}" if self.steps else ""
        return _counted(self.epochs, "epoch") + steps


def in_words(seconds):
    """A length of time as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def is_terminal():
    """Whether somebody looks at what is printed."""
    return bool(sys.stdout) and sys.stdout.isatty()


class Bar:
    """A line for the steps of an epoch that a terminal redraws; nothing at all when piped."""

    def __init__(self, progress, epochs, count):
        self._count, self._bar = count, None
        if is_terminal():
            left = f", {progress.time_left(epochs)} left" if progress.epochs else ""
            print(f"Epoch {progress.epochs + 1}/{epochs}{left}")
            self._bar = keras.utils.Progbar(count, width=5)

    def show(self, step, means):
        """Show that a step is done, with the means of the losses so far."""
        if self._bar:
            self._bar.stateful_metrics = means  # so it calls values that are means already
            shown = means.items() if step == self._count else _as_many_as_fit(means)
            self._bar.update(step, shown)


def _as_many_as_fit(means):
    """The first means that a line of the terminal has room for: a longer line cannot be redrawn."""
    room = shutil.get_terminal_size().columns - len("468/468 ━━━━━ 1:00:00 999ms/step")
    for name, mean in means.items():
        room -= len(f" - {name}: 0.1234")
        if room < 0:
            return
        yield name, mean


def _counted(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"
