"""What a diffraction pattern cannot tell: twin, position, global phase.
Align one object to another, or bring it to a canonical form.

o(r), e^{ic} o(r - r0) and conj(o(-r)) have the same |F|. Objects are centred (N // 2), even-sided, up to 3D, periodic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.fourier import WORKERS, embedded

UNDECIDED = 0.02  # a smaller difference between the scores of the two enantiomorphs decides nothing
LARGE = 2**21  # voxels: of a larger grid only the part that is not empty is looked at
T = TypeVar("T", bound=np.generic)

UPSAMPLING = 100  # steps per voxel of the registration


@dataclass(frozen=True)
class Alignment:
    """How `align` moved the object.

    twin: whether conj(o(-r)) was taken. shift_voxels: then rolled by this much (sub-voxel, per axis). phase: then
    multiplied by exp(i phase).
    score: |sum conj(o) ref| / (|o| |ref|) after alignment, 0 to 1; score_other: the best that the other enantiomorph
    reaches.
    undecided: the two differ by less than 0.02, so the twin was drawn by noise (nearly centrosymmetric objects).
    """

    twin: bool
    shift_voxels: tuple[float, ...]
    phase: float
    score: float
    score_other: float
    undecided: bool


def twin(obj: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    """conj(o(-r)) about N // 2: the same |F|."""
    conjugate: NDArray[np.complexfloating] = np.conj(mirrored(obj))
    return conjugate


def mirrored(array: NDArray[T]) -> NDArray[T]:
    """a(-r) about N // 2, periodic: voxel 0 of an even axis is its own mirror."""
    mirrored: NDArray[T] = np.roll(np.flip(array), [1 - n % 2 for n in array.shape], axis=tuple(range(array.ndim)))
    return mirrored


def align(
    obj: NDArray[np.complexfloating], reference: NDArray[np.complexfloating]
) -> tuple[NDArray[np.complex64], Alignment]:
    """Bring `obj` onto `reference` (same shape): twin, sub-voxel shift and global phase that maximise their
    correlation.

    The shift is a ramp in reciprocal space, so that |F| stays as it is; the amplitude's scale is kept. Registration of
    the complex fields by an upsampled cross-correlation (Guizar-Sicairos et al., Opt. Lett. 33, 156 (2008)) to 1/100
    voxel.
    """
    if obj.shape != reference.shape:
        raise DataError(f"cannot align an object of {obj.shape} voxels to one of {reference.shape}")
    norm = float(np.linalg.norm(obj) * np.linalg.norm(reference))
    if not norm > 0 or not np.isfinite(norm):
        raise DataError("cannot align an object that is empty or not finite")
    target = np.asarray(scipy.fft.fftn(reference.astype(np.complex64), workers=WORKERS))
    spectra = [np.asarray(scipy.fft.fftn(o.astype(np.complex64), workers=WORKERS)) for o in (obj, twin(obj))]
    found = [_register(spectrum, target) for spectrum in spectra]
    scores = [abs(peak) / norm for _, peak in found]
    flipped = scores[1] > scores[0]
    spectrum, (shift, peak) = spectra[flipped], found[flipped]
    aligned = scipy.fft.ifftn(_ramped(spectrum, shift), workers=WORKERS) * np.exp(1j * np.angle(peak))
    alignment = Alignment(
        twin=bool(flipped),
        shift_voxels=tuple(float(s) for s in shift),
        phase=float(np.angle(peak)),
        score=float(scores[flipped]),
        score_other=float(scores[not flipped]),
        undecided=bool(abs(scores[0] - scores[1]) < UNDECIDED),
    )
    return aligned.astype(np.complex64), alignment


def _register(
    spectrum: NDArray[np.complexfloating], target: NDArray[np.complexfloating]
) -> tuple[NDArray[np.float64], complex]:
    """Shift of the object that brings it onto the target, and the correlation sum conj(o shifted) ref there."""
    product = np.conj(spectrum) * target
    coarse = scipy.fft.ifftn(product, workers=WORKERS)
    peak = np.unravel_index(int(np.abs(coarse).argmax()), coarse.shape)
    shift = np.array([p if p < (n + 1) // 2 else p - n for p, n in zip(peak, coarse.shape, strict=True)], np.float64)
    value = complex(coarse[peak])
    for step in (0.1, 1 / UPSAMPLING):  # from a voxel to a tenth, from there to a hundredth
        offsets = step * np.arange(-10, 11)
        values = product.astype(np.complex128)
        for axis, n in enumerate(product.shape):
            waves = np.exp(2j * np.pi * np.outer(shift[axis] + offsets, scipy.fft.fftfreq(n)))
            values = np.moveaxis(np.tensordot(waves, values, axes=(1, axis)), 0, axis) / n
        best = np.unravel_index(int(np.abs(values).argmax()), values.shape)
        shift, value = shift + offsets[list(best)], complex(values[best])
    return shift, value


def _ramped(spectrum: NDArray[np.complexfloating], shift: NDArray[np.float64]) -> NDArray[np.complexfloating]:
    """Spectrum (DC first) of the object rolled by `shift` voxels."""
    for axis, n in enumerate(spectrum.shape):
        wave = np.exp(-2j * np.pi * shift[axis] * scipy.fft.fftfreq(n)).astype(np.complex64)
        spectrum = spectrum * wave.reshape([-1 if a == axis else 1 for a in range(spectrum.ndim)])
    return spectrum


@dataclass(frozen=True)
class Canonical:
    """A stored object: it differs from the refined one, o, by operations that leave |F| unchanged up to `scale`.

    object: complex64, exp(i global_phase) / scale * o, as its twin if `twin`, rolled by `shift`.
    support: bool, moved along.
    scale: 99.9th percentile of |o| within the support; it is 1 in `object`.
    global_phase: radians; arg sum |object| object = 0.
    shift: whole voxels per axis; the amplitude's centre of mass lies within half a voxel of N // 2.
    twin: the enantiomorph is chosen so that the strongest of the amplitude's skewnesses and the phase's even moments
        along the axes is positive (`_handedness`). This is a label, not physics: facets or the known geometry decide
        which is real.
    ramp: radians per voxel and axis of the mean phase gradient, arg sum conj(o(r)) o(r + 1): how far the pattern's
        centre of mass lies from the centre voxel. NOT removed from `object`.
    phase_flat: float32, phase without the ramp, weighted mean zero, 0 outside the support.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    scale: float
    global_phase: float
    shift: tuple[int, ...]
    twin: bool
    ramp: tuple[float, ...]
    phase_flat: NDArray[np.float32]


def canonical(obj: NDArray[np.complexfloating], support: NDArray[np.bool_]) -> Canonical:
    """The canonical form of a centred object and its support (same shape). DataError if it is empty."""
    if obj.size <= LARGE or not obj.any():
        return _canonical(obj, support)
    # of a box of the grid, without its empty surroundings
    first = to_centre(np.abs(obj))
    obj, support = _rolled(obj, first), _rolled(support, first)
    part = _occupied(support | (obj != 0))
    form = _canonical(np.ascontiguousarray(obj[part]), np.ascontiguousarray(support[part]))
    before = [-s for s in first] if form.twin else first  # the twin of what was rolled is rolled the other way
    shift = tuple((a + b + n // 2) % n - n // 2 for a, b, n in zip(before, form.shift, obj.shape, strict=True))
    return replace(
        form,
        shift=shift,
        object=embedded(form.object, obj.shape),
        support=embedded(form.support, obj.shape),
        phase_flat=embedded(form.phase_flat, obj.shape),
    )


def _occupied(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box of even sides about N // 2 that holds all of it, with a voxel of nothing around it where there is room.

    A voxel rolled by one, as the mean gradient is taken, then meets none on the other side.
    """
    part = []
    for axis, n in enumerate(inside.shape):
        where = np.flatnonzero(inside.any(axis=tuple(a for a in range(inside.ndim) if a != axis)))
        half = min(max(n // 2 - int(where[0]), int(where[-1]) - n // 2) + 2, n // 2)
        part.append(slice(n // 2 - half, n // 2 + half))
    return tuple(part)


def _canonical(obj: NDArray[np.complexfloating], support: NDArray[np.bool_]) -> Canonical:
    scale = float(np.percentile(np.abs(obj[support]), 99.9)) if support.any() else 0.0
    if not scale > 0 or not np.isfinite(scale):
        raise DataError("the object is empty or not finite within its support")
    shift = to_centre(np.abs(obj))
    rolled = _rolled(obj, shift)
    flipped = _handedness(rolled) < 0
    if flipped:
        obj, support = twin(obj), mirrored(support)
        shift = to_centre(np.abs(obj))
        rolled = _rolled(obj, shift)
    obj, support = rolled, _rolled(support, shift)
    global_phase = _minus_phase(obj)
    stored = (obj * (np.exp(1j * global_phase) / scale)).astype(np.complex64)
    flat, ramp = flattened(stored)
    return Canonical(
        object=stored,
        support=support,
        scale=scale,
        global_phase=global_phase,
        shift=shift,
        twin=bool(flipped),
        ramp=ramp,
        phase_flat=_within(support, flat),
    )


def framed(form: Canonical, reference: NDArray[np.complexfloating]) -> tuple[Canonical, Alignment]:
    """The same object in the frame of another one: its twin, its place to the nearest voxel, its global phase.

    reference: a stored object of the same shape. The scale stays, and so does |F|; the Alignment says how sure the twin
    is. Its shift_voxels is what was found, of which `shift` of the result took the whole voxels.
    """
    _, alignment = align(form.object, reference)
    obj, support, shift, sign = form.object, form.support, form.shift, 1.0
    if alignment.twin:  # conj(rolled by s) at -r is conj(o(-r)) rolled by -s
        obj, support, shift, sign = twin(obj), mirrored(support), tuple(-s for s in form.shift), -1.0
    step = tuple(round(s) for s in alignment.shift_voxels)
    obj, support = _rolled(obj, step), _rolled(support, step)
    phase = float(np.angle(np.vdot(obj, reference)))
    stored = (obj * np.exp(1j * phase)).astype(np.complex64)
    flat, ramp = flattened(stored)
    moved = Canonical(
        object=stored,
        support=support,
        scale=form.scale,
        global_phase=float(np.angle(np.exp(1j * (sign * form.global_phase + phase)))),
        shift=tuple((s + d + n // 2) % n - n // 2 for s, d, n in zip(shift, step, obj.shape, strict=True)),
        twin=form.twin != alignment.twin,
        ramp=ramp,
        phase_flat=_within(support, flat),
    )
    return moved, alignment


def carried(volume: NDArray[np.complexfloating], before: Canonical, after: Canonical) -> NDArray[np.complex64]:
    """What turned one stored form of an object into another (`framed`), done to a volume that lies on the former."""
    flipped = before.twin != after.twin
    sign = -1 if flipped else 1
    step = tuple(a - sign * b for a, b in zip(after.shift, before.shift, strict=True))
    phase = after.global_phase - sign * before.global_phase
    moved = _rolled(twin(volume) if flipped else volume, step) * np.exp(1j * phase)
    return np.asarray(moved, np.complex64)


def _rolled(array: NDArray[T], shift: tuple[int, ...]) -> NDArray[T]:
    rolled: NDArray[T] = np.roll(array, shift, axis=tuple(range(array.ndim)))
    return rolled


def _within(support: NDArray[np.bool_], flat: NDArray[np.complexfloating]) -> NDArray[np.float32]:
    """The phase within the support, 0 outside."""
    phase = np.zeros(support.shape, np.float32)
    phase[support] = np.angle(flat[support])
    return phase


def to_centre(amplitude: NDArray[np.floating]) -> tuple[int, ...]:
    """Whole-voxel roll that brings the centre of mass to N // 2, also for an object that wraps around the border."""
    total = float(amplitude.sum(dtype=np.float64))
    shift = []
    for axis, n in enumerate(amplitude.shape):
        profile = amplitude.sum(axis=tuple(a for a in range(amplitude.ndim) if a != axis), dtype=np.float64)
        # on a circle the centre is defined for any position; the plain mean around it is then exact
        turn = np.angle(profile @ np.exp(2j * np.pi * np.arange(n) / n)) * n / (2 * np.pi)
        first = n // 2 - round(turn)
        mean = float(np.roll(profile, first) @ np.arange(n)) / total
        shift.append(int(first + n // 2 - round(mean) + n // 2) % n - n // 2)
    return tuple(shift)


def flattened(obj: NDArray[np.complexfloating]) -> tuple[NDArray[np.complexfloating], tuple[float, ...]]:
    """The object without its phase ramp and global phase, and the ramp in radians per voxel."""
    ramp = mean_gradient(obj)
    flat = unramped(obj, ramp)
    return flat * np.complex64(np.exp(1j * _minus_phase(flat))), ramp


def unramped(obj: NDArray[np.complexfloating], ramp: Sequence[float]) -> NDArray[np.complexfloating]:
    """The object without a phase ramp (radians per voxel and axis) about N // 2."""
    for axis, (n, slope) in enumerate(zip(obj.shape, ramp, strict=True)):
        wave = np.exp(-1j * slope * (np.arange(n) - n // 2)).astype(np.complex64)
        obj = obj * wave.reshape([-1 if a == axis else 1 for a in range(obj.ndim)])
    return obj


def _handedness(obj: NDArray[np.complexfloating]) -> float:
    """The strongest, in magnitude, of the numbers that change sign with the twin, from the marginals along each axis:

    the amplitude's skewness, sum |o| u^3 / sum |o|, and the even moment of the phase, sum |o| Im o' u^2 / sum |o|^2,
    where u is the coordinate from the centre of mass in standard deviations and o' is o without ramp and global phase.
    """
    flat, _ = flattened(obj)
    amplitude = np.abs(obj)
    found = 0.0
    for axis, n in enumerate(obj.shape):
        others = tuple(a for a in range(obj.ndim) if a != axis)
        weight, power, odd = (
            q.sum(axis=others, dtype=np.float64) for q in (amplitude, amplitude**2, amplitude * flat.imag)
        )
        x = np.arange(n) - float(weight @ np.arange(n)) / weight.sum()
        u = x / max(float(np.sqrt(weight @ x**2 / weight.sum())), 1e-6)
        found = max(found, float(weight @ u**3) / weight.sum(), float(odd @ u**2) / power.sum(), key=abs)
    return found


def _minus_phase(obj: NDArray[np.complexfloating]) -> float:
    """Phase to add so that arg sum |o| o = 0."""
    return -float(np.angle(np.sum(np.abs(obj) * obj, dtype=np.complex128)))


def mean_gradient(obj: NDArray[np.complexfloating]) -> tuple[float, ...]:
    """arg sum conj(o(r)) o(r + 1) per axis, radians per voxel: no unwrapping, defects and wraps do no harm."""
    return tuple(float(np.angle(np.vdot(obj, np.roll(obj, -1, axis=a)))) for a in range(obj.ndim))
