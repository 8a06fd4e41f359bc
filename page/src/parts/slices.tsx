// Three linked planes through an array of a result, with a player.

import { useEffect, useState } from "preact/hooks";
import type { Job } from "../api";
import { type Drawn, quantities } from "../quantities";
import { type Arrays, type Box, boxOf, middle, type Place, place, wholeOf } from "../volume";
import { figure } from "../words";
import { Choice } from "./choice";
import { ColourBar } from "./colourbar";
import { OBJECT_AXES, Plane, usePlayer } from "./plane";
import { Trouble } from "./words";

const MARGIN = 4; // voxels around the support
const AXES = { object: OBJECT_AXES, pattern: ["rocking", "row", "column"] };

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

  useEffect(() => {
    let gone = false;
    setError(null);
    quantity.draw(arrays).then(
      (found) => gone || setDrawn({ ...found, id: quantity.id }),
      (wrong) => gone || setError(wrong),
    );
    if (!job.ptychography) arrays.get("support").then((found) => gone || setSupport(boxOf(found, MARGIN)), () => {});
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

  const [playing, play] = usePlayer(box, here, go);

  const sides = (quantity.space === "object" && job.preprocess?.voxel_size_m) || [1, 1, 1];
  const sizes = sides.length === 2 ? [1, ...sides] : sides;
  const looked = pointed ?? here;
  return (
    <div class="viewer">
      <Choice label="What the slices show" offered={offered} chosen={quantity.id} choose={choose} />
      <p class="about">{quantity.about}</p>
      {error && <Trouble error={error} />}
      {volume && drawn && here && box && (
        <>
          <div class="planes">
            {(volume.shape[0] === 1 || job.ptychography ? [0] : [0, 1, 2]).map((axis) => (
              <Plane key={axis} axis={axis} names={AXES[quantity.space]} drawn={drawn} box={box} here={here} sizes={sizes} go={go}
                label={quantity.label} array={drawn.id} pointed={setPointed} playing={playing === axis} play={() => play(axis)} />
            ))}
          </div>
          <div class="under">
            <ColourBar {...drawn.scale} low={drawn.times * drawn.scale.low} high={drawn.times * drawn.scale.high} unit={drawn.unit} label={quantity.label} />
            <output class="readout">
              {looked && `${figure(drawn.times * volume.data[place(volume, looked)]!)} ${drawn.unit} at (${looked.join(", ")})`}
            </output>
            {quantity.space === "object" && support && (
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
