// Two results side by side, the second brought onto the first by the service.

import { useEffect, useMemo, useState } from "preact/hooks";
import { json } from "../api";
import { Choice } from "../parts/choice";
import { ColourBar } from "../parts/colourbar";
import { OBJECT_AXES, Plane, usePlayer } from "../parts/plane";
import { Facts, Panel, Trouble } from "../parts/words";
import { compared, type Drawn } from "../quantities";
import { Arrays, middle, type Place, place, wholeOf } from "../volume";
import { figure, nameOf, percent, short, times } from "../words";

interface Side {
  job: string;
  revision: number;
  source: string;
}

interface Spread {
  rms: number;
  mean: number;
}

interface Comparison {
  a: Side;
  b: Side;
  correlation: number;
  correlation_of_the_twin: number;
  twin: boolean;
  twin_undecided: boolean;
  shift_voxels: number[];
  phase_offset: number;
  ramp: number[];
  ssim: number;
  overlap: number;
  phase_difference: Spread;
  strain_difference: Spread | null;
  strain_reason: string | null;
  lattice_difference: number | null;
  resolution: { criterion: string; crossed: boolean; metres: number | null; voxels: number | null };
  notes: string[];
  shape: number[];
  voxel_size_m: number[] | null;
  links: Record<string, string>;
}

const SIDES = [
  { id: "a", label: "A" },
  { id: "b", label: "B" },
  { id: "difference", label: "B − A" },
];

export function CompareView({ a, b }: { a: string; b: string }) {
  const [found, setFound] = useState<Comparison | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const address = `v1/jobs/${a}/comparison/${b}`;
  useEffect(() => {
    json<Comparison>(address).then(setFound, setError);
  }, [address]);
  return (
    <div class="columns compare">
      <div class="title wide">
        <a class="back" href="#/jobs" aria-label="All jobs">←</a>
        <h1>Comparison</h1>
        {found && (
          <>
            <span>A: <Name of={found.a} /></span>
            <span>B: <Name of={found.b} /></span>
          </>
        )}
        <span class="grow" />
        <a href={`#/compare/${b}/${a}`}>Exchange A and B</a>
      </div>
      {error && <Trouble error={error} />}
      {!found && !error && <p class="empty wide" role="status">The two are brought onto each other.</p>}
      {found && (
        <>
          <Panel title="Side by side" wide>
            <Aligned found={found} address={address} />
          </Panel>
          <Panel title="How alike they are"><Figures of={found} /></Panel>
          <Panel title="How B came onto A"><Way of={found} /></Panel>
        </>
      )}
    </div>
  );
}

const Name = ({ of }: { of: Side }) => (
  <>
    <a href={`#/jobs/${of.job}`} title={of.source}>{nameOf(of.source)}</a> <span class="id">{short(of.job)}</span>
  </>
);

function Aligned({ found, address }: { found: Comparison; address: string }) {
  const arrays = useMemo(() => new Arrays((name, format) => `${address}/${name}?format=${format}`), [address]);
  const offered = compared("strain_a" in found.links);
  const [chosen, choose] = useState("amplitude");
  const [axis, setAxis] = useState(0);
  const [drawn, setDrawn] = useState<{ id: string; of: Drawn[] } | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [moved, setMoved] = useState<Place | null>(null);
  const [pointed, setPointed] = useState<Place | null>(null);
  const quantity = offered.find(({ id }) => id === chosen)!;

  useEffect(() => {
    let gone = false;
    setError(null);
    quantity.draw(arrays).then(
      (of) => gone || setDrawn({ id: quantity.id, of }),
      (wrong) => gone || setError(wrong),
    );
    return () => {
      gone = true;
    };
  }, [arrays, quantity.id]);

  const volume = drawn?.of[0]!.volume;
  const box = useMemo(() => volume && wholeOf(volume), [volume]);
  const here = moved ?? (volume && middle(volume));
  const go = (along: number, index: number) =>
    setMoved((before) => {
      const now = [...(before ?? here ?? [0, 0, 0])] as Place;
      now[along] = index;
      return now;
    });
  const [playing, play] = usePlayer(box, here, go);
  const sides = found.voxel_size_m ?? found.shape.map(() => 1);
  const sizes = sides.length === 2 ? [1, ...sides] : sides;
  const looked = pointed ?? here;
  return (
    <div class="viewer">
      <div class="choices">
        <Choice label="What is compared" offered={offered} chosen={quantity.id} choose={choose} />
        {found.shape.length === 3 && (
          <Choice label="Axis of the planes" offered={OBJECT_AXES.map((label, id) => ({ id: String(id), label }))} chosen={String(axis)} choose={(id) => setAxis(Number(id))} />
        )}
      </div>
      <p class="about">{quantity.about}</p>
      {error && <Trouble error={error} />}
      {drawn && here && box && (
        <div class="planes">
          {SIDES.map(({ id, label }, at) => {
            const { scale, times: unitTimes, unit, volume: of } = drawn.of[at]!;
            return (
              <section key={id} aria-label={label}>
                <h3>{label}</h3>
                <Plane axis={axis} names={OBJECT_AXES} drawn={drawn.of[at]!} box={box} here={here} sizes={sizes} go={go} label={`${quantity.label} ${label}`}
                  array={`${drawn.id}_${id}`} pointed={setPointed} playing={playing === axis} play={() => play(axis)} />
                <div class="under">
                  <ColourBar {...scale} low={unitTimes * scale.low} high={unitTimes * scale.high} unit={unit} label={`${quantity.label} ${label}`} />
                  <output class="readout">{looked && `${figure(unitTimes * of.data[place(of, looked)]!)} ${unit}`}</output>
                  <a href={arrays.address(`${drawn.id}_${id}`, "npy")} download={`${drawn.id}_${id}.npy`}>Download (npy)</a>
                </div>
              </section>
            );
          })}
        </div>
      )}
    </div>
  );
}

function Figures({ of }: { of: Comparison }) {
  const { resolution } = of;
  const period = resolution.metres ? `${figure(1e9 * resolution.metres)} nm` : resolution.voxels ? `${figure(resolution.voxels)} voxels` : null;
  return (
    <>
      <Facts
        of={[
          ["complex correlation", figure(of.correlation, 4)],
          ["structural similarity", figure(of.ssim, 4)],
          ["supports in common", percent(of.overlap)],
          ["phase difference", `${figure(of.phase_difference.rms)} rad rms`],
          ["strain difference", of.strain_difference ? `${figure(of.strain_difference.rms)} rms` : of.strain_reason],
          ["mean d-spacing", of.lattice_difference === null ? null : `differs by ${figure(of.lattice_difference)}`],
          ["half a bit in common", period && `${resolution.crossed ? "down to" : "beyond"} ${period}`],
        ]}
      />
      <small>Phases and strains are compared where both amplitudes reach 0.3 of their scale: at the rim of a support a phase is that of noise.</small>
    </>
  );
}

const Way = ({ of }: { of: Comparison }) => (
  <>
    <Facts
      of={[
        ["enantiomorph", `${of.twin ? "the twin" : "the same hand"}${of.twin_undecided ? ", undecided" : ""}`],
        ["correlation of the other", figure(of.correlation_of_the_twin, 4)],
        ["shift", `${of.shift_voxels.map((side) => figure(side)).join(", ")} voxels`],
        ["phase offset", `${figure(of.phase_offset)} rad`],
        ["ramp beyond that of A", `${of.ramp.map((slope) => figure(slope)).join(", ")} rad per voxel`],
        ["common grid", `${times(of.shape)} voxels${of.voxel_size_m ? ` of ${times(of.voxel_size_m.map((side) => figure(1e9 * side)))} nm` : ""}`],
        ["revisions", `${of.a.revision} of A, ${of.b.revision} of B`],
      ]}
    />
    {of.notes.map((note) => <p key={note} class="doubt">{note}</p>)}
  </>
);
