// All jobs that one may see, newest first, as they change.

import { Component } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ended, type JobLine, type Level, type Login, type State, STATES } from "../api";
import type { LiveJobs } from "../live";
import { mayEnd } from "../parts/ask";
import { CancelDialog } from "../parts/cancel";
import { useListened, useNow } from "../parts/hooks";
import { Picture } from "../parts/picture";
import { StateBadge, TrustBadge } from "../parts/words";
import { clock, figure, lasted, nameOf, NONE, short, span } from "../words";

const STEP = 100; // rows that are drawn at a time: the next ones when the last ones are near

interface Wanted {
  state: State | "";
  trust: Level | "";
  text: string;
}

const fits = (line: JobLine, { state, trust, text }: Wanted): boolean =>
  (!state || line.state === state) &&
  (!trust || line.trust === trust) &&
  (!text || [line.id, line.name, line.source, line.owner, line.model, line.recipe, line.series, line.reason].some((part) => part?.toLowerCase().includes(text)));

export function JobsView({ live, login }: { live: LiveJobs; login: Login }) {
  useListened(live);
  const [wanted, setWanted] = useState<Wanted>({ state: "", trust: "", text: "" });
  const [cancelled, setCancelled] = useState<JobLine | null>(null);
  const [ticked, setTicked] = useState<string[]>([]);
  const tick = useCallback((id: string) => setTicked((before) => (before.includes(id) ? before.filter((one) => one !== id) : [...before.slice(-1), id])), []);
  const lines = live.lines;
  const shown = useMemo(() => lines.filter((line) => fits(line, wanted)), [lines, wanted]);
  const counts = useMemo(() => {
    const found = new Map<State, number>();
    for (const line of lines) found.set(line.state, (found.get(line.state) ?? 0) + 1);
    return found;
  }, [lines]);
  const end = useRef<HTMLDivElement>(null);
  const [most, setMost] = useState(STEP);
  const more = shown.length > most;
  useEffect(() => setMost(STEP), [wanted]);
  useEffect(() => {
    if (!end.current) return;
    const near = new IntersectionObserver(([entry]) => entry!.isIntersecting && setMost(most + STEP), { rootMargin: "1500px" });
    near.observe(end.current);
    return () => near.disconnect();
  }, [most, more]);
  const now = useNow(lines.some((line) => !ended(line.state)));
  const cancelling = mayEnd(login) ? setCancelled : null;

  return (
    <div class="jobs">
      <h1 class="hidden">Jobs</h1>
      <form class="filters" role="search" aria-label="Which jobs are shown" onSubmit={(event) => event.preventDefault()}>
        <fieldset class="chips">
          <legend class="hidden">State</legend>
          <Chip label="all" count={lines.length} on={!wanted.state} pick={() => setWanted({ ...wanted, state: "" })} />
          {STATES.filter((state) => counts.has(state) || state === wanted.state).map((state) => (
            <Chip key={state} label={state} count={counts.get(state) ?? 0} on={wanted.state === state} pick={() => setWanted({ ...wanted, state })} />
          ))}
        </fieldset>
        <label>
          <span>Trust</span>
          <select value={wanted.trust} onChange={(event) => setWanted({ ...wanted, trust: event.currentTarget.value as Level | "" })}>
            <option value="">any</option>
            <option>high</option>
            <option>medium</option>
            <option>low</option>
          </select>
        </label>
        <label class="grow">
          <span>Find</span>
          <input type="search" placeholder="file, model, recipe, owner, reason, id" value={wanted.text}
            onInput={(event) => setWanted({ ...wanted, text: event.currentTarget.value.trim().toLowerCase() })} />
        </label>
        {ticked.length === 2 ? (
          <a class="button" href={`#/compare/${ticked[0]}/${ticked[1]}`}>Compare the two</a>
        ) : (
          ticked.length === 1 && <span class="count">Tick another one to compare.</span>
        )}
        <span class="count" role="status">
          {live.complete ? `${shown.length} of ${lines.length}${live.truncated ? ", older ones are not listed" : ""}` : "listing"}
        </span>
      </form>
      {live.complete && lines.length === 0 ? (
        <p class="empty">There are no jobs yet. {login.scope !== "read" && <a href="#/new">Submit the first one.</a>}</p>
      ) : (
        <div class="list" role="table" aria-label="Jobs" aria-rowcount={shown.length} onKeyDown={walk}>
          <div class="row head" role="row">
            {["Image", "State", "Source", "Model and recipe", "Fit", "Trust", "When", "Action"].map((title) => (
              <span key={title} role="columnheader" class={title === "Image" || title === "Action" ? "hidden-text" : undefined}>{title}</span>
            ))}
          </div>
          {shown.slice(0, most).map((line) => (
            <Row key={line.id} line={line} now={ended(line.state) ? 0 : now} cancelling={cancelling} ticked={ticked.includes(line.id)} tick={tick} />
          ))}
        </div>
      )}
      {more && <div ref={end} />}
      {cancelled && <CancelDialog id={cancelled.id} name={nameOf(cancelled.source, cancelled.name)} done={() => setCancelled(null)} />}
    </div>
  );
}

const Chip = ({ label, count, on, pick }: { label: string; count: number; on: boolean; pick: () => void }) => (
  <button type="button" class="chip" aria-pressed={on} onClick={pick}>
    {label} <b>{count}</b>
  </button>
);

/** Arrow keys, j and k go from job to job. */
function walk(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (!step || !(event.currentTarget instanceof HTMLElement)) return;
  const links = [...event.currentTarget.querySelectorAll<HTMLElement>(".row > .source > a")];
  const row = (event.target as HTMLElement).closest(".row");
  const at = links.findIndex((link) => link.closest(".row") === row);
  links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
  event.preventDefault();
}

interface RowProps {
  line: JobLine;
  now: number;
  cancelling: ((line: JobLine) => void) | null;
  ticked: boolean;
  tick: (id: string) => void;
}

/** One line; drawn anew only when it has changed. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return (
      next.line !== this.props.line || next.now !== this.props.now || next.cancelling !== this.props.cancelling || next.ticked !== this.props.ticked
    );
  }

  render({ line, now, cancelling, ticked, tick }: RowProps) {
    const name = nameOf(line.source, line.name);
    return (
      <div class={`row ${line.state}`} role="row">
        <span class="thumb" role="cell">
          <Picture line={line} name={name} />
        </span>
        <span role="cell"><StateBadge state={line.state} /></span>
        <span role="cell" class="source">
          <a href={`#/jobs/${line.id}`} title={line.source ?? undefined}>{name}</a>
          <small><span class="id">{short(line.id)}</span> {line.owner}{line.series && `, series ${short(line.series)}`}</small>
        </span>
        <span role="cell">
          {line.model ?? NONE}
          <small title={line.recipe ?? undefined}>{line.recipe}</small>
        </span>
        <span role="cell" class="fit"><Fit line={line} /></span>
        <span role="cell">{line.trust ? <TrustBadge level={line.trust} /> : NONE}</span>
        <span role="cell" class="n">
          {clock(line.created)}
          <small>{span(lasted(line, now))}</small>
        </span>
        <span role="cell">
          {cancelling && !ended(line.state) && (
            <button type="button" aria-label={`Cancel ${name}`} onClick={() => cancelling(line)}>Cancel</button>
          )}
          {line.state === "succeeded" && line.chi2 !== null && (
            <label class="check">
              <input type="checkbox" checked={ticked} aria-label={`Compare ${name} ${short(line.id)}`} onChange={() => tick(line.id)} />
              <span aria-hidden="true">compare</span>
            </label>
          )}
        </span>
      </div>
    );
  }
}

function Fit({ line }: { line: JobLine }) {
  if (line.progress) {
    const { iteration, total, chi2 } = line.progress;
    return (
      <>
        <progress max={total} value={iteration} aria-label={`Iteration ${iteration} of ${total}`} />
        <small>{iteration} of {total}{chi2 !== null && `, χ² ${figure(chi2)}`}</small>
      </>
    );
  }
  if (line.state === "succeeded" && line.chi2 === null) return <>R {figure(line.r_factor)}</>; // of a ptychographic scan
  if (line.state === "succeeded")
    return (
      <>
        χ² {figure(line.chi2)}
        <small>{line.support_voxels} voxels</small>
      </>
    );
  return line.reason ? <small class="reason" title={line.reason}>{line.reason}</small> : <>{NONE}</>;
}
