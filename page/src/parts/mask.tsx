// Where a mask is drawn: on one of the planes of a measurement's preview, with pointer or keys.

import { useEffect, useRef, useState } from "preact/hooks";
import { brush, type Drawing, fillRectangle, LONGEST, type Plane, type Rectangle, spanned, type Spot } from "../drawing";
import { paint, type Scale, type Volume, wholeOf } from "../volume";
import { figure, percent } from "../words";
import { Choice } from "./choice";

const COVER = 0xd00f7dff; // little-endian words of an image: an orange that no colour map has
const FRAME = 0xffffffff;
const TOOLS = [
  { id: "rectangle", label: "Rectangle" },
  { id: "brush", label: "Brush" },
  { id: "threshold", label: "Threshold" },
];
const NAMES = ["rows × columns", "frames × columns", "frames × rows"];
const SIDES = [
  ["row", "column"],
  ["frame", "column"],
  ["frame", "row"],
];
const KEYS: Record<string, Spot> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const FAST = 10; // pixels of an arrow key with Shift

/** A plane with what is masked on it. outlined: a rectangle that is being drawn; cursor: of the keys. */
export function MaskedPlane({ plane, volume, scale, mask, outlined = null, cursor = null }: {
  plane: Plane;
  volume: Volume;
  scale: Scale;
  mask: Uint8Array;
  outlined?: Rectangle | null;
  cursor?: Spot | null;
}) {
  const under = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const [rows, columns] = plane.shape;

  useEffect(() => paint(under.current!, volume, 0, 0, wholeOf(volume), scale), [volume]);

  useEffect(() => {
    const canvas = over.current!;
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d")!;
    const image = context.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    mask.forEach((masked, at) => masked && (pixels[at] = COVER));
    if (outlined)
      for (let row = outlined.top; row < outlined.bottom; row++)
        for (let column = outlined.left; column < outlined.right; column++)
          if (row === outlined.top || row === outlined.bottom - 1 || column === outlined.left || column === outlined.right - 1) pixels[row * columns + column] = FRAME;
    if (cursor) pixels[cursor[0] * columns + cursor[1]] = FRAME;
    context.putImageData(image, 0, 0);
  }, [plane, mask, outlined, cursor]);

  return (
    <>
      <canvas ref={under} role="img" aria-label={`Largest values along axis ${plane.axis}`} />
      <canvas ref={over} class="cover" aria-hidden="true" data-axis={plane.axis} />
    </>
  );
}

interface MaskProps {
  planes: Plane[];
  volumes: Volume[];
  scale: Scale;
  drawing: Drawing;
  boxes: string[];
}

/** The tools, the plane that is drawn on, and what is masked. */
export function MaskEditor({ planes, volumes, scale, drawing, boxes }: MaskProps) {
  const [at, setAt] = useState(0);
  const [tool, setTool] = useState("rectangle");
  const [away, setAway] = useState(false);
  const [diameter, setDiameter] = useState(5);
  const [least, setLeast] = useState("");
  const [begun, setBegun] = useState<Spot | null>(null);
  const [here, setHere] = useState<Spot | null>(null);
  const [byKeys, setByKeys] = useState(false);
  const plane = planes[at]!;
  const [rows, columns] = plane.shape;
  const values = volumes[at]!.data;
  const value = away ? 0 : 1;
  const covered = drawing.masks[at]!.reduce((sum, masked) => sum + masked, 0);

  const under = (event: PointerEvent): Spot => {
    const { left, top, width, height } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const inside = (share: number, count: number) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    return [inside((event.clientY - top) / height, rows), inside((event.clientX - left) / width, columns)];
  };
  const stroke = (from: Spot, to: Spot, further: boolean) => drawing.draw(at, (mask) => brush(mask, plane.shape, from, to, diameter, value), further);
  const begin = (spot: Spot) => {
    setBegun(spot);
    if (tool === "brush") stroke(spot, spot, false);
  };
  const finish = (spot: Spot) => {
    if (begun && tool === "rectangle") drawing.draw(at, (mask) => fillRectangle(mask, columns, spanned(begun, spot), value));
    setBegun(null);
  };
  const choose = (next: string) => {
    setTool(next);
    setBegun(null);
  };

  const keys = (event: KeyboardEvent) => {
    const step = KEYS[event.key];
    const spot: Spot = here ?? [Math.floor(rows / 2), Math.floor(columns / 2)];
    if (step) {
      const far = event.shiftKey ? FAST : 1;
      setHere([Math.min(rows - 1, Math.max(0, spot[0] + far * step[0])), Math.min(columns - 1, Math.max(0, spot[1] + far * step[1]))]);
    } else if (event.key === " " || event.key === "Enter") {
      if (tool === "brush") stroke(spot, spot, false);
      else if (tool === "rectangle") (begun ? finish : begin)(spot);
      setHere(spot);
    } else if (event.key === "Escape") setBegun(null);
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) drawing.undo();
    else return;
    setByKeys(true);
    event.preventDefault();
  };

  const threshold = (event: SubmitEvent) => {
    event.preventDefault();
    const level = Number(least);
    if (least.trim() && Number.isFinite(level)) drawing.draw(at, (mask) => values.forEach((counts, pixel) => counts >= level && (mask[pixel] = value)));
  };

  return (
    <div class="viewer">
      {planes.length > 1 && (
        <Choice label="The plane that is drawn on" offered={planes.map(({ axis }) => ({ id: String(axis), label: NAMES[axis]! }))} chosen={String(at)}
          choose={(next) => {
            setAt(Number(next));
            setBegun(null);
            setHere(null);
          }} />
      )}
      <div class="choices">
        <Choice label="Tool" offered={TOOLS} chosen={tool} choose={choose} />
        <label class="check">
          <input type="checkbox" checked={away} onChange={(event) => setAway(event.currentTarget.checked)} /> take away
        </label>
        {tool === "brush" && (
          <label class="check">
            width <input type="range" min={1} max={41} step={2} value={diameter} onInput={(event) => setDiameter(Number(event.currentTarget.value))} /> <span class="n">{diameter}</span>
          </label>
        )}
      </div>
      {tool === "threshold" && (
        <form class="line" onSubmit={threshold}>
          <input inputMode="decimal" aria-label="Least value" placeholder="from this many counts on" value={least} onInput={(event) => setLeast(event.currentTarget.value)} />
          <button type="submit">{away ? "Take away" : "Mask them"}</button>
        </form>
      )}
      <div
        class="draw"
        style={{ maxWidth: `calc(70vh * ${columns / rows})` }}
        tabIndex={0}
        role="application"
        aria-roledescription="plane that is drawn on"
        aria-label={`Mask on ${NAMES[plane.axis]}. Arrow keys move, with Shift by ten; Space ${tool === "rectangle" ? "begins and ends a rectangle" : "draws"}, Escape gives it up, Control and Z undo.`}
        onKeyDown={keys}
        onPointerDown={(event) => {
          if (event.button !== 0 || tool === "threshold") return;
          event.currentTarget.setPointerCapture(event.pointerId);
          setByKeys(false);
          begin(under(event));
        }}
        onPointerMove={(event) => {
          const spot = under(event);
          setHere(spot);
          if (!begun || !event.buttons || tool !== "brush") return;
          stroke(begun, spot, true);
          setBegun(spot);
        }}
        onPointerUp={(event) => begun && !byKeys && finish(under(event))}
        onPointerCancel={() => setBegun(null)}
      >
        <MaskedPlane plane={plane} volume={volumes[at]!} scale={scale} mask={drawing.masks[at]!} outlined={tool === "rectangle" && begun && here ? spanned(begun, here) : null} cursor={byKeys ? here : null} />
      </div>
      <div class="under">
        <output class="readout">{here && `${SIDES[plane.axis]![0]} ${here[0] * plane.block[0]}, ${SIDES[plane.axis]![1]} ${here[1] * plane.block[1]}: ${figure(values[here[0] * columns + here[1]])}`}</output>
        <span class="n" role="status">{covered ? `${covered} ${covered === 1 ? "pixel" : "pixels"} masked here, ${percent(covered / values.length)}` : "nothing is masked here"}</span>
        <button type="button" disabled={drawing.undone} onClick={drawing.undo}>Undo</button>
        <button type="button" disabled={boxes.length === 0} onClick={drawing.clear}>Clear</button>
      </div>
      {boxes.join(";").length > LONGEST && (
        <p class="wrong" role="alert">This mask is too ragged to be sent: {boxes.length} boxes. Draw it with rectangles, or name a file that holds it.</p>
      )}
    </div>
  );
}
