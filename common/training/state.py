"""What a training run has learned so far, and how it is saved in the run folder and restored."""

import math

from common import UserError
from common.arguments import error_text
from common.models.averaging import MovingAverage
from common.training import checkpoints, folder, page, resuming
from common.training.progress import Progress

import numpy as np

NOT_RECORDED = ("out", "resume", "overwrite", "gpus")  # in run.json


class State:
    """Models, random numbers and progress of one run, and the files that hold them.

    On a machine that is not the first of several, nothing is written.

    Args:
        parser: the command line of the script; `name` is that of the script.
        arguments: the arguments on the command line.
        data: source, number and SHA-256 of the images, as in run.json.
        devices: the `Devices` of the run.
        rng: the numpy Generator for all random numbers in training.

    Attributes:
        about: what is saved in the file of a generator besides the model, such as `class_names`.
        models: all models that are called in training, by name; empty until `set_models`.
        average: the `MovingAverage` of the models that are saved.
        progress: the `Progress`.
        saved: the progress at the newest checkpoint, in words.
    """

    def __init__(self, parser, arguments, data, devices, rng):
        self.name, self.prog, self.folder = parser.name, parser.prog, arguments.out
        self.arguments, self.data, self.rng, self._devices = arguments, data, rng, devices
        self.about = {"script": self.name}
        self.models, self.average, self.progress = {}, None, Progress()
        self.saved = str(self.progress)

    def set_data(self, dataset, loader):
        """Set the images. Raises UserError for wrong labels, or other images than before."""
        labels, n_classes = getattr(dataset, "labels", None), len(dataset.class_names)
        if labels is not None and n_classes and not np.isin(labels, np.arange(n_classes)).all():
            raise UserError(
                f"the labels from {dataset.source} go from {labels.min()} to {labels.max()}, and "
                f"there are {n_classes} classes: they must be integers from 0 to {n_classes - 1}"
            )
        digest, before = dataset.sha256(), self.data
        if before.get("sha256") not in (None, digest):
            raise UserError(
                f"the images from {dataset.source} are not those that the run in {self.folder} "
                f"began with: {before.get('images')} from {before.get('source')}"
            )
        self.data = {"source": dataset.source, "images": len(dataset.images), "sha256": digest}
        self.data["loader"] = getattr(loader, "__name__", None)
        for name in ("class_names", "colours", "numbered_from"):
            if hasattr(dataset, name):
                self.about[name] = np.asarray(getattr(dataset, name)).tolist()

    def set_models(self, models):
        """Set the models of the run, and begin to average those that are saved."""
        self.models = models
        saved = [models[name] for name in folder.SAVED_MODELS if name in models]
        self.average = MovingAverage(*saved, decay=self.arguments.average_decay)
        self._in_checkpoint = models | {"average": self.average}
        self._learning_rates = checkpoints.learning_rates(models)

    def is_finite(self):
        """Whether no variable of the models is NaN or infinite."""
        return checkpoints.is_finite(self.models)

    def averaged_models(self):
        """The averaged copies of the models that are saved, by name."""
        names = [name for name in folder.SAVED_MODELS if name in self.models]
        return {name: self.average.of(self.models[name]) for name in names}

    def save_samples(self, epoch, images, titles):
        """Write a sample picture of images in the pixel range, with a title for each column."""
        low, high = self.about["pixel_range"]
        if self._devices.is_first:
            images = (np.asarray(images) - low) / (high - low)
            folder.save_samples(self.folder, epoch, images, len(titles) or 10, titles)

    def save_results(self):
        """Write the averaged models, the table of figures and the curves."""
        if self._devices.is_first:
            folder.save_models(self.folder, self.averaged_models(), self.about)
            folder.save_figures(self.folder, self.progress.history, self.progress.quality)

    def save_checkpoint(self):
        """Write everything that --resume needs."""
        if self._devices.is_first:
            state = folder.origin(self.name) | {
                "run": resuming.identity(self.arguments, self.data),
                "progress": vars(self.progress),
                "rng": self.rng.bit_generator.state,
                "learning_rates": self._learning_rates,
            }
            checkpoints.save(self.folder / "checkpoint.npz", self._in_checkpoint, state)
        self.saved = str(self.progress)

    def restore(self):
        """Restore the state of the checkpoint, which the first machine reads for all of them.

        Returns a line for each learning rate that the script now gives another value. Raises
        UserError if the checkpoint is damaged, or is not one of this run.
        """
        path = self.folder / "checkpoint.npz"
        expected = resuming.identity(self.arguments, self.data)

        def read():
            if not path.exists():  # the run was stopped before its first checkpoint
                return None
            check = resuming.check_state(self.name, expected, self.folder)
            try:
                arrays, state = checkpoints.read(path, self._in_checkpoint, check)
            except UserError as problem:
                raise UserError(f"{problem}; {folder.START_ANEW}") from None
            checkpoints.restore(self._in_checkpoint, arrays)
            return state

        state = self._devices.from_first(read)
        if state is None:
            return []
        try:
            self.progress = Progress.from_json(state["progress"])
            self.rng.bit_generator.state = state["rng"]
            began = dict(state.get("learning_rates", {}))
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is damaged: {problem}; {folder.START_ANEW}") from None
        if self._devices.addresses:
            checkpoints.copy_from_first(self._in_checkpoint, self._devices)
        self.saved = str(self.progress)
        self.arguments.epochs = max(self.arguments.epochs, self.progress.epochs)
        return list(self._keep_learning_rates(began))

    def _keep_learning_rates(self, began):
        """Give the optimizers the learning rates of the script where these have been edited.

        The variables of a checkpoint include the learning rates. `began` are those that the script
        had when it was saved, so a rate that the training itself has changed stays.
        """
        for name, rate in self._learning_rates.items():
            optimizer = checkpoints.optimizer_of(self.models[name])
            before = began.get(name, float(optimizer.learning_rate))
            if not math.isclose(before, rate, rel_tol=1e-6):
                optimizer.learning_rate = rate
                yield f"The learning rate of `{name}` is now {rate:g}; it was {before:g}."

    def write_record(self):
        """Write run.json."""
        if self._devices.is_first:
            folder.write_record(self.folder, self._record())

    def write_page(self, state="running", message=""):
        """Write index.html. `state` is one of `page.STATES`; `message` says why the run ended."""
        if self._devices.is_first:
            record = self._record()
            record["data"] = self.data | {"classes": self.about.get("class_names")}
            with folder.by_product():
                page.write(self.folder, self.prog, record, self.progress, state, message)

    def write_last_page(self, problem):
        """Write index.html at the end of a run; `problem` is the exception that ended it."""
        if problem is None:
            self.write_page("finished")
        elif isinstance(problem, KeyboardInterrupt):
            self.write_page("stopped", f"Stopped with {self.saved} saved.")
        else:
            self.write_page("failed", error_text(problem))

    def resume_hint(self):
        """What is saved, and the command that resumes the run."""
        options = ["--gpus", str(self.arguments.gpus)] if self.arguments.gpus else []
        command = resuming.command(self.prog, self.folder, *options)
        if not self._devices.addresses:
            return f"with {self.saved} saved in {self.folder}; go on with: {command}"
        first = self._devices.is_first
        saved = f"{self.saved} saved in {self.folder}" if first else "what the first machine saved"
        return f"with {saved}; go on with: {command} (on all machines)"

    def _record(self):
        kept = {k: v for k, v in vars(self.arguments).items() if k not in NOT_RECORDED}
        return folder.origin(self.name) | {
            "arguments": {name.replace("_", "-"): value for name, value in kept.items()},
            "data": self.data,
            "epochs_finished": self.progress.epochs,
            "seconds": round(self.progress.seconds, 1),
        }
