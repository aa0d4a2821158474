"""A training that is killed and goes on: in the end it must have the numbers of one that was never interrupted."""

import pytest
import torch


class Killed(Exception):
    pass


def check_resumes(fit, checkpoint, saves=1):
    """Train without interruption; then with a checkpoint, killed after so many saved epochs, and resumed.

    Parameters
    ----------
    fit : callable(checkpoint=None, callback=None) -> model
        A training with everything else filled in, say by `functools.partial`. The callback is called after each
        epoch, when that epoch is saved. The model has a ``history`` and a ``state_dict``.
    checkpoint : path
    saves : int

    Returns
    -------
    The resumed model. Its history and its parameters equal those of the uninterrupted one, bit by bit.
    """
    points = []

    def kill(point):
        points.append(point)
        if len(points) == saves:
            raise Killed

    uninterrupted = fit()
    with pytest.raises(Killed):
        fit(checkpoint=checkpoint, callback=kill)
    assert len(uninterrupted.history) > saves, "nothing is left to resume"
    trained = []
    resumed = fit(checkpoint=checkpoint, callback=trained.append)
    assert [*points, *trained] == resumed.history == uninterrupted.history  # no epoch is trained twice
    tensors = resumed.state_dict()
    assert tensors.keys() == uninterrupted.state_dict().keys()
    for name, tensor in uninterrupted.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    return resumed
