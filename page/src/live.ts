// All jobs that the caller may see, kept as they are by the service's stream of events.

import { type JobLine, json, type Progress } from "./api";

const GLANCE = 30; // about as many as a window shows
const PAGE = 500;
const MOST = 5000; // lines that are kept

export type Link = "connecting" | "live" | "away";

/** Lists the jobs, then follows what happens to them. Listeners are told at most once a frame. */
export class LiveJobs {
  readonly jobs = new Map<string, JobLine>();
  link: Link = "connecting";
  complete = false;
  truncated = false;
  private sorted: JobLine[] | null = null;
  private stream: EventSource | null = null;
  private listing: AbortController | null = null;
  private fresh = new Set<string>(); // told of since the listing began
  private heard = new Set<() => void>();
  private announced = false;

  /** Newest first. */
  get lines(): JobLine[] {
    this.sorted ??= [...this.jobs.values()].sort((a, b) => b.created - a.created);
    return this.sorted;
  }

  listen(told: () => void): () => void {
    this.heard.add(told);
    return () => this.heard.delete(told);
  }

  start(): void {
    this.stop();
    const stream = new EventSource("v1/events");
    this.stream = stream;
    if (!this.jobs.size) void this.glance();
    stream.addEventListener("listening", () => void this.list());
    stream.addEventListener("job", (event) => {
      const line: JobLine = JSON.parse(event.data);
      this.fresh.add(line.id);
      this.put(line);
    });
    stream.addEventListener("progress", (event) => this.progress(JSON.parse(event.data)));
    stream.addEventListener("removed", (event) => {
      this.jobs.delete(JSON.parse(event.data).id);
      this.changed();
    });
    stream.onopen = () => this.linked("live");
    stream.onerror = () => {
      this.linked("away");
      // a browser gives up after an answer that is no stream; a service that is busy or restarts is asked again
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => this.stream === stream && this.start(), 3000);
    };
  }

  stop(): void {
    this.stream?.close();
    this.stream = null;
    this.listing?.abort();
  }

  put(line: JobLine): void {
    this.jobs.set(line.id, line);
    this.changed();
  }

  private progress({ id, ...progress }: Progress & { id: string }): void {
    const line = this.jobs.get(id);
    if (line) this.put({ ...line, progress });
  }

  /** The newest jobs while the stream is being opened; the list that follows has them all. */
  private async glance(): Promise<void> {
    const page = await json<{ jobs: JobLine[] }>(`v1/jobs?limit=${GLANCE}`).catch(() => null); // the list says what is wrong
    for (const line of page?.jobs ?? []) if (!this.jobs.has(line.id)) this.jobs.set(line.id, line);
    this.changed();
  }

  private async list(): Promise<void> {
    this.listing?.abort();
    const listing = new AbortController();
    this.listing = listing;
    const seen = new Set<string>();
    this.fresh.clear();
    let cursor: string | null = "";
    try {
      while (cursor !== null && seen.size < MOST) {
        const query: string = cursor ? `&cursor=${cursor}` : "";
        const page: { jobs: JobLine[]; cursor: string | null } = await json(`v1/jobs?limit=${seen.size ? PAGE : 100}${query}`, {
          signal: listing.signal,
        });
        for (const line of page.jobs) {
          seen.add(line.id);
          if (!this.fresh.has(line.id)) this.jobs.set(line.id, line); // what the stream told is newer
        }
        cursor = page.cursor;
        this.changed();
      }
    } catch (error) {
      if (!listing.signal.aborted) this.linked("away");
      return;
    }
    for (const id of this.jobs.keys()) if (!seen.has(id) && !this.fresh.has(id) && cursor === null) this.jobs.delete(id);
    this.truncated = cursor !== null;
    this.complete = true;
    this.changed();
  }

  private linked(link: Link): void {
    this.link = link;
    this.changed();
  }

  private changed(): void {
    this.sorted = null;
    if (this.announced) return;
    this.announced = true;
    requestAnimationFrame(() => {
      this.announced = false;
      for (const told of this.heard) told();
    });
  }
}
