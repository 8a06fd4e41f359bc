// Three linked planes through an array of a result, with a player.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Job } from "../api";
import { type Drawn, quantities } from "../quantities";
import { across, type Arrays, type Box, boxOf, paint, place, type Volume, wholeOf } from "../volume";
import { figure } from "../words";
import { ColourBar } from "./colourbar";
import { Trouble } from "./words";

const MARGIN = 4; // voxels around the support
const FRAME_MS = 80;
type Place = [number, number, number];
const middle = ({ shape }: Volume): Place => shape.map((side) => Math.floor(side / 2)) as Place;
const AXES = { object: ["axis 0", "axis 1", "axis 2"], pattern: ["rocking", "row", "column"] };

export function Slices({ job, arrays }: { job: Job; arrays: Arrays }) {
  const offered = quantities(job);
  const [chosen, choose] = useState("amplitude");
  const quantity = offered.find(({ id }) => id === chosen) ?? offered[0]!;
  const [drawn, setDrawn] = useState<(Drawn & { id: string }) | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [support, setSupport] = useState<Box | null>(null);
  const [whole, setWhole] = useState(false);
  const [places, setPlaces] = useState<Partial<Record<"object" | "pattern", Place>>>({});
  const [pointed, setPointed] = useState<Place | null>(null);
  const [playing, setPlaying] = useState<number | null>(null);

  useEffect(() => {
    let gone = false;
    setError(null);
    quantity.draw(arrays).then(
      (found) => gone || setDrawn({ ...found, id: quantity.id }),
      (wrong) => gone || setError(wrong),
    );
    arrays.get("support").then((found) => gone || setSupport(boxOf(found, MARGIN)), () => {});
    return () => {
      gone = true;
    };
  }, [arrays, quantity.id]);

  const volume = drawn?.volume;
  const box = volume && (quantity.space === "object" && !whole && support ? support : wholeOf(volume));
  const here = volume && (places[quantity.space] ?? middle(volume));
  const go = (axis: number, index: number) =>
    setPlaces((before) => {
      const now = [...(before[quantity.space] ?? here ?? [0, 0, 0])] as Place;
      now[axis] = index;
      return { ...before, [quantity.space]: now };
    });

  useEffect(() => {
    if (playing === null || !box || !here) return;
    const [begin, end] = box[playing]!;
    const timer = setTimeout(() => go(playing, here[playing]! + 1 >= end ? begin : here[playing]! + 1), FRAME_MS);
    return () => clearTimeout(timer);
  }, [playing, box, here]);

  const sides = (quantity.space === "object" && job.preprocess?.voxel_size_m) || [1, 1, 1];
  const sizes = sides.length === 2 ? [1, ...sides] : sides;
  const looked = pointed ?? here;
  return (
    <div class="viewer">
      <div class="tabs" role="radiogroup" aria-label="What the slices show">
        {offered.map(({ id, label }) => (
          <button key={id} type="button" role="radio" aria-checked={id === quantity.id} tabIndex={id === quantity.id ? 0 : -1}
            onClick={() => choose(id)} onKeyDown={(event) => pick(event, offered.map((one) => one.id), id, choose)}>
            {label}
          </button>
        ))}
      </div>
      <p class="about">{quantity.about}</p>
      {error && <Trouble error={error} />}
      {volume && drawn && here && box && (
        <>
          <div class="planes">
            {(volume.shape[0] === 1 ? [0] : [0, 1, 2]).map((axis) => (
              <Plane key={axis} axis={axis} names={AXES[quantity.space]} drawn={drawn} box={box} here={here} sizes={sizes} go={go}
                label={quantity.label} array={drawn.id} pointed={setPointed} playing={playing === axis}
                play={() => setPlaying(playing === axis ? null : axis)} />
            ))}
          </div>
          <div class="under">
            <ColourBar {...drawn.scale} low={drawn.times * drawn.scale.low} high={drawn.times * drawn.scale.high} unit={drawn.unit} label={quantity.label} />
            <output class="readout">
              {looked && `${figure(drawn.times * volume.data[place(volume, looked)]!)} ${drawn.unit} at (${looked.join(", ")})`}
            </output>
            {quantity.space === "object" && (
              <label class="check">
                <input type="checkbox" checked={whole} onChange={(event) => setWhole(event.currentTarget.checked)} /> whole grid
              </label>
            )}
            <a href={arrays.address(quantity.array, "npy")} download={`${job.id}-${quantity.array}.npy`}>Download {quantity.array} (npy)</a>
          </div>
        </>
      )}
    </div>
  );
}

/** Arrow keys go through a group of radio buttons. */
function pick(event: KeyboardEvent, ids: string[], id: string, choose: (id: string) => void): void {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = (ids.indexOf(id) + step + ids.length) % ids.length;
  choose(ids[at]!);
  (event.currentTarget as HTMLElement).parentElement?.querySelectorAll("button")[at]?.focus();
}

interface PlaneProps {
  axis: number;
  names: string[];
  drawn: Drawn;
  box: Box;
  here: Place;
  sizes: number[];
  label: string;
  array: string;
  playing: boolean;
  go: (axis: number, index: number) => void;
  pointed: (place: Place | null) => void;
  play: () => void;
}

function Plane({ axis, names, drawn, box, here, sizes, label, array, playing, go, pointed, play }: PlaneProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [down, right] = across(axis);
  const [rows, columns] = [box[down]!, box[right]!];
  const [height, width] = [rows[1] - rows[0], columns[1] - columns[0]];
  const index = here[axis]!;

  useLayoutEffect(() => {
    // before the browser shows the plane's new name, so that no frame says one array and draws another
    if (canvas.current) paint(canvas.current, drawn.volume, axis, index, box, drawn.scale, drawn.shown);
  }, [drawn, axis, index, box]);

  const under = (event: PointerEvent): Place => {
    const { left, top, width: wide, height: high } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const found = [...here] as Place;
    found[down] = Math.min(rows[1] - 1, Math.max(rows[0], rows[0] + Math.floor((height * (event.clientY - top)) / high)));
    found[right] = Math.min(columns[1] - 1, Math.max(columns[0], columns[0] + Math.floor((width * (event.clientX - left)) / wide)));
    return found;
  };
  const set = (event: PointerEvent) => {
    const found = under(event);
    go(down, found[down]!);
    go(right, found[right]!);
  };

  const name = names[axis]!;
  const aspect = (width * sizes[right]!) / (height * sizes[down]!);
  return (
    <figure style={{ flexGrow: aspect }}>
      <div
        class="plane"
        style={{ aspectRatio: String(aspect) }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          set(event);
        }}
        onPointerMove={(event) => (event.buttons ? set(event) : pointed(under(event)))}
        onPointerLeave={() => pointed(null)}
        onWheel={(event) => {
          if (!event.shiftKey) return; // the page scrolls
          event.preventDefault();
          go(axis, Math.min(box[axis]![1] - 1, Math.max(box[axis]![0], index + Math.sign(event.deltaY || event.deltaX))));
        }}
      >
        <canvas
          ref={canvas}
          role="img"
          aria-label={`${label}, plane ${index} of ${name}`}
          data-array={array}
          data-axis={axis}
          data-index={index}
          data-low={drawn.scale.low}
          data-high={drawn.scale.high}
          data-begin={`${rows[0]},${columns[0]}`}
        />
        <i class="cross down" style={{ left: `${(100 * (here[right]! - columns[0] + 0.5)) / width}%` }} />
        <i class="cross over" style={{ top: `${(100 * (here[down]! - rows[0] + 0.5)) / height}%` }} />
      </div>
      <figcaption>
        <button type="button" class="play" onClick={play} aria-pressed={playing} aria-label={`Play along ${name}`}>
          {playing ? "❚❚" : "▶"}
        </button>
        <input type="range" min={box[axis]![0]} max={box[axis]![1] - 1} value={index} aria-label={`Plane of ${name}`}
          onInput={(event) => go(axis, Number(event.currentTarget.value))} />
        <span class="n">{name} {index}</span>
      </figcaption>
    </figure>
  );
}
