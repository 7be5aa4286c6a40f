"""How far a training run is, and how that is shown in the terminal."""

import contextlib
import dataclasses
import math
import os
import shutil
import sys
import time

from common.backend import keras
from common.notebooks import CellStopped, in_notebook


@dataclasses.dataclass
class Progress:
    """Counts and figures of a run. A checkpoint holds them besides the variables of the models.

    The rows of `history` and `quality` have a number for each finished epoch, or None for an epoch
    that has none.
    """

    epochs: int = 0  # finished epochs
    steps: int = 0  # finished steps of the next epoch
    sums: dict = dataclasses.field(default_factory=dict)  # of each value: total, how many times
    history: dict = dataclasses.field(default_factory=dict)  # the mean of each value by epoch
    quality: dict = dataclasses.field(default_factory=dict)  # figures of the generated images
    seconds: float = 0.0  # time spent on training

    @classmethod
    def from_json(cls, stored):
        """The reverse of `vars(progress)`. Raises an exception if `stored` is not like that."""
        progress = cls(**stored)
        rows = [*progress.history.values(), *progress.quality.values()]
        if {len(row) for row in rows} - {progress.epochs} or min(
            progress.epochs, progress.steps
        ) < 0:
            raise ValueError("its progress: the numbers do not fit together")
        return progress

    def add(self, values):
        """Add the values of a step, a dict, to the sums."""
        for name, value in values.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = [total + float(value), count + 1]

    def means(self):
        """The mean of each value that has been added in this epoch."""
        return {name: total / count for name, (total, count) in self.sums.items()}

    def end_epoch(self, values, quality):
        """Record the values and the quality of an epoch; `quality` is {} if not measured."""
        for table, new in ((self.history, values), (self.quality, quality)):
            for name in table | new:
                value = float(new.get(name, math.nan))
                row = table.setdefault(name, [None] * self.epochs)
                row.append(value if math.isfinite(value) else None)
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


class Stopwatch:
    """Measures the time of a training, without pauses."""

    def __init__(self):
        self._clock, self._processor = time.monotonic(), time.process_time()

    def lap(self):
        """The seconds since the last call, at most ten times as many as a processor has worked.

        So the time is left out in which a signal has stopped the process, or a laptop has slept.
        """
        began, used = self._clock, self._processor
        self._clock, self._processor = time.monotonic(), time.process_time()
        return min(self._clock - began, 10 * (self._processor - used))


def in_words(seconds):
    """A duration in words, such as "5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _with_plural(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"


def can_redraw():
    """Whether standard output is a terminal or a notebook, where a line can be redrawn."""
    return in_notebook() or (bool(sys.stdout) and sys.stdout.isatty())


@contextlib.contextmanager
def _if_there():
    """A `with` block that prints. A training goes on without standard output, as after `| head`."""
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or problem
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        warn(f"Standard output cannot be written ({reason}): the training goes on without it.")


def say(text):
    """Print a line, if that is possible."""
    with _if_there():
        print(text, flush=True)


def warn(text):
    """Print a line on stderr, if there is one."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def end(status, message):
    """End the program with a line on stderr; in a notebook, only the cell."""
    if in_notebook():
        raise CellStopped(message)
    warn(message)
    raise SystemExit(status)


def progress_bar(progress, epochs, count, shown=True):
    """A function that shows a finished step and means, where a line can be redrawn."""
    if not shown or not can_redraw():
        return lambda step, means: None
    left = f", {progress.time_left(epochs)} left" if progress.epochs else ""
    say(f"Epoch {progress.epochs + 1}/{epochs}{left}")
    bar = keras.utils.Progbar(count, width=5)
    # A line that is longer than the terminal is wide cannot be redrawn: the first means alone.
    room = shutil.get_terminal_size().columns - len("468/468 ━━━━━ 1:00:00 999ms/step")
    most = max(0, room // len(" - d_loss_real: 0.1234"))

    def show(step, means):
        bar.stateful_metrics = means  # these are means already: show them as they are
        with _if_there():
            bar.update(step, [*means.items()][: None if step == count else most])

    return show
