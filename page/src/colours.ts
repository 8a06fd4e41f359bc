// The colour maps, the same tables as the service's (service/pictures/colours.py).

import tables from "./colours.json";

export type MapName = keyof typeof tables;
export const STEPS = 256;

/** 256 colours as the little-endian words of an ImageData. */
export const WORDS: Record<MapName, Uint32Array> = Object.fromEntries(
  Object.entries(tables).map(([name, digits]) => {
    const words = new Uint32Array(STEPS);
    for (let step = 0; step < STEPS; step++) {
      const colour = Number.parseInt(digits.slice(6 * step, 6 * step + 6), 16);
      words[step] = 0xff000000 | ((colour & 0xff) << 16) | (colour & 0xff00) | (colour >> 16);
    }
    return [name, words];
  }),
) as Record<MapName, Uint32Array>;

/** The step of a table for a number between low and high; those beyond have the ends' colours. */
export function step(value: number, low: number, high: number): number {
  return Math.min(STEPS - 1, Math.max(0, Math.floor((STEPS * (value - low)) / (high - low))));
}
