"""The one place that knows FFT centring, normalisation and sign (docs/architecture.md).

F(q) = fftshift(fftn(ifftshift(o))) with exp(-i q.r) and norm "ortho", so that sum |o|^2 = sum |F|^2:
an object scaled to its measurement holds the photons of the pattern. The DC voxel is N // 2.
The last three axes are transformed unless `axes` says otherwise, or both of an image; the others are a batch.
"""

from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from inphase.machine import cores

T = TypeVar("T", bound=np.generic)

AXES = (-3, -2, -1)
WORKERS = cores()


def forward(obj: NDArray[np.complexfloating], axes: tuple[int, ...] | None = None) -> NDArray[np.complexfloating]:
    """Far field of a centred object: (..., N, N, N) or (N, N) complex -> the same shape, centred;
    complex64 stays complex64.
    """
    axes = AXES[-obj.ndim :] if axes is None else axes
    shifted = scipy.fft.ifftshift(obj, axes=axes)
    return scipy.fft.fftshift(scipy.fft.fftn(shifted, axes=axes, norm="ortho", workers=WORKERS), axes=axes)


def backward(field: NDArray[np.complexfloating], axes: tuple[int, ...] | None = None) -> NDArray[np.complexfloating]:
    """Adjoint and inverse of `forward`: centred far field -> centred object, same shape and precision."""
    axes = AXES[-field.ndim :] if axes is None else axes
    shifted = scipy.fft.ifftshift(field, axes=axes)
    return scipy.fft.fftshift(scipy.fft.ifftn(shifted, axes=axes, norm="ortho", workers=WORKERS), axes=axes)


def autocorrelation(intensity: NDArray[np.floating]) -> NDArray[np.complexfloating]:
    """Autocorrelation of the object from its centred intensity, centred, complex, norm "ortho";
    Hermitian about N // 2.
    """
    return backward(intensity.astype(np.result_type(intensity, np.complex64)))


def embedded(array: NDArray[T], shape: tuple[int, ...]) -> NDArray[T]:
    """A centred array (n, ...) in the middle of a larger grid, zeros around it; as it is where the grid is its own."""
    if array.shape == shape:
        return array
    whole = np.zeros(shape, array.dtype)
    whole[tuple(slice(n // 2 - k // 2, n // 2 - k // 2 + k) for n, k in zip(shape, array.shape, strict=True))] = array
    return whole
