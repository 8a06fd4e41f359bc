"""Images of unfinished curves without a clock: how good they are, and whether what was said meanwhile was right."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks.live.curves import AIM_SHARE, GOOD, WHAT, Measured, some
from inphase.errors import DataError
from inphase.imaging.earlier import Earlier, similarity
from inphase.imaging.options import FAST, Options
from inphase.imaging.reconstruct import carry_out, sessions_of
from inphase.imaging.reconstruction import Reconstruction
from inphase.live.advice import Advice, FrameSummary, Seen, advise
from inphase.live.curve import Curve
from inphase.live.looks import look, passing, seen
from inphase.live.replay import template_of
from training.evaluate.machine import header
from training.evaluate.tables import table

STEP: Final = 0.05  # of the curve, between looks that are asked for
REFINED: Final = 5  # looks that are compared with their refinement


@dataclass(frozen=True)
class Glance:
    """One look: of how many frames, how like the last image, how like what the network sees of the whole curve, how
    like the last image it is after `fast` (None where that was not tried), and what was said then.
    """

    frames: int
    likeness: float
    settled: float
    refined: float | None
    advice: Advice


@dataclass
class Said:
    """How often something was said, how often it was wrong, and after how many frames first."""

    often: int = 0
    wrong: int = 0
    first: int | None = None

    def count(self, frames: int, right: bool) -> None:
        """It is said after so many frames."""
        self.often += 1
        self.wrong += not right
        self.first = frames if self.first is None else self.first

    def __str__(self) -> str:
        return "-" if self.first is None else f"{self.first}: {self.often - self.wrong} of {self.often}"


@dataclass(frozen=True)
class Spoken:
    """What the advice said of a curve. coming, passed: of the peak, after every frame. enough, steady: of the image, at
    every look.
    """

    coming: Said = field(default_factory=Said)
    passed: Said = field(default_factory=Said)
    enough: Said = field(default_factory=Said)
    steady: Said = field(default_factory=Said)


@dataclass(frozen=True)
class Looked:
    """A curve with its looks. peak: place of its brightest frame."""

    curve: Measured
    peak: int
    looks: Sequence[Glance]
    spoken: Spoken


def looked(curve: Measured) -> Looked:
    """Looks at the first frames of a curve, from the moment at which there is something to be seen to its end."""
    known = Curve.of(template_of(curve.scan), curve.frames)
    frames = dict(enumerate(curve.scan.array))
    summaries = [FrameSummary.of(place, frame, known.valid, None) for place, frame in frames.items()]
    peak = max(summaries, key=lambda summary: summary.brightest).place
    found = _glances(curve, known, summaries)
    spoken = Spoken()
    for n in range(1, curve.frames):
        told = advise(summaries[:n], curve.frames, known.shape)
        if told.peak == "not reached":
            spoken.coming.count(n, peak >= n - 1)
        elif told.peak == "passed":
            spoken.passed.count(n, told.peak_place == peak)
    for each in found:
        if any(words.endswith("will change the image little.") for words in each.advice.words):
            spoken.enough.count(each.frames, each.settled >= GOOD)
        if each.advice.steady:
            spoken.steady.count(each.frames, each.settled >= GOOD)
    return Looked(curve, peak, found, spoken)


def _glances(curve: Measured, known: Curve, summaries: Sequence[FrameSummary]) -> list[Glance]:
    frames = dict(enumerate(curve.scan.array))
    sessions, options = sessions_of(None), Options(grid="model")
    names = sessions.repository.names()
    whole = look(known, frames, options, sessions, final=True)
    last = carry_out(curve.scan, passing(options, 2, names), sessions)
    before: Reconstruction | None = None
    images: list[Seen] = []
    found: list[Glance] = []
    for n in range(1, curve.frames):
        due = not found or n >= found[-1].frames + max(1, round(STEP * curve.frames))
        if not due or not advise(summaries[:n], curve.frames, known.shape).worth_a_look:
            continue
        part = {place: frames[place] for place in range(n)}
        for _ in range(1 if found else 2):  # the glance, and at once what the default network sees
            try:
                now = look(known, part, options, sessions, before=before)
            except DataError:
                break  # the service tells why, and looks again when more frames have come
            refined = None
            if len(found) < REFINED:
                shown = passing(options, len(found) + 1, names)
                refined = _like(carry_out(known.scan(part, reached=True), replace(shown, refine=FAST), sessions), whole)
            images.append(seen(now))
            advice = advise(summaries[:n], curve.frames, known.shape, images)
            found.append(Glance(n, _like(now, whole), _like(now, last), refined, advice))
            before = now
    return found


def _like(part: Reconstruction, whole: Reconstruction) -> float:
    """Amplitude correlation, on the grid of the whole curve's image."""
    return similarity(Earlier(part.object, part.report.preprocess).on(whole.report.preprocess), whole.object)


def _good_from(looks: Sequence[Glance]) -> int | None:
    """Frames from which on every look is good; None where the last one is not."""
    good = None
    for each in reversed(looks):
        if each.likeness < GOOD:
            break
        good = each.frames
    return good


def _early(found: Looked) -> list[Glance]:
    """The looks at few enough frames."""
    return [look for look in found.looks if look.frames <= AIM_SHARE * found.curve.frames]


def _imaged(found: Looked) -> list[str]:
    """A line of the table of images."""
    frames, looks = found.curve.frames, found.looks
    if len(looks) < 2:
        return [found.curve.name, str(frames), str(found.peak), *["none was possible"] * 5]
    (first, second), good = looks[:2], _good_from(looks)
    tried = [(each.likeness, each.refined) for each in looks if each.refined is not None]
    return [
        found.curve.name,
        str(frames),
        f"{found.peak} ({found.peak / frames:.0%})",
        f"{first.frames} ({first.frames / frames:.0%}): {first.likeness:.3f}",
        f"{second.frames} ({second.frames / frames:.0%}): {second.likeness:.3f}",
        "-" if good is None else f"{good} ({good / frames:.0%})",
        f"{looks[-1].likeness:.3f}, {looks[-1].settled:.3f}",
        f"{statistics.mean(one for one, _ in tried):.3f}, {statistics.mean(two for _, two in tried):.3f}; "
        f"{sum(one >= two for one, two in tried)} of {len(tried)}",
    ]


def _advised(found: Looked) -> list[str]:
    """A line of the table of advice."""
    told = next((each for each in found.looks if each.advice.more is not None), None)
    asked = "-" if told is None else str(told.frames + (told.advice.more or 0))
    good = next((each.frames for each in found.looks if each.settled >= GOOD), None)
    spoken = found.spoken
    return [
        found.curve.name,
        str(spoken.coming),
        str(spoken.passed),
        f"{asked}, {'-' if good is None else good}",
        str(spoken.enough),
        str(spoken.steady),
    ]


def _total(what: str, said: Iterable[Said]) -> str:
    every = [one for one in said if one.often]
    often, wrong = sum(one.often for one in every), sum(one.wrong for one in every)
    always = sum(not one.wrong for one in every)
    return f"* {what}: said of {len(every)} curves, of {always} rightly every time ({often - wrong} of {often} times)."


def page(simulated: int, tell: Callable[[str], None]) -> str:
    """Of so many simulated curves beside those of real crystals. tell: takes every line as soon as it is there."""
    found = []
    for curve in some(simulated):
        found.append(looked(curve))
        tell(" | ".join((*_imaged(found[-1]), *_advised(found[-1])[1:])))
    images = ["curve", "frames", "peak in", "glance", "next look", "good from", "last look", "unrefined, refined"]
    advice = [
        "curve", "not been passed", "seems to be passed", "two fringes: asked for, good", "will change little",
        "has stopped changing",
    ]  # fmt: skip
    early = [each for each in found if _early(each)]
    good = sum(any(look.likeness >= GOOD for look in _early(each)) for each in found)
    lines = [
        "# Looks at rocking curves that are still being measured\n",
        f"{header()}\n",
        f"One command makes this page: `python -m benchmarks.live looks --simulated {simulated}`. Likeness is the "
        "correlation of amplitudes on the network's grid with the refined image of the whole curve, after alignment; a "
        f"look is good from {GOOD:g} on. {WHAT}\n",
        "The first look, a glance, is made as soon as the advice finds it worth while and the preprocessing takes it; "
        "the default network's at once after it, and then "
        f"every {STEP:.0%} of the curve to its end. 'Good from' is the first look from which on all are good. The "
        "last look has its likeness to the refined image of the whole curve, and to what the network sees of the whole "
        "curve: the first stays below 1 where the refinement changes the network's image. The last column has the mean "
        f"likeness of the first {REFINED} looks as they are shown, the same after `fast` from the same image, and how "
        "many are nearer to the image of the whole as they are.\n",
        *table(images, [_imaged(each) for each in found]),
        f"Of {len(found)} curves {len(early)} have looks at {AIM_SHARE:.0%} of their frames or fewer, and of these "
        f"{good} have a good one among them; the peak of the others comes too late for it.\n",
        "## What was said, and what came\n",
        "The advice speaks of the peak after every frame, and of the image at every look. The number before the colon "
        "is that of the frames after which something was said first; behind it stands how often it was said rightly. "
        "One right word on the peak is repeated after every frame, so that curves count more than times. That it has "
        "not been passed is said where the last frame is the brightest so far, and cannot be wrong. That it seems to "
        "be passed is right where the brightest frame so far is that of the whole curve. That more frames will "
        "change the image little, and that it has stopped changing, is right where the image then correlates at least "
        f"{GOOD:g} with what the network sees of the whole curve. 'Two fringes' is the frame up to which the advice "
        "asked for more when it first could say so, and the first look that is so like the network's image of the "
        "whole.\n",
        *table(advice, [_advised(each) for each in found]),
        _total("The peak seems to be passed", (each.spoken.passed for each in found)),
        _total("More frames will change the image little", (each.spoken.enough for each in found)),
        _total("The image has stopped changing", (each.spoken.steady for each in found)),
        "",
    ]
    return "\n".join(lines)
