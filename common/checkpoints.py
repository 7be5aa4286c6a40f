"""The whole state of a training run in one .npz file, read and written without pickle.

Neither a `.keras` file nor `tf.train.Checkpoint` holds the seeds of dropout layers, so a run that
goes on from those is not the run that was stopped. `model.variables` lists them.
"""

import json

from common import UserError
from common.files import replacing

import numpy as np

FORMAT = 1


def save(path, models, state):
    """Write all variables of the models and their optimizers, and `state` (JSON-like), to `path`.

    Raises OSError if the file cannot be written; an older file at `path` then stays.
    """
    arrays = {key: variable.numpy() for key, variable in _variables(models).items()}
    text = json.dumps({"format": FORMAT} | state)
    with replacing(path) as beside:
        np.savez(beside, state=np.frombuffer(text.encode(), np.uint8), **arrays)


def read(path, models):
    """Read what was saved for equally defined models: the arrays of their variables, the state.

    Raises UserError if the file is damaged or was saved for other models.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        state = json.loads(arrays.pop("state").tobytes())
    except Exception as problem:  # zipfile, zlib, numpy and json each have their own
        raise UserError(f"{path} is damaged: {problem}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of format {FORMAT}")
    expected = {key: tuple(variable.shape) for key, variable in _variables(models).items()}
    found = {key: array.shape for key, array in arrays.items()}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            raise UserError(
                f"{path} is of other models: {key} is {found.get(key, 'missing')} "
                f"where {expected.get(key, 'nothing')} is expected"
            )
    return arrays, state


def restore(models, arrays):
    """Put the arrays that `read` has found for these models into their variables."""
    for key, variable in _variables(models).items():
        variable.assign(arrays[key])


def _variables(models):
    """Name every variable once. The composite's own weights are those of its generator."""
    found, seen = {}, set()
    for name, model in models.items():
        variables = list(model.variables)
        if model.compiled:
            model.optimizer.build(model.trainable_variables)
            variables += model.optimizer.variables
        for number, variable in enumerate(variables):
            if id(variable) not in seen:
                seen.add(id(variable))
                found[f"{name}/{number:03d}"] = variable
    return found
