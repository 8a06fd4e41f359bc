// Live scans: rocking curves that are imaged while they are still being measured.

import { useEffect, useMemo, useState } from "preact/hooks";
import { abortScan, finishScan, json, type Level, type Login, type State } from "../api";
import type { LiveJobs } from "../live";
import { mayEnd, ReasonDialog } from "../parts/ask";
import { Curve } from "../parts/curve";
import { useListened, usePolled } from "../parts/hooks";
import { Picture } from "../parts/picture";
import { Facts, Panel, StateBadge, Trouble, TrustBadge } from "../parts/words";
import { clock, figure, percent, short, times } from "../words";

type ScanState = "open" | "finishing" | "finished" | "aborted";

interface Line {
  id: string;
  name: string;
  owner: string;
  proposal: string;
  created: string;
  state: ScanState;
  reason: string;
  ended_by: string;
  received: number;
  look: string | null;
}

interface Look {
  number: number;
  job: string;
  state: State;
  reason: string;
  final: boolean;
  frames: number;
  similarity: number | null;
  start: string | null;
  chi2: number | null;
  r_factor: number | null;
  trust: Level | null;
}

interface Scan extends Line {
  frames: {
    expected: number | null;
    received: number;
    duplicate: number;
    missing: number;
    missing_places: string;
    out_of_range: { count: number; reason: string };
  };
  words: string[];
  curve?: [number, number][];
  advice?: {
    peak: string;
    peak_place: number | null;
    beyond: number | null;
    saturated: number;
    border: string[];
    oversampling: number[] | null;
    similarity: number | null;
    steady: boolean | null;
    more: number | null;
    words: string[];
  };
  shape: [number, number];
  dtype: string;
  refine: string | null;
  model?: string | null;
  looks: Look[];
}

type Said = NonNullable<Scan["advice"]>;

const SIGNS: Record<ScanState, string> = { open: "◉", finishing: "◕", finished: "●", aborted: "⊘" };
const over = (state: ScanState): boolean => state === "finished" || state === "aborted";
const titleOf = (line: Line): string => line.name || `Scan ${short(line.id)}`;
const begun = (line: Line): string => `since ${clock(Date.parse(line.created) / 1000)}`;

const ScanBadge = ({ state }: { state: ScanState }) => (
  <span class={`state ${state}`}>
    <span aria-hidden="true">{SIGNS[state]}</span> {state}
  </span>
);

const Reason = ({ line }: { line: Line }) =>
  line.reason || line.ended_by ? (
    <p class="reason">{[line.reason, line.ended_by && `by ${line.ended_by}`].filter(Boolean).join(", ")}</p>
  ) : null;

export function ScanList({ live }: { live: LiveJobs }) {
  useListened(live);
  const { value, error } = usePolled<{ scans: Line[] }>("v1/scans?limit=100", 2);
  return (
    <div class="columns">
      <h1 class="wide">Live scans</h1>
      {error && <Trouble error={error} />}
      {value?.scans.length === 0 && (
        <p class="empty wide">Nothing is being measured. `inphase scan replay` rehearses it with a curve that you have.</p>
      )}
      {value?.scans.map((line) => (
        <Panel key={line.id} title={titleOf(line)} aside={<ScanBadge state={line.state} />}>
          <a class="shot" href={`#/scans/${line.id}`} aria-label={`Watch ${titleOf(line)}`}>
            <Picture line={line.look ? live.jobs.get(line.look) : undefined} name={titleOf(line)} />
          </a>
          <p>
            <a href={`#/scans/${line.id}`}>{line.received} frames</a>{" "}
            <small>{begun(line)}, {line.owner}{line.proposal && `, ${line.proposal}`}</small>
          </p>
          <Reason line={line} />
        </Panel>
      ))}
    </div>
  );
}

/** A scan as it stands, asked for again when its events say that something has come. */
function useScan(id: string): { scan: Scan | null; error: Error | null } {
  const [found, setFound] = useState<{ scan: Scan | null; error: Error | null }>({ scan: null, error: null });
  useEffect(() => {
    let gone = false;
    let asking = false;
    let again = false;
    const ask = async () => {
      again = asking;
      if (asking) return;
      asking = true;
      const [scan, error] = await json<Scan>(`v1/scans/${id}`).then((scan) => [scan, null] as const, (wrong: Error) => [null, wrong] as const);
      asking = false;
      if (gone) return;
      setFound((before) => ({ scan: scan ?? before.scan, error }));
      if (again) void ask();
    };
    const stream = new EventSource(`v1/scans/${id}/events`);
    for (const kind of ["state", "frames", "look"]) stream.addEventListener(kind, ask);
    stream.addEventListener("state", (event) => over(JSON.parse(event.data).state) && stream.close());
    void ask();
    return () => {
      gone = true;
      stream.close();
    };
  }, [id]);
  return found;
}

export function ScanView({ id, live, login }: { id: string; live: LiveJobs; login: Login }) {
  const { scan, error } = useScan(id);
  const [asking, setAsking] = useState<"finish" | "abort" | null>(null);
  useListened(live);
  if (!scan) return <div class="columns">{error && <Trouble error={error} />}</div>;
  const name = titleOf(scan);
  const shown = scan.looks.find((look) => look.state === "succeeded") ?? scan.looks[0];
  return (
    <div class="columns scan">
      <div class="title wide">
        <a class="back" href="#/scans" aria-label="All live scans">←</a>
        <h1>{name}</h1>
        <ScanBadge state={scan.state} />
        <span class="id" title={id}>{short(id)}</span>
        <small>{begun(scan)}, {scan.owner}{scan.proposal && `, ${scan.proposal}`}</small>
        <span class="grow" />
        {mayEnd(login) && (
          <span class="line">
            {scan.state === "open" && <button type="button" class="primary" onClick={() => setAsking("finish")}>Finish</button>}
            {!over(scan.state) && <button type="button" onClick={() => setAsking("abort")}>Abort</button>}
          </span>
        )}
      </div>
      {error && <Trouble error={error} />}
      <Reason line={scan} />
      <Panel title="Newest image" aside={shown && <span class="n">look {shown.number}, {shown.frames} frames</span>}>
        {shown ? (
          <a class="shot tall" href={`#/jobs/${shown.job}`} aria-label={`The job of look ${shown.number}`}>
            <Picture line={live.jobs.get(shown.job)} name={`look ${shown.number}`} />
          </a>
        ) : (
          <p class="empty">There is no image yet: looks begin when {scan.advice ? "the peak has been passed" : "frames lie together"}.</p>
        )}
      </Panel>
      <Panel title="Frames" aside={<span class="n">{scan.frames.received}{scan.frames.expected !== null && ` of ${scan.frames.expected}`}</span>}>
        <Frames scan={scan} />
      </Panel>
      <Panel title="Advice" aside={scan.advice && <span class="tag">peak {scan.advice.peak}</span>}>
        <Words scan={scan} />
      </Panel>
      <Panel title="Looks, newest first" wide>
        <Looks scan={scan} live={live} />
      </Panel>
      {asking === "finish" && (
        <ReasonDialog title="Finish this scan?" name={name} id={id} label="Reason, if there is one" verb="Finish the scan" keep="Go on"
          ask={(reason) => finishScan(id, reason)} done={() => setAsking(null)} />
      )}
      {asking === "abort" && (
        <ReasonDialog title="Abort this scan? No last image is made." name={name} id={id} label="Reason, which stays with the scan" verb="Abort the scan" keep="Go on" danger
          ask={(reason) => abortScan(id, reason)} done={() => setAsking(null)} />
      )}
    </div>
  );
}

function Frames({ scan: { frames, curve = [], shape, dtype } }: { scan: Scan }) {
  const points = useMemo((): [number[], (number | null)[]] => [curve.map(([place]) => place), curve.map(([, counts]) => counts || null)], [curve]);
  return (
    <>
      {frames.expected !== null && <progress class="wide-bar" max={frames.expected} value={frames.received} aria-label={`${frames.received} of ${frames.expected} frames`} />}
      {curve.length > 1 && <Curve label="Rocking curve so far" x="place" y="counts" log points={points} />}
      <Facts
        of={[
          ["received", frames.expected === null ? `${frames.received}, the end is open` : `${frames.received} of ${frames.expected}`],
          ["missing between", frames.missing ? `${frames.missing}: ${frames.missing_places}` : "none"],
          ["came twice", frames.duplicate || "none"],
          ["out of range", frames.out_of_range.count ? `${frames.out_of_range.count}; ${frames.out_of_range.reason}` : "none"],
          ["frame", `${times(shape)} of ${dtype}`],
        ]}
      />
    </>
  );
}

const Words = ({ scan: { advice, words, refine, model } }: { scan: Scan }) => (
  <>
    <ul class="reasons calm">{words.map((said) => <li key={said}>{said}</li>)}</ul>
    {advice && <Advice advice={advice} refine={refine} model={model ?? null} />}
  </>
);

function Advice({ advice, refine, model }: { advice: Said; refine: string | null; model: string | null }) {
  return (
      <Facts
        of={[
          ["brightest frame", advice.peak_place !== null && `place ${advice.peak_place}, ${advice.beyond} measured after it`],
          ["frames to go", advice.more],
          ["likeness to the look before", advice.similarity !== null && percent(advice.similarity)],
          ["the image is steady", advice.steady === null ? null : advice.steady ? "yes" : "not yet"],
          ["oversampling", advice.oversampling && times(advice.oversampling.map((side) => figure(side)))],
          ["pixels that are full", advice.saturated || null],
          ["peak cut by the border", advice.border.join(", ")],
          ["network", model],
          ["recipe", refine && <code>{refine}</code>],
        ]}
      />
  );
}

const Looks = ({ scan, live }: { scan: Scan; live: LiveJobs }) =>
  scan.looks.length === 0 ? (
    <p class="empty">{over(scan.state) ? "No image was made of this scan." : "No look has been asked for yet."}</p>
  ) : (
    <ol class="strip" tabIndex={0} aria-label="Looks, the newest first">
      {scan.looks.map((look) => (
        <li key={look.job}>
          <a href={`#/jobs/${look.job}`}>
            <Picture line={live.jobs.get(look.job)} name={`look ${look.number}`} />
          </a>
          <strong>{look.number}: {look.frames} frames{look.final && ", final"}</strong>
          {look.state === "succeeded" ? look.trust && <TrustBadge level={look.trust} /> : <StateBadge state={look.state} />}
          <small title={look.reason || undefined}>{look.reason || (look.chi2 !== null ? `χ² ${figure(look.chi2)}, from ${look.start}` : look.r_factor !== null && `R ${figure(look.r_factor)}`)}</small>
          <small>{look.similarity !== null && `likeness ${percent(look.similarity)}`}</small>
        </li>
      ))}
    </ol>
  );
