"""Measured patterns for fine-tuning: one measurement becomes many by rotation, resampling and flips.

A linear map of reciprocal space is one of real space: the pattern of a rotated, stretched or mirrored crystal is a
pattern that a measurement could have given. So one measured crystal teaches what its noise, background and gaps look
like in any pose.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from inphase import formats
from inphase.formats.scan import native
from inphase.pattern import Domain, MaskState
from inphase.preprocess.pipeline import preprocess
from inphase.preprocess.recipe import preset
from inphase.preprocess.validate import pattern_from_array
from training.data import Sample
from training.simulate.crystals import rotations, uniform
from training.simulate.detector import Measurement, islands

STRETCH = (0.85, 1.15)  # resampling, per axis
FREE_FRACTION = 0.05


@dataclass(frozen=True)
class Experiment:
    """A measured pattern on the model grid: intensity, mask (N, N, N), oversampling (3,)."""

    intensity: Tensor
    mask: Tensor
    oversampling: Tensor

    @classmethod
    def read(cls, path: Path, domain: Domain, frame: tuple[int, int, int] = (64, 64, 64)) -> "Experiment":
        """As the service prepares it without maps. Raises DataError where it cannot be read or used."""
        raw = formats.read(path, domain=domain)
        pattern = pattern_from_array(native(raw.array), domain, raw.geometry, raw.metadata, raw.mask)
        recipe = preset("auto", domain, raw.saturation.level if raw.saturation else None)
        prepared = preprocess(pattern, recipe, frame)
        return cls(
            torch.from_numpy(prepared.pattern.intensity),
            torch.from_numpy(prepared.pattern.mask),
            torch.tensor(prepared.oversampling_after),
        )

    def as_measured(self) -> Sample:
        """A batch of one, as it is."""
        hidden = torch.zeros_like(self.mask, dtype=torch.bool)[None]
        return self._sample(self.intensity[None], self.mask[None], hidden, self.oversampling[None])

    def augmented(self, batch: int, generator: torch.Generator) -> Sample:
        """A batch of it turned, stretched and mirrored at random, with free voxels hidden;
        on the generator's device.
        """
        device, n = generator.device, self.intensity.shape
        stretch = uniform(STRETCH, (batch, 3), generator, device)
        sign = torch.where(torch.rand(batch, 3, generator=generator, device=device) < 0.5, -1.0, 1.0)
        maps = rotations(batch, generator, device) * (stretch * sign)[:, None]
        intensity, mask = transformed(self.intensity.to(device), self.mask.to(device), maps)
        hidden = islands(batch, (n[0], n[1], n[2]), FREE_FRACTION, generator) & (mask == int(MaskState.VALID))
        # a turned crystal may be as long along any axis as it was along its longest
        sigma = (self.oversampling.min().to(device) / stretch.amax(1, keepdim=True)).expand(batch, 3)
        return self._sample(intensity, mask, hidden, sigma)

    @staticmethod
    def _sample(intensity: Tensor, mask: Tensor, hidden: Tensor, oversampling: Tensor) -> Sample:
        # nobody knows the object, nor the intensity without noise
        return Sample(intensity.new_zeros(0), Measurement(intensity, intensity, mask, hidden), oversampling)


def transformed(intensity: Tensor, mask: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Intensity at M q for maps M (batch, 3, 3) about voxel N // 2, and its mask: each (batch, N, N, N).

    intensity, mask: (N, N, N). A voxel is valid where all that it is interpolated from is; beyond the grid lies
    padding.
    """
    n = intensity.shape
    # grid_sample counts from -1 to 1 over the voxels' outer faces, last axis first: voxel N // 2 lies at 1 / N
    size = torch.tensor([n[2], n[1], n[0]], device=maps.device)
    scaled = maps.flip(1, 2) * (size / size[:, None])
    middle = 1.0 / size
    theta = torch.cat([scaled, (middle - scaled @ middle)[..., None]], 2)
    places = affine_grid(theta, [len(maps), 1, *n], align_corners=False)

    def at(volume: Tensor) -> Tensor:
        volumes = volume.float().expand(len(maps), 1, *n)
        return grid_sample(volumes, places, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0]

    nearly = 1 - 1e-4  # weights add up to one but for rounding
    found = torch.full((len(maps), *n), int(MaskState.MASKED), dtype=torch.uint8, device=maps.device)
    found[at(mask != int(MaskState.PADDING)) < nearly] = int(MaskState.PADDING)
    found[at(mask == int(MaskState.VALID)) >= nearly] = int(MaskState.VALID)
    return at(intensity) * (found == int(MaskState.VALID)), found
