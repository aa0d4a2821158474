"""A training that is killed and goes on: in the end it must have the numbers of one that was never interrupted."""

import pytest
import torch


class Killed(Exception):
    pass


def kill_and_resume(fit, checkpoint, at, resume=None):
    """Train with a checkpoint until so many epochs are reached, be killed, and go on.

    Parameters
    ----------
    fit : callable(checkpoint=None, callback=None) -> model
        A training with everything else filled in, say by `functools.partial`.
    checkpoint : path
    at : float
        A number of epochs, of all stages together; a fraction where the training reports within an epoch.
    resume : callable, optional
        What goes on, if not ``fit``.

    Returns
    -------
    The resumed model, and the points that the callback received before and after.
    """
    before, after = [], []

    def kill(point):
        before.append(point)
        if (sum("loss" in point for point in before) if "loss" in point else point["epoch"]) >= at:
            raise Killed

    with pytest.raises(Killed):
        fit(checkpoint=checkpoint, callback=kill)
    return (resume or fit)(checkpoint=checkpoint, callback=after.append), before, after


def check_resumes(fit, checkpoint, at=1):
    """Check that a killed training ends with the history and the parameters of an uninterrupted one, bit by bit.

    Parameters are those of `kill_and_resume`; the model has a ``history`` and a ``state_dict``. Returns the resumed
    model, and the points that the callback received after the kill.
    """
    uninterrupted = fit()
    assert len(uninterrupted.history) > at, "nothing is left to resume"
    resumed, before, after = kill_and_resume(fit, checkpoint, at)
    epochs = [point for point in before + after if "loss" in point]
    assert epochs == resumed.history == uninterrupted.history  # no epoch is trained twice
    tensors = resumed.state_dict()
    assert tensors.keys() == uninterrupted.state_dict().keys()
    for name, tensor in uninterrupted.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    return resumed, after
