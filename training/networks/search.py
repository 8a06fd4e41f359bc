"""Phase retrieval inside a network: iterations on the centre of the pattern, where they cost little.

Relaxed averaged alternating reflections (Luke, Inverse Problems 21, 37 (2005)) with shrink-wrap (Marchesini et al.,
Phys. Rev. B 68, 140101 (2003)), the words of `inphase.retrieval` LOWRES, under partial coherence, which is found along
the way (`coherence`); between stages amplitudes are flipped (`inphase.retrieval.terms.AF`). Nothing in it is learned,
and no gradient goes through it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inphase.retrieval.terms import BULK
from training.networks.coherence import TYPICAL, Coherence
from training.networks.far_field import (
    FarField,
    in_single_precision,
    parts,
    square,
    transform_first_axis,
    transform_last_axis,
    transform_middle_axis,
)

BETA = 0.9  # of RAAR
EVERY = 10  # iterations of a round, which ends with an update of the support
LAST = 8  # iterations of error reduction in the end: RAAR leaves density outside the support
THRESHOLD = 0.2  # of the intensity-weighted amplitude
WIDEST = 2.0  # sigma of shrink-wrap's Gaussian in voxels of the frame, at the start
NARROWEST = 1.2  # the same after the last round
TURN = 2.5  # rad, of the phases added for a trial, at NODES along each axis and linear between them
NODES = 8
ROOM = 0.8  # of the frame along each axis: what the iterations keep of it, of which the crystal has half at the most
TOGETHER = 2**17  # voxels: what iterations on these need stays in a core's cache, in three quarters of the time
WINDOW = 0.55  # sigma of the Gaussian that takes off the ringing, in units of the side of what is kept

PARTS = 3  # the axis of real and imaginary part in objects, which are `lines`

Stage = tuple[int, int, int]  # starts, rounds, eighths of the pattern
# coarse objects (..., B, r, r, 2, r), their supports, 0 and 1, (..., B, r, r, 1, r), and decays (..., B, 3)
State = tuple[Tensor, ...]
Pattern = tuple[Tensor, Tensor]  # modulus, 0 where it is not known, and what is known, 0 and 1, (B, 1, n, n, n) each


class Search(nn.Module):
    """Objects (B, 2, m, m, m) in boxes of half the frame's side -> objects that fit the centre of the measured pattern.

    stages: how many starts each has, how many rounds of EVERY iterations these run, and how many eighths of the pattern
    it looks at along each axis; those that fit best go on to the next. An iteration on three eighths costs least, half
    of the pattern tells right from wrong much better. The first one's starts are the object itself and the same with
    smooth phases added.
    """

    def __init__(self, frame: int, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.starts = [starts for starts, *_ in stages] + [1]
        sigmas = torch.linspace(WIDEST, NARROWEST, sum(rounds for _, rounds, _ in stages) + 1).tolist()
        self.stages = nn.ModuleList()
        done = 0
        for _, rounds, eighths in stages:
            self.stages.append(Retrieval(frame, eighths * frame // 8, sigmas[done : done + rounds + 1]))
            done += rounds
        nodes, between = turns(self.starts[0], frame // 2)
        # flat: `Module.to` with a memory format for five axes refuses four
        self.register_buffer("nodes", nodes.flatten(1), persistent=False)
        self.register_buffer("between", between, persistent=False)
        self.nodes: Tensor
        self.between: Tensor

    @torch.no_grad()
    @in_single_precision
    def forward(self, box: Tensor, modulus: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """The object and the decay (B, 3) of its light (`Coherence`).
        modulus, known: (B, N, N, N) of the whole pattern; known is 0 or 1.
        """
        boxes = self._turned(box)
        decays = torch.full_like(boxes[:, :, 0, 0, 0, :3], TYPICAL)
        for stage, kept in zip(self.stages, self.starts[1:], strict=True):
            assert isinstance(stage, Retrieval)
            if stage is not self.stages[0]:  # what the U-Net drew has no stripes
                boxes = flipped(boxes.flatten(0, 1)).unflatten(0, boxes.shape[:2])
            boxes, decays = stage.nearest(boxes, decays, modulus, known, LAST if stage is self.stages[-1] else 1, kept)
        return parts(boxes[0]), decays[0]

    def _turned(self, box: Tensor) -> Tensor:
        """(B, 2, m, m, m) with the phases of each start added, as lines, (starts, B, m, m, 2, m)."""
        phases = transform_last_axis(self.between.T, self.nodes.unflatten(1, 3 * [NODES]))
        phases = transform_first_axis(self.between, transform_middle_axis(self.between, phases))[:, None]
        real, imaginary = box.unbind(1)
        cosine, sine = phases.cos(), phases.sin()
        return torch.stack([real * cosine - imaginary * sine, real * sine + imaginary * cosine], -2)


class Retrieval(nn.Module):
    """The iterations on the central `side`^3 of the far field of frames:
    the crystal has side / frame of its voxels across.

    A grid of `side`^3 spans as much as the frame; the central r^3 of it, ROOM, are kept, and there is nothing around
    them. `box` is between the frame's objects and the kept far field, `fourier` between the coarse objects and that.
    sigmas: of shrink-wrap's Gaussian in voxels of the frame, at the start and after each round.
    """

    def __init__(self, frame: int, side: int, sigmas: Sequence[float]) -> None:
        super().__init__()
        self.inner = slice((frame - side) // 2, (frame + side) // 2)
        room = 2 * round(ROOM * side / 2)
        self.box = FarField(frame // 2, frame, side)
        self.fourier = FarField(room, side)
        self.coherence = Coherence(frame, side)
        r = torch.arange(room, dtype=torch.float32)
        widths = torch.tensor(sigmas)[:, None, None] * side / frame
        smoothing = torch.exp(-0.5 * ((r[:, None] - r) / widths).square())
        self.register_buffer("smoothing", smoothing / smoothing.sum(2, keepdim=True).amax(1, True), persistent=False)
        q = torch.arange(side, dtype=torch.float32) - side // 2
        window = torch.exp(-0.5 * (q / (WINDOW * side)).square())
        self.register_buffer("window", window[:, None, None] * window[:, None] * window, persistent=False)
        self.smoothing: Tensor
        self.window: Tensor

    def nearest(
        self, boxes: Tensor, decays: Tensor, modulus: Tensor, known: Tensor, last: int, kept: int
    ) -> tuple[Tensor, Tensor]:
        """Of starts (n, B, m, m, 2, m) those whose far fields come nearest to the modulus, (kept, B, m, m, 2, m),
        and their decays.

        That is after the rounds of RAAR and `last` iterations of error reduction. decays: (n, B, 3).
        modulus, known: (B, N, N, N).
        """
        n = boxes.shape[0]
        group = self.group(n)
        pattern = self.centre(modulus, known, group)
        begun = [self.begun(some.flatten(0, 1), pattern) for some in boxes.split(group)]
        objects, supports = (torch.cat(some).unflatten(0, (n, -1)) for some in zip(*begun, strict=True))
        states = self.rounds((objects, supports, decays), pattern, group)
        groups = zip(*(state.split(group) for state in states), strict=True)
        ended = [self.ended(tuple(part.flatten(0, 1) for part in some), pattern, last) for some in groups]
        fields, decays, misfit = (
            torch.cat(some).unflatten(0, (n, -1)).transpose(0, 1) for some in zip(*ended, strict=True)
        )
        if n > kept:
            chosen = nn.functional.one_hot(misfit.topk(kept, dim=1, largest=False).indices, n).to(fields.dtype)
            fields = (chosen @ fields.flatten(2)).unflatten(2, fields.shape[2:])
            decays = chosen @ decays
        boxes = self.box.adjoint(fields.transpose(0, 1).flatten(0, 1))
        return boxes.unflatten(0, (kept, -1)), decays.transpose(0, 1)

    def group(self, starts: int) -> int:
        """How many of them go through the iterations together: a divisor, for not more than TOGETHER voxels."""
        side = self.inner.stop - self.inner.start
        return max(d for d in range(1, starts + 1) if starts % d == 0 and (d == 1 or d * side**3 <= TOGETHER))

    def centre(self, modulus: Tensor, known: Tensor, starts: int) -> Pattern:
        """What is kept of (B, N, N, N) each, for each of so many starts: (starts B, 1, n, n, n)."""
        inner = self.inner
        kept, limited = (
            x[None, :, None, inner, inner, inner].expand(starts, -1, -1, -1, -1, -1) for x in (modulus, known)
        )
        return (kept * self.window * limited).flatten(0, 1), limited.flatten(0, 1)

    def begun(self, box: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
        """Objects (B, m, m, 2, m) of the frame in the scale of the data, and their supports."""
        modulus, known = pattern
        field = self.box(box)
        size = square(field).sqrt()
        axes = (1, 2, 3, 4)
        scale = (size * modulus).sum(axes, True) / (size * size * known).sum(axes, True).clamp_min(1e-12)
        objects = self.fourier.adjoint(field * scale)
        support = self._support(objects, self.smoothing[0])
        return objects * support, support

    def rounds(self, states: State, pattern: Pattern, group: int) -> State:
        """Rounds of RAAR, the support of each drawn more closely than the one before, the decay fitted before each.

        states: of (n, B) starts and crystals. pattern: of (group B); so many starts go through a round together, the
        first ones, which come last after it.
        """
        groups = states[0].shape[0] // group

        def one(done: Tensor, *states: Tensor) -> State:
            # by index_select: in the graph a plain index cannot be a tensor
            smoothing = self.smoothing.index_select(0, done.reshape(1) // groups + 1)[0]
            found = self._round(tuple(x[:group].flatten(0, 1) for x in states), pattern, smoothing)
            return tuple(
                torch.cat([x[group:], y.unflatten(0, (group, -1))]) for x, y in zip(states, found, strict=True)
            )

        return repeated(one, groups * (len(self.smoothing) - 1), states)

    def _round(self, state: State, pattern: Pattern, smoothing: Tensor) -> State:
        objects, support, _ = state
        target, decay = self._cohered(state, pattern)
        # inside the projection, outside beta x + (1 - 2 beta) projection
        carried = (BETA * (1 - support)).expand_as(objects)
        taken = 1 - 2 * carried
        for _ in range(EVERY):
            projected = self._projected(objects, target)
            objects = taken * projected + carried * objects
        return objects, self._support(projected, smoothing), decay

    def ended(self, state: State, pattern: Pattern, times: int) -> tuple[Tensor, Tensor, Tensor]:
        """The far field (B, 2, n, n, n) after so many iterations of error reduction, the decay,
        and the misfit in its light.
        """
        objects, support, _ = state
        target, decay = self._cohered(state, pattern)
        for _ in range(times):
            objects = support * self._projected(objects, target)
        field = self.fourier(objects)
        modulus, known = pattern
        seen = self.coherence.blurred(decay, square(field)).sqrt()
        return field, decay, ((seen - modulus) * known).square().sum((1, 2, 3, 4))

    def _cohered(self, state: State, pattern: Pattern) -> tuple[Pattern, Tensor]:
        """The pattern as coherent light would give it, and the decay that this takes."""
        objects, support, decay = state
        modulus, known = pattern
        intensity = square(self.fourier(support * objects))
        decay = self.coherence.fitted(decay, intensity, modulus, known)
        return (self.coherence.coherent(decay, intensity, modulus), 1 - known), decay

    def _projected(self, objects: Tensor, pattern: Pattern) -> Tensor:
        """The modulus on the phases of the far field; what is not known, 0 or 1, stays."""
        modulus, unknown = pattern
        field = self.fourier(objects)
        squared = (field * field).sum(
            1, keepdim=True
        )  # of many small volumes ONNX Runtime does this faster than `square`
        return self.fourier.adjoint(field * (unknown + modulus / (squared + 1e-12).sqrt()))

    def _support(self, objects: Tensor, smoothing: Tensor) -> Tensor:
        """Where the smoothed amplitude reaches the threshold, as 0 and 1: (B, n, n, 1, n)."""
        amplitude = square(objects, PARTS).sqrt().squeeze(PARTS)
        smooth = transform_middle_axis(smoothing, transform_last_axis(smoothing, amplitude))
        smooth = transform_first_axis(smoothing, smooth)
        return (relative(smooth) >= THRESHOLD).to(objects.dtype).unsqueeze(PARTS)


def flipped(objects: Tensor) -> Tensor:
    """Objects (B, n, n, 2, n) with their amplitude turned about that of a homogeneous crystal: a stripe changes
    sides of the far field (`inphase.retrieval.terms.AF`).
    """
    amplitude = relative(square(objects, PARTS).sqrt())
    turned = (2 / amplitude.clamp_min(BULK) - 1).clamp_min(0)
    return objects * torch.where(amplitude >= BULK, turned, 1.0)


def relative(amplitude: Tensor) -> Tensor:
    """Amplitudes (B, ...) in units of the one that carries the intensity, sqrt(sum a^4 / sum a^2), of each of B."""
    axes = tuple(range(1, amplitude.ndim))
    reduced = amplitude / amplitude.amax(axes, True).clamp_min(1e-12)  # lest fourth powers leave single precision
    second = reduced * reduced
    return reduced * (second.sum(axes, True) / (second * second).sum(axes, True).clamp_min(1e-12)).sqrt()


def turns(starts: int, side: int) -> tuple[Tensor, Tensor]:
    """Smooth phases of up to TURN, the first of them 0, always the same:
    (starts, NODES, NODES, NODES) in rad, and what goes from one axis of these to one of `side` voxels, linear between
    them.
    """
    generator = torch.Generator().manual_seed(1)
    nodes = TURN * (torch.rand(starts, NODES, NODES, NODES, generator=generator) * 2 - 1)
    nodes[0] = 0
    between = nn.functional.interpolate(torch.eye(NODES)[None], size=side, mode="linear")[0]
    return nodes, between.T.contiguous()


def repeated(step: Callable[..., State], times: int, state: State) -> State:
    """`step` so many times, each on its number and the result of the one before:
    in an exported graph a Loop, which holds it once.
    """
    if not torch.compiler.is_exporting():
        for done in torch.arange(times):
            state = step(done, *state)
        return state
    start = torch.zeros((), dtype=torch.int64)
    _, *last = torch.while_loop(
        lambda done, *_: done < times,
        lambda done, *last: (done + 1, *in_order(step(done, *last))),
        (start, *in_order(state)),
    )
    return tuple(last)


def in_order(state: State) -> State:
    """Copies with the strides of new tensors, which `torch.while_loop` wants to be alike before and after a step."""
    return tuple(part.clone(memory_format=torch.contiguous_format) for part in state)
