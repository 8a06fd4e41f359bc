import { useEffect, useMemo, useState } from "preact/hooks";
import { json } from "../api";
import type { LiveJobs } from "../live";

/** Draws anew when the jobs have changed. */
export function useListened(live: LiveJobs): void {
  const [, draw] = useState(0);
  useEffect(() => live.listen(() => draw((count) => count + 1)), [live]);
}

/** What an address answers, asked for again every `seconds` and by `again`; an error in its place. */
export function usePolled<T>(path: string, seconds: number): { value: T | null; error: Error | null; again: () => void } {
  const [turn, setTurn] = useState(0);
  const [found, setFound] = useState<{ value: T | null; error: Error | null }>({ value: null, error: null });
  useEffect(() => {
    let gone = false;
    const ask = () =>
      json<T>(path).then(
        (value) => gone || setFound({ value, error: null }),
        (error: Error) => gone || setFound((before) => ({ ...before, error })),
      );
    ask();
    const timer = setInterval(() => document.hidden || ask(), 1000 * seconds);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [path, seconds, turn]);
  return { ...found, again: () => setTurn((before) => before + 1) };
}

/** The time in seconds since the epoch, every second while somebody needs it. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}

/** A colour of the style sheet, in the scheme that is shown now: for what is drawn by hand. */
export const colourOf = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The size of the type in pixels: what is drawn by hand grows with it. */
export const sizeOfType = (): number => parseFloat(getComputedStyle(document.documentElement).fontSize);

/** Whether the screen is as a media query says. */
export function useScreen(query: string): boolean {
  const asked = useMemo(() => matchMedia(query), [query]);
  const [fits, setFits] = useState(asked.matches);
  useEffect(() => {
    const changed = () => setFits(asked.matches);
    asked.addEventListener("change", changed);
    return () => asked.removeEventListener("change", changed);
  }, [asked]);
  return fits;
}
