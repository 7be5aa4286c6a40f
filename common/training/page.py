"""Writing index.html, a page with the pictures, curves and settings of a run, for a browser.

The page needs no server and no network. It refers to the pictures in the run folder by relative
paths, so that the folder can be moved. The layout and the JavaScript of the page are in page.html,
a template with {{names}} that are filled in here.
"""

import contextlib
import html
import json
import math
import re
import shlex
import time
from pathlib import Path

from common import plotting
from common.files import find_samples, sample_path, write_text
from common.training import resuming
from common.training.progress import in_words

from PIL import Image

# Read only once, so that a change of the template does not affect a run that is in progress.
TEMPLATE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
MAX_POINTS = 1000  # in a curve
STATES = {
    "running": "running",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "ended by an error",
}


def write(folder, record, progress, state="running", message=""):
    """Write the index.html of a run folder, which is replaced in one step.

    Args:
        folder: the run folder.
        record: the content of run.json, a dict with script, versions, arguments and data.
        progress: the `Progress` of the run.
        state: a key of `STATES`. In the state "running" the page keeps reloading itself.
        message: a sentence about that state, such as the error that ended the run.

    Raises OSError if the file cannot be written.
    """
    pictures = [epoch for epoch in find_samples(folder) if epoch <= progress.epochs]
    epochs = max(record["arguments"]["epochs"], progress.epochs)
    values = {
        "title": _text(f"{progress.epochs}/{epochs} {record['script']}"),
        "name": _text(record["script"]),
        "state": state,
        "state_in_words": STATES[state],
        "finished": progress.epochs,
        "epochs": epochs,
        "percent": f"{100 * progress.epochs / epochs:.1f}",
        "summary": _text(_summary(progress, epochs, state)),
        "message": _text(message),
        "samples": _samples(folder, pictures, state),
        "commands": "".join(
            f"<div><h2>{aim}</h2><pre>{_text(command)}</pre></div>\n"
            for aim, command in _commands(folder, record["script"], progress, state)
        ),
        "facts": _facts(folder, record),
        "json": _numbers(record, progress, pictures, state),
    }
    # All names are replaced in one pass, so that a {{name}} inside a value is not replaced.
    page = re.sub(r"\{\{(\w+)\}\}", lambda name: str(values[name[1]]), TEMPLATE)
    # If the name of a folder is not valid UTF-8, Python represents it by surrogates, which cannot
    # be written to a file.
    write_text(folder / "index.html", page.encode("utf-8", "replace").decode("utf-8"))


def _text(value):
    return html.escape(str(value))


def _summary(progress, epochs, state):
    steps = f" and {progress.steps} steps of the next" if progress.steps else ""
    parts = [f"{progress.epochs} of {epochs} epochs{steps}"]
    if progress.seconds:
        parts.append(f"{in_words(progress.seconds)} spent")
    if state == "running" and progress.epochs:
        parts.append(f"about {progress.time_left(epochs)} left")
    return ", ".join(parts) + "."


def _samples(folder, pictures, state):
    if not pictures:
        when = ": the first comes at the end of an epoch" if state == "running" else ""
        return f"<p>There is no picture yet{when}.</p>"
    last, newest = len(pictures) - 1, pictures[-1]
    path, size = sample_path(folder, newest), ""
    with contextlib.suppress(OSError), Image.open(path) as image:
        # With its size given, the page does not jump when the picture is loaded.
        size = ' width="{}" height="{}"'.format(*image.size)
    return f"""<img id="picture" src="samples/{path.name}" alt="Samples after epoch {newest}"{size}>
    <div class="controls">
      <button id="play" type="button">Play</button>
      <input id="slider" type="range" min="0" max="{last}" value="{last}" autocomplete="off"
             aria-label="epoch">
      <output id="epoch" for="slider">epoch {newest}</output>
    </div>
    <p class="faint">Always the same latents. <kbd>←</kbd> <kbd>→</kbd> for the epoch before and
    after, <kbd>space</kbd> to play; a click on a curve goes to that epoch.</p>"""


def _commands(folder, script, progress, state):
    """Yield pairs of a purpose and the command for it."""
    if state == "finished":
        more = resuming.command(script, folder, "--epochs", str(2 * progress.epochs))
        yield "Train for longer", more
    else:
        yield (
            "Resume it, should it stop" if state == "running" else "Resume it",
            resuming.command(script, folder),
        )
    if progress.epochs:
        generate = ["python", "generate.py", "--model", str(folder / "generator.keras")]
        yield "Draw pictures", shlex.join(generate)
        yield "Animate these pictures", shlex.join([*generate, "--learning"])
        yield "Play with it", shlex.join(["python", "explore.py", *generate[2:]])


def _facts(folder, record):
    arguments = {f"--{name}": value for name, value in record["arguments"].items()}
    data = {
        name: value[:12] if name == "sha256" else value for name, value in record["data"].items()
    }
    groups = {
        "Arguments": {"--out": folder} | arguments,
        "Data": data,
        "Versions": record["versions"],
    }
    return "\n".join(_group(title, facts) for title, facts in groups.items())


def _group(title, facts):
    rows = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(_in_words(value))}</dd>\n"
        for name, value in facts.items()
        if value is not None
    )
    return f"<div><h2>{title}</h2><dl>\n{rows}</dl></div>"


def _in_words(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _numbers(record, progress, pictures, state):
    """The data for the JavaScript of the page, as JSON that is safe inside HTML."""
    curves = progress.history | progress.quality
    every = max(1, math.ceil(progress.epochs / MAX_POINTS))
    shown = range(progress.epochs, 0, -every)[::-1] if curves else []
    panels = [
        {
            name: [_newest(curves[name][max(0, end - every) : end]) for end in shown]
            for name in panel
        }
        for panel in (*_panels(progress.history), *([name] for name in progress.quality))
    ]
    # The page is written after each epoch, and at each checkpoint within an epoch. These are the
    # seconds until the page reloads itself, and until it says that there is no news.
    wait = 60 * record["arguments"]["checkpoint-minutes"]
    reload_after = 5
    if progress.epochs:
        epoch = progress.seconds / progress.epochs
        wait, reload_after = min(wait, epoch), min(max(2, epoch / 4), 30)
    numbers = {
        "epochs": list(shown),
        "panels": panels,
        "pictures": pictures,
        "running": state == "running",
        "written": round(time.time(), 1),
        "reload_after": reload_after,
        "silent_after": 3 * wait + 120,
    }
    return json.dumps(numbers, separators=(",", ":")).replace("<", "\\u003c")


def _panels(history):
    """Yield the names of the curves in each plot. Losses and accuracies are in separate plots."""
    for names in plotting.panels(history):
        accuracies = [name for name in names if "accuracy" in name]
        yield from filter(None, ([name for name in names if name not in accuracies], accuracies))


def _newest(values):
    """The last value that was measured, rounded; None if none was."""
    measured = [value for value in values if value is not None and math.isfinite(value)]
    return float(f"{measured[-1]:.5g}") if measured else None
