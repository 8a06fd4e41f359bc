import { useEffect, useRef } from "preact/hooks";
import { type MapName, STEPS, WORDS } from "../colours";
import { figure } from "../words";

/** The colours from low to high, with the unit of these numbers. */
export function ColourBar({ map, low, high, unit, label, log = false }: { map: MapName; low: number; high: number; unit: string; label: string; log?: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(STEPS, 1);
    new Uint32Array(image.data.buffer).set(WORDS[map]);
    context.putImageData(image, 0, 0);
  }, [map]);
  const ends = map === "cyclic" ? ["−π", "π"] : [figure(low, 2), figure(high, 2)];
  return (
    <div class="bar">
      <span class="n">{ends[0]}</span>
      <canvas ref={canvas} width={STEPS} height={1} role="img" aria-label={`Colours of ${label} from ${ends[0]} to ${ends[1]} ${unit}${log ? ", logarithmic" : ""}`} />
      <span class="n">{ends[1]} {unit}</span>
      {log && <small>log</small>}
    </div>
  );
}
