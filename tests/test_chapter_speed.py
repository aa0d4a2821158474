"""The loops that chapter-speed times: the same losses and gradients as the package, so that only the time differs."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from rnnbook import improved, joint, rrn
from rnnbook.benchmarks import chapter_speed, joint_cost
from rnnbook.benchmarks.peer_speed import clocked
from rnnbook.worlds import RatingWorld, SessionWorld


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gradients(model):
    return {name: p.grad.to_dense().clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal(found, wanted):
    """They differ by 1e-16 at most, as measured."""
    assert found.keys() == wanted.keys()
    for name, grad in wanted.items():
        assert grad.abs().max() > 1e-9, name  # or the comparison would say nothing
        torch.testing.assert_close(found[name], grad, rtol=1e-12, atol=1e-15, msg=name)


@pytest.mark.parametrize("loop", [chapter_speed.sessions_one_by_one, chapter_speed.prefixes_one_by_one])
def test_sessions_and_prefixes_one_by_one(loop):
    train = SessionWorld(n_items=30).sample(12)
    model = improved.new_model(train, replace(chapter_speed.IMPROVED, hidden_size=7, embedding_size=5), device="cpu")
    batch, _ = improved.Padded(train, "cpu").batch(np.arange(12))
    losses, found = [], []
    for loss_of in (improved.batch_loss, loop):
        model.zero_grad()
        loss = loss_of(model.train(), batch)
        loss.backward()
        losses.append(loss.item())
        found.append(gradients(model))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert_equal(*found)


@pytest.mark.parametrize("which", [0, 1])
def test_users_and_items_one_by_one(which):
    train = RatingWorld(n_users=9, n_items=6, n_steps=7).sample()
    model = rrn.new_model(train, replace(chapter_speed.RRN, hidden_size=5, dynamic_size=3), device="cpu")
    with torch.no_grad():  # so that a bias that is read counts
        for side in model.sides:
            side.bias.weight.add_(0.3 * (side.anchor.weight[:, :1] != 0))
    steps, losses, found = model.steps(train), [], []
    for dynamic_factors in (rrn.RRN.dynamic_factors, chapter_speed.sequences_one_by_one):
        model.zero_grad()
        with mock.patch.object(rrn.RRN, "dynamic_factors", dynamic_factors):
            with torch.no_grad():
                fixed = model.factors_at_all_steps(model.sides[1 - which], steps[1 - which])
            owners = np.arange((9, 6)[which])
            cold = torch.zeros(len(owners), dtype=torch.bool)
            batch = rrn.batch_of(model.train(), which, owners, train, steps, fixed, cold)
            loss, _ = rrn.batch_loss(model, train, steps, batch)
        loss.backward()
        losses.append(loss.item())
        found.append(gradients(model))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert_equal(*found)


def test_reviews_one_by_one():
    reviews = joint_cost.reviews_of(20, 30)
    config = replace(joint_cost.CONFIG, text_hidden_size=6, character_size=4, joint_size=3)
    model = joint.new_model(reviews, config, device="cpu")
    texts, x = joint.Texts(reviews, model.alphabet, "cpu"), torch.rand(20, 3)
    found = []
    for way, more in ((joint_cost.in_batches, [200]), (joint_cost.one_by_one, [])):
        model.zero_grad()
        of_x_joint = way(model.writer, texts, np.arange(20), x, 1 / 20, *more)
        found.append(gradients(model.writer) | {"x_joint": of_x_joint})
    assert_equal(*found)


def test_a_part_is_not_billed_for_the_parts_that_it_calls():
    now = [0]

    class Work:
        def outer(self):
            now[0] += 2
            self.inner()
            self.inner()

        def inner(self):
            now[0] += 5

    with clocked({"outer": (Work, "outer"), "inner": (Work, "inner")}, clock=lambda: now[0]) as spent:
        Work().outer()
    assert spent == {"outer": 2, "inner": 10}
    Work().outer()
    assert spent == {"outer": 2, "inner": 10}  # the clocks are gone
