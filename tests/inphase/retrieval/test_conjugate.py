"""Conjugate gradients against a direct minimiser, and against plain error reduction."""

import numpy as np
import torch
from scipy.optimize import minimize

from inphase.retrieval.conjugate import ConjugateGradients
from inphase.retrieval.fft import Transform
from inphase.retrieval.passes import confine, project_modulus

SHAPE = (8, 6, 4)


def _case():
    rng = np.random.default_rng(3)
    transform = Transform(3)
    support = torch.zeros(2, *SHAPE, dtype=torch.bool)
    support[:, :4, :3, :2] = True
    truth = torch.from_numpy((rng.random((2, *SHAPE)) + 1j * rng.random((2, *SHAPE))).astype(np.complex64)) * support
    constraint = transform.forward(truth[:1])[0].abs()
    constraint[0] = -float("inf")
    start = truth + 0.1 * support * torch.from_numpy(rng.standard_normal((2, *SHAPE)).astype(np.float32))
    start[1] = 0.9 * truth[0] + 0.1 * start[1]
    return transform, constraint, support, start.to(torch.complex64)


def _losses(transform, constraint, obj):
    field = transform.forward(obj)
    return 0.5 * (field - project_modulus(field.clone(), constraint)).abs().square().sum((1, 2, 3)).numpy()


def _descend(case, steps):
    transform, constraint, support, start = case
    descent = ConjugateGradients(transform, constraint, start.clone(), support)
    losses = [_losses(transform, constraint, descent.object)]
    for _ in range(steps):
        descent.advance()
        losses.append(_losses(transform, constraint, descent.object))
    return descent, np.array(losses)


def test_the_far_field_is_carried_along():
    """F is updated linearly, never recomputed: after 30 steps it still is the object's FFT,
    and the object lies in its support.
    """
    case = _case()
    descent, _ = _descend(case, 30)
    np.testing.assert_allclose(descent.field.numpy(), case[0].forward(descent.object).numpy(), atol=1e-5)
    assert not (descent.object * ~case[2]).any()


def test_it_beats_error_reduction_step_for_step():
    """After 20 steps the loss is below that of 60 ER iterations from the same start, for each start of the batch."""
    transform, constraint, support, start = case = _case()
    _, losses = _descend(case, 20)
    obj = start.clone()
    for _ in range(60):
        confine(obj, transform.backward(project_modulus(transform.forward(obj), constraint)), support)
    assert (losses[-1] < _losses(transform, constraint, obj)).all()


def test_it_finds_the_minimum_that_a_general_minimiser_finds():
    """From the same start, scipy's L-BFGS on the written-out loss reaches no lower value (1e-3 of the initial loss)."""
    _, constraint, support, start = case = _case()
    _, losses = _descend(case, 200)
    inside = support[0].numpy()
    measured = np.isfinite(constraint.numpy())

    def loss(x, b):
        obj = np.zeros(SHAPE, complex)
        obj[inside] = x[: inside.sum()] + 1j * x[inside.sum() :]
        modulus = np.abs(np.fft.fftn(obj, norm="ortho"))
        return 0.5 * ((modulus - constraint.numpy())[measured] ** 2).sum()

    for b in range(2):
        x = start[b].numpy()[inside]
        best = minimize(
            loss,
            np.concatenate([x.real, x.imag]),
            args=(b,),
            method="L-BFGS-B",
            options={"maxiter": 500, "maxfun": 10**6},
        )
        assert losses[-1, b] < best.fun + 1e-3 * losses[0, b]


def test_a_solved_start_stays():
    """At the solution the gradient vanishes: no division by zero, no NaN."""
    transform, _, support, start = _case()
    constraint = transform.forward(start[:1])[0].abs()
    descent = ConjugateGradients(transform, constraint, start[:1].clone(), support[:1])
    for _ in range(5):
        descent.advance()
    np.testing.assert_allclose(descent.object.numpy(), start[:1].numpy(), atol=1e-5)
