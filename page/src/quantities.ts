// What the slices can show, and how: which arrays it needs, its colours, range and unit.

import type { Job } from "./api";
import { amplitudes, type Arrays, largest, phases, quantile, type Scale, type Volume } from "./volume";

/** A volume ready to be drawn. times: from its numbers to the unit. */
export interface Drawn {
  volume: Volume;
  scale: Scale;
  unit: string;
  times: number;
  shown?: (at: number) => boolean;
}

export interface Quantity {
  id: string;
  label: string;
  array: string;
  space: "object" | "pattern";
  about: string;
  draw(arrays: Arrays): Promise<Drawn>;
}

const within = async (arrays: Arrays): Promise<(at: number) => boolean> => {
  const support = (await arrays.get("support")).data;
  return (at) => support[at] !== 0;
};

const measured = async (arrays: Arrays): Promise<(at: number) => boolean> => {
  const mask = (await arrays.get("mask")).data;
  return (at) => mask[at] === 0;
};

const amplitude: Quantity = {
  id: "amplitude",
  label: "Amplitude",
  array: "amplitude",
  space: "object",
  about: "Density of the crystal; 1 is the 99.9th percentile within the support.",
  async draw(arrays) {
    const volume = await arrays.get("amplitude");
    return { volume, scale: { map: "sequential", low: 0, high: largest(volume.data), log: false }, unit: "", times: 1 };
  },
};

const phase = (id: string, label: string, about: string): Quantity => ({
  id,
  label,
  array: id,
  space: "object",
  about,
  async draw(arrays) {
    const [volume, shown] = await Promise.all([arrays.get(id), within(arrays)]);
    return { volume, scale: { map: "cyclic", low: -Math.PI, high: Math.PI, log: false }, unit: "rad", times: 1, shown };
  },
});

const signed = (id: string, label: string, unit: string, times: number, about: string): Quantity => ({
  id,
  label,
  array: id,
  space: "object",
  about,
  async draw(arrays) {
    const volume = await arrays.get(id);
    const top = quantile(volume.data, 0.995);
    return { volume, scale: { map: "diverging", low: -top, high: top, log: false }, unit, times };
  },
});

const FAINTEST = 0.3; // root of a count: below one photon the colour is the darkest

const pattern = (id: string, array: string, label: string, about: string): Quantity => ({
  id,
  label,
  array,
  space: "pattern",
  about,
  async draw(arrays) {
    const reference = await arrays.get("modulus");
    const volume = await arrays.get(array);
    const scale: Scale = { map: "sequential", low: FAINTEST, high: Math.max(1, largest(reference.data)), log: true };
    return { volume, scale, unit: "√counts", times: 1, shown: array === "modulus" ? await measured(arrays) : undefined };
  },
});

const difference: Quantity = {
  id: "difference",
  label: "Difference",
  array: "calculated",
  space: "pattern",
  about: "Calculated minus measured modulus; Poisson noise alone leaves about ±0.5 √counts.",
  async draw(arrays) {
    const [calculated, modulus, shown] = await Promise.all([arrays.get("calculated"), arrays.get("modulus"), measured(arrays)]);
    const data = new Float32Array(calculated.data.length);
    for (let at = 0; at < data.length; at++) data[at] = calculated.data[at]! - modulus.data[at]!;
    const top = Math.max(1, quantile(data, 0.999));
    return { volume: { data, shape: calculated.shape }, scale: { map: "diverging", low: -top, high: top, log: false }, unit: "√counts", times: 1, shown };
  },
};

const LIT = 1e-3; // of the most light: where less fell, an object means nothing (inphase/ptycho/continuation.py)

const lit = async (arrays: Arrays): Promise<(at: number) => boolean> => {
  const light = (await arrays.get("coverage")).data;
  const least = LIT * largest(light);
  return (at) => light[at]! > least;
};

const bright = (volume: Volume, shown?: (at: number) => boolean): Drawn => ({
  volume,
  scale: { map: "sequential", low: quantile(volume.data, 0.001), high: quantile(volume.data, 0.999), log: false },
  unit: "",
  times: 1,
  shown,
});

/** What a ptychographic scan gives. */
const PTYCHOGRAPHIC: Quantity[] = [
  {
    id: "amplitude",
    label: "Amplitude",
    array: "object",
    space: "object",
    about: "Amplitude of the object, where light fell on it.",
    draw: async (arrays) => bright(amplitudes(await arrays.get("object")), await lit(arrays)),
  },
  {
    id: "phase",
    label: "Phase",
    array: "object",
    space: "object",
    about: "Phase of the object against its mean, where light fell on it.",
    async draw(arrays) {
      const shown = await lit(arrays);
      const volume = phases(await arrays.get("object"), shown);
      const top = quantile(volume.data, 0.995);
      return { volume, scale: { map: "diverging", low: -top, high: top, log: false }, unit: "rad", times: 1 };
    },
  },
  {
    id: "probe",
    label: "Probe",
    array: "probe",
    space: "object",
    about: "Amplitude of the probe; axis 0 counts its modes.",
    draw: async (arrays) => bright(amplitudes(await arrays.get("probe"))),
  },
  {
    id: "coverage",
    label: "Coverage",
    array: "coverage",
    space: "object",
    about: "Light that fell on the object: the probe's intensity, summed over the frames.",
    draw: async (arrays) => bright(await arrays.get("coverage")),
  },
];

/** Those that this job has. */
export function quantities(job: Job): Quantity[] {
  if (job.ptychography) return PTYCHOGRAPHIC;
  const strained = "strain" in job.links;
  return [
    amplitude,
    phase("phase", "Phase", "Phase of the object, drawn within the support."),
    phase("phase_flat", "Phase, ramp removed", "The phase without its linear part, drawn within the support."),
    ...(strained
      ? [
          signed("strain", "Strain", "", 1, "Strain along Q about the crystal's own mean lattice."),
          signed("displacement", "Displacement", "pm", 1e12, "Displacement along Q."),
        ]
      : []),
    pattern("measured", "modulus", "Measured", "Measured modulus on the grid, in a logarithmic scale; masked voxels are left out."),
    pattern("calculated", "calculated", "Calculated", "Modulus of the object's far field, in the same scale as the measured one."),
    difference,
  ];
}

/** Something of two aligned results: that of A, that of B, and B minus A, in this order. */
export interface Compared {
  id: string;
  label: string;
  about: string;
  draw(arrays: Arrays): Promise<Drawn[]>;
}

const three = (arrays: Arrays, id: string): Promise<Volume[]> => Promise.all(["a", "b", "difference"].map((side) => arrays.get(`${id}_${side}`)));

/** Both sides in one scale, and their difference in one about zero. least: the smallest difference that has the full colour. */
const pair = (id: string, label: string, unit: string, least: number, scaled: (a: Volume, b: Volume) => Scale, about: string): Compared => ({
  id,
  label,
  about,
  async draw(arrays) {
    const [a, b, difference] = (await three(arrays, id)) as [Volume, Volume, Volume];
    const scale = scaled(a, b);
    const top = Math.max(least, quantile(difference.data, 0.995));
    const apart: Scale = { map: "diverging", low: -top, high: top, log: false };
    return [a, b, difference].map((volume, at) => ({ volume, scale: at < 2 ? scale : apart, unit, times: 1 }));
  },
});

/** What two results can be compared by. strained: whether both have strain maps. */
export function compared(strained: boolean): Compared[] {
  return [
    pair("amplitude", "Amplitude", "", 0.01, (a, b) => ({ map: "sequential", low: 0, high: Math.max(largest(a.data), largest(b.data)), log: false }),
      "Density of both; 1 is the 99.9th percentile of A within its support."),
    pair("phase", "Phase", "rad", 0.01, () => ({ map: "cyclic", low: -Math.PI, high: Math.PI, log: false }),
      "Phases without their ramps and offsets, drawn within each support; the difference where both are bright."),
    ...(strained
      ? [
          pair("strain", "Strain", "", 1e-7,
            (a, b) => {
              const top = Math.max(quantile(a.data, 0.995), quantile(b.data, 0.995));
              return { map: "diverging", low: -top, high: top, log: false };
            },
            "Strain along Q of both, each about its own mean lattice."),
        ]
      : []),
  ];
}
