// What a new job is made of: the kinds of measurements, which files hold them, and how they are sent.

import { json } from "./api";

/** A file of this computer, or the path of one that the service reads. */
export type Data = { file: File } | { path: string };

/** A measurement that the service takes by a call of its own. */
export interface Kind {
  label: string;
  view: string; // the address of its form
  route: string;
  suffixes: string[]; // of files that are sent as they are
  readable: string; // what may lie below a data root
  example: string;
  wait: number; // seconds in which the answer tells what is wrong with data that nobody has looked at
  fits: (family: string) => boolean; // whether it is a network for them
  withoutNetwork: string; // what it means that none is named
  recipe: string; // says what the recipe `none` gives
  recipes: string[]; // the default one first
}

const HDF5 = ["h5", "hdf5", "hdf", "nxs", "nx5", "cxi"];

export const PATTERN: Kind = {
  label: "A rocking curve or single frames",
  view: "#/new",
  route: "v1/reconstructions",
  suffixes: ["npy", "npz", ...HDF5, "tif", "tiff", "mat"],
  readable: "HDF5, CXI, TIFF, MATLAB, npy, npz, a folder of frames",
  example: "scan_0054/",
  wait: 0,
  fits: (family) => family !== "scan",
  withoutNetwork: "the default one",
  recipe: "recipe or preset (“none” gives the network's image, not refined)",
  recipes: ["fast", "none", "coarse", "standard", "strained", "thorough"],
};

export const PTYCHOGRAM: Kind = {
  label: "A ptychographic scan",
  view: "#/new/ptychography",
  route: "v1/ptychograms",
  suffixes: ["npz", ...HDF5, "ptyd"],
  readable: "CXI, NeXus, PtyPy, ptychodus, npz",
  example: "scan_0054.cxi",
  wait: 5,
  fits: (family) => family === "scan",
  withoutNetwork: "none",
  recipe: "recipe (“none” leaves the network's image as it is)",
  recipes: ["60*EPIE", "40*RPIE", "20*RAAR+40*EPIE", "30*EPIE+10*LBFGS(loss=poisson)", "none"],
};

export const KINDS = [PATTERN, PTYCHOGRAM];

const MEDIA: Record<string, string> = {
  npy: "application/x-npy",
  npz: "application/x-npz",
  cxi: "application/x-cxi",
  nxs: "application/x-nexus",
  nx5: "application/x-nexus",
  mat: "application/x-matlab-data",
  tif: "image/tiff",
  tiff: "image/tiff",
};

const suffix = (name: string): string => name.toLowerCase().split(".").at(-1) ?? "";

/** Why data of this kind cannot be sent, if so. */
export function unsent(kind: Kind, data: Data | null): Error | null {
  if (!data || "path" in data || kind.suffixes.includes(suffix(data.file.name))) return null;
  return new Error(`${data.file.name} is not sent from here: files that end in ${kind.suffixes.join(", ")} are. Below a data root the service itself reads ${kind.readable}: give the path.`);
}

/** A request with these data; options go into its query. masked: boxes of them, as `masked=` takes them. */
export function sent<T>(data: Data, options: URLSearchParams, address: string, masked = ""): Promise<T> {
  if ("path" in data) {
    const body = JSON.stringify({ source: { kind: "file", path: data.path.trim(), ...(masked && { masked }) } });
    return json(`${address}?${options}`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  }
  // as they are: percent signs would make them three times as long
  const query = masked ? `${options}&masked=${masked}` : options;
  const type = MEDIA[suffix(data.file.name)] ?? "application/x-hdf5";
  return json(`${address}?${query}`, { method: "POST", headers: { "Content-Type": type }, body: data.file });
}
