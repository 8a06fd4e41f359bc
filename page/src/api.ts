// What the service answers, and how it is asked. Addresses are relative: the service may stand below a prefix.

export type State = "accepted" | "reading" | "queued" | "running" | "succeeded" | "failed" | "cancelled";
export type Level = "high" | "medium" | "low";
export const STATES: State[] = ["accepted", "reading", "queued", "running", "succeeded", "failed", "cancelled"];
export const ended = (state: State): boolean => state === "succeeded" || state === "failed" || state === "cancelled";

export interface Progress {
  iteration: number;
  total: number;
  chi2: number | null;
  support_voxels: number | null;
  stage: string;
  preview: string | null;
}

/** One line of the list of jobs. */
export interface JobLine {
  id: string;
  name: string;
  state: State;
  reason: string;
  owner: string;
  priority: string;
  series: string | null;
  model: string | null;
  recipe: string | null;
  source: string | null;
  chi2: number | null;
  r_factor: number | null;
  support_voxels: number | null;
  trust: Level | null;
  created: number;
  started: number | null;
  finished: number | null;
  progress: Progress | null;
  revisions: number;
}

export interface Revision {
  number: number;
  kind: "network" | "refined";
  final: boolean;
  made: string;
  result: string;
}

export interface Score {
  chi2: number;
  r_factor: number;
  support_voxels: number;
  llk: number | null;
  free_llk: number | null;
  free_llk_reason: string | null;
}

export interface Step {
  name: string;
  numbers: Record<string, number | string | number[]>;
  faults: string[];
  doubts: string[];
}

/** A step of a refinement from the model's grid to that of the measurement. kept: its image took the place of the one before. */
export interface Rung {
  shape: number[];
  recipe: string;
  chi2: number;
  start_free_llk: number | null;
  free_llk: number | null;
  support_voxels: number;
  kept: boolean;
}

/** The job document; the parts of the report are null until the data have been read. */
export interface Job {
  id: string;
  name: string;
  state: State;
  reason: string;
  attempt: number;
  owner: string;
  priority: string;
  reused_from: string | null;
  created: string;
  started: string | null;
  finished: string | null;
  queue_position: number | null;
  progress: Progress | null;
  links: Record<string, string>;
  revisions: Revision[];
  model: { name: string; version: number; sha256: string; provider: string } | null;
  recipe: { preprocess: string; refine: string } | null;
  input: { digest: string; shape: number[]; dtype: string; domain: string; source: string; chosen: string } | null;
  oversampling: { measured: number[]; after: number[] } | null;
  preprocess: {
    steps: Step[];
    valid_fraction: number;
    counts_inside: number;
    padding_bound: number;
    binning: number[];
    offset: number[];
    shape: number[];
    voxel_size_m: number[] | null;
  } | null;
  metrics: { noise_chi2: number | null; network: Score | null; random_start: Score | null; refined?: Score | null; final: Score | null } | null;
  start: { requested: string; kind: string; why: string; random_starts: number; seed: number } | null;
  timings_ms: Record<string, number> | null;
  code_version: string | null;
  trust: { level: Level; reasons: string[]; probability: number | null; probability_reason: string | null } | null;
  strain: { d_spacing_m: number; strain_mean: number; strain_rms: number; voxels: number } | null;
  strain_reason: string | null;
  series: { id: string; scan: number } | null;
  look: { scan: string; number: number; final: boolean } | null;
  ptychography: { source: string; options: { recipe: string; seed: number }; report: Ptychogram | null } | null;
  proposal: string;
  grid: { requested: string; why: string; levels: Rung[]; stopped: string | null } | null;
}

/** What a ptychographic image says of itself. history: the R factor after each iteration. pixel_m: of the object, along both axes. r_noise: what the noise of photons alone would leave, deviance: 1 where it is all that is left, null where counts are no photons. The last three are missing of images that were made before they were told. */
export interface Ptychogram {
  frames: number;
  frames_held_out: number;
  r_factor: number;
  r_held_out: number | null;
  history: number[];
  position_shift_px: number | null;
  pixel_m: number[] | null;
  device: string;
  notes: string[];
  r_noise?: number | null;
  deviance?: number | null;
  verdict?: string[];
}

/** What runs a network. passed_over: what was tried before and does not. */
export interface Execution {
  provider: string | null;
  arithmetic: string | null;
  passed_over: { execution: string; why: string }[];
}

export interface ModelLine extends Execution {
  name: string;
  family: string;
  active: number | null;
  versions: number[];
  default: boolean;
}

export interface ModelList {
  models: ModelLine[];
  refused: { folder: string; why: string }[];
}

export interface Login {
  owner: string;
  scope: "read" | "submit" | "admin";
}

/** What the service says of a request that it refuses. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    detail: string,
    readonly type = "",
    readonly request = "",
  ) {
    super(detail);
  }
}

let whenLoggedOut = (): void => {};

/** Told when an answer says that the login has ended. */
export function onLoggedOut(told: () => void): void {
  whenLoggedOut = told;
}

/** An answer with a status below 400. Throws a Refusal for any other, and where nobody answers. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("Inphase-Page", "1");
  let answer: Response;
  try {
    answer = await fetch(path.replace(/^\//, ""), { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refusal(0, "No answer", "The service does not answer. The page tries again when it is back.");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !path.endsWith("v1/login")) whenLoggedOut();
  throw new Refusal(answer.status, told.title ?? answer.statusText, told.detail ?? "", told.type, told.request_id);
}

export async function json<T>(path: string, init?: RequestInit): Promise<T> {
  return (await call(path, init)).json() as Promise<T>;
}

export const logIn = (key: string): Promise<Login> =>
  json("v1/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }) });

export const activate = (model: string, version: number): Promise<Response> =>
  call(`v1/models/${encodeURIComponent(model)}/active`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ version }) });

const because = (reason: string): string => `?reason=${encodeURIComponent(reason)}`;

export const cancel = (id: string, reason: string): Promise<Response> => call(`v1/jobs/${id}${because(reason)}`, { method: "DELETE" });
export const finishScan = (id: string, reason: string): Promise<Response> => call(`v1/scans/${id}/finish${because(reason)}`, { method: "POST" });
export const abortScan = (id: string, reason: string): Promise<Response> => call(`v1/scans/${id}${because(reason)}`, { method: "DELETE" });
