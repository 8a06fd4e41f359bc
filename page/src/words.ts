// Numbers, times and names as people read them.

import type { JobLine } from "./api";

export const NONE = "–";

/** Three significant digits; what is very small or large in powers of ten. */
export function figure(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    return `${mantissa} × 10${superscript(Number(power))}`.replace("-", "−");
  }
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

/** A mark of a logarithmic axis. */
export function mark(value: number): string {
  const power = Math.round(Math.log10(value));
  const whole = Math.abs(value / 10 ** power - 1) < 1e-9;
  return whole && Math.abs(power) > 3 ? `10${superscript(power)}` : figure(value, 2);
}

function superscript(power: number): string {
  return String(power).replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(sign)] ?? ""));
}

export const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;
export const times = (sides: readonly (number | string)[]): string => sides.join(" × ");

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${Number(count.toPrecision(3))} ${units[unit]}`;
}

export function span(seconds: number): string {
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

const timeOf = (found: Date): string => found.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** Day and time, where the reader is, of a moment in ISO 8601 or in seconds since the epoch. */
export function moment(when: string | number): string {
  const found = new Date(typeof when === "number" ? 1000 * when : when);
  return `${found.toLocaleDateString("sv-SE")} ${timeOf(found)}`; // as ISO 8601 writes a day
}

/** The time of the day, with the date where it is another day. */
export function clock(seconds: number): string {
  const found = new Date(1000 * seconds);
  return found.toDateString() === new Date().toDateString() ? timeOf(found) : moment(seconds);
}

/** The last part of a path, or what else a source is called. */
export function nameOf(source: string | null, name = ""): string {
  if (name) return name;
  if (!source) return "sent data";
  const sent = /^body of application\/(?:x-)?(.+)$/.exec(source);
  if (sent) return `sent ${sent[1]}`;
  return source.split("/").filter(Boolean).at(-1) ?? source;
}

export const short = (id: string): string => id.slice(0, 8);

/** How long a job has taken from its beginning to its end, or to now. */
export function lasted(line: JobLine, now: number): number {
  return Math.max(0, (line.finished ?? now) - line.created);
}
