"""The whole state of a training run in one .npz file, read and written without pickle.

Neither a `.keras` file nor `tf.train.Checkpoint` holds the seeds of dropout layers, so a run that
goes on from those is not the run that was stopped. `model.variables` lists them.
"""

import json

from common import UserError
from common.files import replacing

import numpy as np

FORMAT = 1


def save(path, models, facts):
    """Write all variables of the models and their optimizers, and `facts` (JSON-like), to `path`.

    Raises OSError if the file cannot be written; an older file at `path` then stays.
    """
    arrays = {key: variable.numpy() for key, variable in _variables(models).items()}
    text = json.dumps({"format": FORMAT} | facts)
    with replacing(path) as beside:
        np.savez(beside, facts=np.frombuffer(text.encode(), np.uint8), **arrays)


def load(path, models):
    """Put the saved values into the variables of equally defined models; return the facts.

    Raises UserError if the file is damaged or was saved for other models; nothing is changed then.
    """
    variables = _variables(models)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        facts = json.loads(arrays.pop("facts").tobytes())
    except Exception as problem:  # zipfile, zlib, numpy and json each have their own
        raise UserError(f"{path} is damaged: {' '.join(str(problem).split())}") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of format {FORMAT}")
    expected = {key: tuple(variable.shape) for key, variable in variables.items()}
    found = {key: array.shape for key, array in arrays.items()}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            raise UserError(
                f"{path} is of other models: {key} is {found.get(key, 'missing')} "
                f"where {expected.get(key, 'nothing')} is expected"
            )
    for key, variable in variables.items():
        variable.assign(arrays[key])
    return facts


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
