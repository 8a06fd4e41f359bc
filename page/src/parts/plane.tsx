// One plane through a volume: painted, pointed at, moved along its axis.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Drawn } from "../quantities";
import { across, type Box, paint, type Place } from "../volume";

const FRAME_MS = 80;
export const OBJECT_AXES = ["axis 0", "axis 1", "axis 2"];

/** The axis along which the planes play, and what starts and stops it. */
export function usePlayer(box: Box | undefined, here: Place | undefined, go: (axis: number, index: number) => void): [number | null, (axis: number) => void] {
  const [playing, setPlaying] = useState<number | null>(null);
  useEffect(() => {
    if (playing === null || !box || !here) return;
    const [begin, end] = box[playing]!;
    const timer = setTimeout(() => go(playing, here[playing]! + 1 >= end ? begin : here[playing]! + 1), FRAME_MS);
    return () => clearTimeout(timer);
  }, [playing, box, here]);
  return [playing, (axis) => setPlaying(playing === axis ? null : axis)];
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

/** A plane across an axis, with its slider. array: what it shows, for who looks at the page from outside. */
export function Plane({ axis, names, drawn, box, here, sizes, label, array, playing, go, pointed, play }: PlaneProps) {
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
    <figure style={{ flexGrow: aspect, maxWidth: `calc(${aspect} * var(--plane-height))` }}>
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
      {box[axis]![1] - box[axis]![0] > 1 && (
        <figcaption>
          <button type="button" class="play" onClick={play} aria-pressed={playing} aria-label={`Play along ${name}`}>
            {playing ? "❚❚" : "▶"}
          </button>
          <input type="range" min={box[axis]![0]} max={box[axis]![1] - 1} value={index} aria-label={`Plane of ${name}`}
            onInput={(event) => go(axis, Number(event.currentTarget.value))} />
          <span class="n">{name} {index}</span>
        </figcaption>
      )}
    </figure>
  );
}
