// A mask drawn on the planes of a measurement's preview, and the boxes of voxels that it means.

import { useState } from "preact/hooks";
import { across, asVolume } from "./volume";

/** The largest values along an axis, as the service sends them. block: voxels down and across that one value stands for. */
export interface Plane {
  axis: number;
  shape: [number, number];
  block: [number, number];
  data: string;
}

/** From the first row and column to before the last ones. */
export interface Rectangle {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

export type Spot = [number, number]; // row and column

const REMEMBERED = 50; // steps that can be undone
export const LONGEST = 20_000; // characters that the service takes

export interface Drawing {
  masks: Uint8Array[];
  undone: boolean;
  draw: (plane: number, stroke: (mask: Uint8Array) => void, further?: boolean) => void;
  undo: () => void;
  clear: () => void;
}

/** What is drawn on these planes: 1 where it is masked. draw: one step; further: it belongs to the step before. */
export function useDrawing(planes: Plane[]): Drawing {
  const [steps, setSteps] = useState(() => [planes.map(({ shape }) => new Uint8Array(shape[0] * shape[1]))]);
  return {
    masks: steps.at(-1)!,
    undone: steps.length === 1,
    draw: (plane, stroke, further = false) =>
      setSteps((before) => {
        const now = before.at(-1)!.map((mask, at) => (at === plane ? mask.slice() : mask));
        stroke(now[plane]!);
        return [...(further ? before.slice(0, -1) : before.slice(-REMEMBERED)), now];
      }),
    undo: () => setSteps((before) => (before.length > 1 ? before.slice(0, -1) : before)),
    clear: () => setSteps((before) => [...before.slice(-REMEMBERED), before.at(-1)!.map((mask) => new Uint8Array(mask.length))]),
  };
}

export function fillRectangle(mask: Uint8Array, columns: number, { top, left, bottom, right }: Rectangle, value: number): void {
  for (let row = top; row < bottom; row++) mask.fill(value, row * columns + left, row * columns + right);
}

/** Discs of a diameter on the way from one pixel to another. */
export function brush(mask: Uint8Array, [rows, columns]: [number, number], from: Spot, to: Spot, diameter: number, value: number): void {
  const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
  const reach = Math.floor(diameter / 2);
  for (let step = 0; step <= steps; step++) {
    const [row, column] = [0, 1].map((side) => Math.round(from[side]! + ((to[side]! - from[side]!) * step) / steps)) as Spot;
    for (let down = Math.max(-reach, -row); down <= Math.min(reach, rows - 1 - row); down++)
      for (let right = Math.max(-reach, -column); right <= Math.min(reach, columns - 1 - column); right++)
        if (4 * (down * down + right * right) <= diameter * diameter) mask[(row + down) * columns + column + right] = value;
  }
}

/** The rectangle that two of its corners span, both within it. */
export const spanned = (one: Spot, other: Spot): Rectangle => ({
  top: Math.min(one[0], other[0]),
  left: Math.min(one[1], other[1]),
  bottom: Math.max(one[0], other[0]) + 1,
  right: Math.max(one[1], other[1]) + 1,
});

/** Rectangles that cover what is masked, and nothing else. */
export function rectangles(mask: Uint8Array, [rows, columns]: [number, number]): Rectangle[] {
  const found: Rectangle[] = [];
  let above = new Map<string, Rectangle>();
  for (let top = 0; top < rows; top++) {
    const here = new Map<string, Rectangle>();
    for (let left = 0; left < columns; left++) {
      if (!mask[top * columns + left]) continue;
      let right = left + 1;
      while (right < columns && mask[top * columns + right]) right++;
      const name = `${left}:${right}`;
      let grown = above.get(name);
      if (grown) grown.bottom = top + 1;
      else found.push((grown = { top, left, bottom: top + 1, right }));
      here.set(name, grown);
      left = right;
    }
    above = here;
  }
  return found;
}

/**
 * The boxes of voxels that are masked, as `masked=` takes them: all along the axis of the plane on which they were drawn.
 * sides: of the array; start: its first voxel in whole frames, from which the boxes count.
 */
export function boxesOf(masks: Uint8Array[], planes: Plane[], sides: number[], start: number[]): string[] {
  const lengths = asVolume(sides);
  const origin = [...Array(3 - start.length).fill(0), ...start];
  return planes.flatMap(({ axis, shape, block }, at) => {
    const [down, right] = across(axis);
    const range = (along: number, begin: number, end: number, of: number): string => {
      const last = Math.min(end * of, lengths[along]!);
      return begin === 0 && last === lengths[along] ? ":" : `${origin[along]! + begin * of}:${origin[along]! + last}`;
    };
    return rectangles(masks[at]!, shape).map((found) => {
      const parts = [":", ":", ":"];
      parts[down] = range(down, found.top, found.bottom, block[0]);
      parts[right] = range(right, found.left, found.right, block[1]);
      return parts.slice(axis === 0 ? 1 : 0).join(",");
    });
  });
}
