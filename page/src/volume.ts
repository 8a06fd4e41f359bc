// Arrays of a result as they are downloaded, and planes of them as pictures: one voxel is one pixel.

import { call } from "./api";
import { type MapName, step, WORDS } from "./colours";

type Numbers = Float32Array | Float64Array | Uint8Array;

/** An array of three axes; a plane has a first axis of length 1. */
export interface Volume {
  data: Numbers;
  shape: [number, number, number];
}

/** Complex numbers are kept as they come: real and imaginary part in turns. */
const KINDS: Record<string, (body: ArrayBuffer) => Numbers> = {
  complex64: (body) => new Float32Array(body),
  float32: (body) => new Float32Array(body),
  float64: (body) => new Float64Array(body),
  uint8: (body) => new Uint8Array(body),
  bool: (body) => new Uint8Array(body),
};

/** A voxel. */
export type Place = [number, number, number];

/** Fetches arrays of one result, each once. address: where an array is downloaded. */
export class Arrays {
  private known = new Map<string, Promise<Volume>>();

  constructor(readonly address: (name: string, format: string) => string) {}

  get(name: string): Promise<Volume> {
    let coming = this.known.get(name);
    if (!coming) {
      coming = this.fetch(name);
      coming.catch(() => this.known.delete(name)); // it is asked for again
      this.known.set(name, coming);
    }
    return coming;
  }

  private async fetch(name: string): Promise<Volume> {
    const answer = await call(this.address(name, "octet-stream"));
    const sides = (answer.headers.get("X-Inphase-Shape") ?? "").split(",").map(Number);
    const kind = answer.headers.get("X-Inphase-Dtype") ?? "";
    const read = KINDS[kind];
    if (!read) throw new Error(`arrays of ${kind} are not drawn`);
    return { data: read(await answer.arrayBuffer()), shape: asVolume(sides) };
  }
}

/** The arrays of a revision of a job's result. */
export const ofRevision = (job: string, revision: number): Arrays =>
  new Arrays((name, format) => `v1/jobs/${job}/${name === "calculated" ? name : `result/${name}`}?format=${format}&revision=${revision}`);

/** Amplitudes of a complex array. */
export const amplitudes = ({ data, shape }: Volume): Volume => ({
  data: Float32Array.from({ length: data.length / 2 }, (_, at) => Math.hypot(data[2 * at]!, data[2 * at + 1]!)),
  shape,
});

/** Phases of a complex array against the phase of the sum of its numbers, within -pi and pi; of those that are shown. */
export function phases({ data, shape }: Volume, shown: (at: number) => boolean): Volume {
  let [real, imaginary] = [0, 0];
  for (let at = 0; at < data.length / 2; at++) {
    if (!shown(at)) continue;
    real += data[2 * at]!;
    imaginary += data[2 * at + 1]!;
  }
  const turned = (at: number) =>
    Math.atan2(real * data[2 * at + 1]! - imaginary * data[2 * at]!, real * data[2 * at]! + imaginary * data[2 * at + 1]!);
  return { data: Float32Array.from({ length: data.length / 2 }, (_, at) => (shown(at) ? turned(at) : NaN)), shape };
}

export function asVolume(sides: number[]): [number, number, number] {
  return sides.length === 2 ? [1, sides[0]!, sides[1]!] : [sides[0]!, sides[1]!, sides[2]!];
}

/** A map of numbers onto colours. */
export interface Scale {
  map: MapName;
  low: number;
  high: number;
  log: boolean;
}

/** Voxels that are shown along each axis: from begin to before end. */
export type Box = [number, number][];

export const middle = ({ shape }: Volume): Place => shape.map((side) => Math.floor(side / 2)) as Place;

export const wholeOf = ({ shape }: Volume): Box => shape.map((side): [number, number] => [0, side]);

/** The box around what is not zero, with a margin; everything where all is zero. */
export function boxOf(volume: Volume, margin: number): Box {
  const { data, shape } = volume;
  const box = shape.map((side): [number, number] => [side, 0]);
  for (let i = 0, at = 0; i < shape[0]; i++)
    for (let j = 0; j < shape[1]; j++)
      for (let k = 0; k < shape[2]; k++, at++) {
        if (!data[at]) continue;
        [i, j, k].forEach((place, axis) => {
          const side = box[axis]!;
          if (place < side[0]) side[0] = place;
          if (place >= side[1]) side[1] = place + 1;
        });
      }
  if (box[0]![1] === 0) return wholeOf(volume);
  return box.map(([begin, end], axis): [number, number] => [Math.max(0, begin - margin), Math.min(shape[axis]!, end + margin)]);
}

/** The axes of a plane across an axis: down its rows, and across its columns. */
export const across = (axis: number): [number, number] => [0, 1, 2].filter((other) => other !== axis) as [number, number];

export const place = ({ shape }: Volume, [i, j, k]: readonly number[]): number => (i! * shape[1] + j!) * shape[2] + k!;

/** Paints a plane. shown: voxels that are drawn, where not all are; what is NaN is never drawn. */
export function paint(
  canvas: HTMLCanvasElement,
  volume: Volume,
  axis: number,
  index: number,
  box: Box,
  scale: Scale,
  shown?: (at: number) => boolean,
): void {
  const strides = [volume.shape[1] * volume.shape[2], volume.shape[2], 1];
  const [down, right] = across(axis);
  const [rows, columns] = [box[down]!, box[right]!];
  const [height, width] = [rows[1] - rows[0], columns[1] - columns[0]];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const words = WORDS[scale.map];
  const [low, high] = scale.log ? [Math.log10(scale.low), Math.log10(scale.high)] : [scale.low, scale.high];
  for (let row = rows[0], pixel = 0; row < rows[1]; row++) {
    let at = index * strides[axis]! + row * strides[down]! + columns[0] * strides[right]!;
    for (let column = columns[0]; column < columns[1]; column++, at += strides[right]!, pixel++) {
      const value = volume.data[at]!;
      if (Number.isNaN(value) || (shown && !shown(at))) continue;
      pixels[pixel] = words[step(scale.log ? Math.log10(value) : value, low, high)]!;
    }
  }
  context.putImageData(image, 0, 0);
}

/** The size below which this share of the numbers lies; of a sample where there are many. */
export function quantile(numbers: Numbers, share: number, of: (value: number) => number = Math.abs): number {
  const every = Math.max(1, Math.floor(numbers.length / 200_000));
  const sample: number[] = [];
  for (let at = 0; at < numbers.length; at += every) {
    const value = of(numbers[at]!);
    if (Number.isFinite(value) && value !== 0) sample.push(value);
  }
  if (!sample.length) return 1;
  return Float64Array.from(sample).sort()[Math.min(sample.length - 1, Math.floor(share * sample.length))]!;
}

export function largest(numbers: Numbers): number {
  let top = 0;
  for (const value of numbers) if (value > top) top = value;
  return top || 1;
}
