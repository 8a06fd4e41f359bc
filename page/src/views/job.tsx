// One job: its images, how it came to them, and how far they can be relied on.

import { useEffect, useMemo, useState } from "preact/hooks";
import { ended, type Job, json, type Login, type Progress, type Ptychogram, type Score } from "../api";
import type { LiveJobs } from "../live";
import { mayEnd } from "../parts/ask";
import { CancelDialog } from "../parts/cancel";
import { Curve } from "../parts/curve";
import { useListened, useNow, useScreen } from "../parts/hooks";
import { Slices } from "../parts/slices";
import { Surface } from "../parts/surface";
import { Facts, Panel, StateBadge, Trouble, TrustBadge } from "../parts/words";
import { type Arrays, ofRevision } from "../volume";
import { figure, moment, nameOf, NONE, percent, short, span, times } from "../words";

const WIDE = "(min-width: 1700px)"; // the surface stands beside the slices: style.css has the same width
const FORMATS = [
  ["npz", "every array and this document"],
  ["cxi", "CXI 1.6"],
  ["vts", "ParaView, in the laboratory frame"],
  ["vti", "ParaView, on the grid"],
  ["mat", "MATLAB"],
];

/** The job document, fetched again whenever the list says that the job has changed. */
function useJob(id: string, live: LiveJobs): { job: Job | null; error: Error | null } {
  const [found, setFound] = useState<{ job: Job | null; error: Error | null }>({ job: null, error: null });
  useListened(live);
  const line = live.jobs.get(id);
  const version = line ? `${line.state} ${line.revisions} ${line.reason}` : "";
  useEffect(() => {
    let gone = false;
    json<Job>(`v1/jobs/${id}`).then(
      (job) => gone || setFound({ job, error: null }),
      (error) => gone || setFound((before) => ({ ...before, error })),
    );
    return () => {
      gone = true;
    };
  }, [id, version]);
  return found;
}

/** The errors of a refinement from its first iteration on, while it runs and afterwards. */
function useCourse(id: string): Progress[] {
  const [course, setCourse] = useState<Progress[]>([]);
  useEffect(() => {
    let points: Progress[] = [];
    let due = false;
    const draw = () => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        setCourse(points);
      });
    };
    const stream = new EventSource(`v1/jobs/${id}/events`);
    stream.addEventListener("progress", (event) => {
      const progress: Progress = JSON.parse(event.data);
      // a new attempt begins again
      points = [...points.filter((point) => point.iteration < progress.iteration), progress];
      draw();
    });
    stream.addEventListener("state", (event) => {
      if (ended(JSON.parse(event.data).state)) stream.close();
    });
    return () => stream.close();
  }, [id]);
  return course;
}

export function JobView({ id, live, login }: { id: string; live: LiveJobs; login: Login }) {
  const { job, error } = useJob(id, live);
  const course = useCourse(id);
  const [asking, setAsking] = useState(false);
  const [chosen, choose] = useState<number | null>(null);
  const newest = job?.revisions.at(-1);
  const revision = job?.revisions.find(({ number }) => number === chosen) ?? newest;
  const arrays = useMemo(() => (revision ? ofRevision(id, revision.number) : null), [id, revision?.number]);
  const now = useNow(job !== null && !ended(job.state));
  const wide = useScreen(WIDE);

  if (!job) return <div class="columns">{error && <Trouble error={error} />}</div>;
  const name = nameOf(job.input?.source ?? job.ptychography?.source ?? live.jobs.get(id)?.source ?? null, job.name);
  const running = job.state === "running";
  const progress = course.at(-1);
  const begun = Date.parse(job.created) / 1000;
  const over = job.finished ? Date.parse(job.finished) / 1000 : now;
  const surface = revision && job.preprocess?.shape.length === 3 && (
    <Panel title="Surface">
      <Surface key={revision.number} job={id} revision={revision.number} has={(array) => revision.final && array in job.links} />
    </Panel>
  );
  return (
    <div class="columns job">
      <div class="title wide">
        <a class="back" href="#/jobs" aria-label="All jobs">←</a>
        <h1>{name}</h1>
        <StateBadge state={job.state} />
        {job.trust && <TrustBadge level={job.trust.level} />}
        <span class="id" title={job.id}>{short(job.id)}</span>
        <span class="n">{span(Math.max(0, over - begun))}</span>
        {job.queue_position !== null && <span>{job.queue_position} {job.queue_position === 1 ? "job" : "jobs"} before it</span>}
        <span class="grow" />
        {job.revisions.length > 0 && (
          <div class="tabs" role="radiogroup" aria-label="Revision">
            {job.revisions.map(({ number, kind, final }) => (
              <button key={number} type="button" role="radio" aria-checked={number === revision?.number} onClick={() => choose(number)}>
                {number}: {kind}{final && ", final"}
              </button>
            ))}
          </div>
        )}
        {job.state === "succeeded" && !job.ptychography && <CompareWith id={id} live={live} />}
        {!ended(job.state) && mayEnd(login) && <button type="button" onClick={() => setAsking(true)}>Cancel</button>}
      </div>
      {error && <Trouble error={error} />}
      {job.reason && <p class={`reason wide ${job.state}`}>{job.reason}</p>}
      {arrays && revision ? (
        <div class="wide beside">
          <Panel title={job.ptychography ? "Object and probe" : "Slices"}>
            <Slices key={revision.number} job={job} arrays={arrays} />
          </Panel>
          {wide && surface}
        </div>
      ) : (
        <Panel title="Image" wide>
          <p class="empty">{ended(job.state) ? "This job has no image." : "There is no image yet: the data have not been read."}</p>
        </Panel>
      )}
      <div class="flow wide">
      {!wide && surface}
      {job.ptychography ? (
        <Panel title="Fit">
          <Fit of={job.ptychography.report} />
        </Panel>
      ) : (
        <Panel title="Trust" aside={job.trust && <TrustBadge level={job.trust.level} />}>
          <Trust job={job} />
        </Panel>
      )}
      {job.ptychography?.report && <Course of={job.ptychography.report} />}
      {(running || (course.length > 0 && !job.ptychography)) && (
        <Panel title="Error" aside={progress && <span class="n">iteration {progress.iteration} of {progress.total}</span>}>
          {running && <progress class="wide-bar" max={progress?.total ?? 1} value={progress?.iteration ?? 0} aria-label="Progress of the refinement" />}
          {course.filter((point) => point.chi2 !== null).length > 1 && <Curve label="Error of the refinement" x="iteration" y="χ²" log points={[course.map((point) => point.iteration), course.map((point) => point.chi2)]}
            level={job.metrics?.noise_chi2 ? { value: job.metrics.noise_chi2, label: "noise" } : null} />}
          <small>
            {progress?.stage && `${progress.stage}. `}
            {job.metrics?.noise_chi2 ? `The broken line is what Poisson noise alone leaves, ${figure(job.metrics.noise_chi2)}.` : ""}
          </small>
          {running && progress?.preview && (
            <img class="iterate" src={`${progress.preview.slice(1)}?at=${progress.iteration}`} alt={`The object at iteration ${progress.iteration}: central slices, amplitude above phase`} />
          )}
        </Panel>
      )}
      {"prtf" in job.links && arrays && revision?.final && <Shells arrays={arrays} known={job.preprocess?.voxel_size_m != null} />}
      {job.grid && job.grid.levels.length > 0 && <Grids of={job.grid} />}
      {job.preprocess && <Preprocessing job={job} />}
      {job.timings_ms && Object.keys(job.timings_ms).length > 0 && <Timings of={job.timings_ms} />}
      <Provenance job={job} />
      {job.state === "succeeded" && (
        <Panel title="Downloads">
          <ul class="downloads">
            {FORMATS.filter(([format]) => !job.ptychography || format === "npz" || format === "cxi").map(([format, what]) => (
              <li key={format}>
                <a href={`v1/jobs/${id}/result?format=${format}&revision=${revision?.number}`} download>{format}</a> <span>{what}</span>
              </li>
            ))}
            <li>
              <a href={`v1/jobs/${id}`} download={`inphase-${id}.json`}>json</a> <span>this job's document</span>
            </li>
          </ul>
        </Panel>
      )}
      </div>
      {asking && <CancelDialog id={id} name={name} done={() => setAsking(false)} />}
    </div>
  );
}

const OFFERED = 50; // further ones are ticked in the list

/** Leads to the comparison with another job that has succeeded, one of the newest. */
function CompareWith({ id, live }: { id: string; live: LiveJobs }) {
  const others = live.lines.filter((line) => line.state === "succeeded" && line.chi2 !== null && line.id !== id).slice(0, OFFERED);
  if (!others.length) return null;
  return (
    <label class="compare-with">
      Compare with
      <select value="" onChange={(event) => (location.hash = `#/compare/${id}/${event.currentTarget.value}`)}>
        <option value="" disabled>another job</option>
        {others.map((line) => (
          <option key={line.id} value={line.id}>
            {nameOf(line.source, line.name)} {short(line.id)}, {line.recipe}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What a ptychographic image says of itself. */
const Fit = ({ of: report }: { of: Ptychogram | null }) =>
  report === null ? <p>It is told when the job has succeeded.</p> : (
    <>
      {report.verdict?.map((words) => <p key={words}>{words}</p>)}
      <Facts
        of={[
          ["R factor", figure(report.r_factor)],
          ["of frames held out", report.r_held_out === null ? null : figure(report.r_held_out)],
          ["of noise alone", report.r_noise == null ? null : figure(report.r_noise)],
          ["deviance, 1 is noise", report.deviance == null ? null : figure(report.deviance)],
          ["frames", `${report.frames}, ${report.frames_held_out} of them held out`],
          ["pixel", report.pixel_m ? `${times(report.pixel_m.map((side) => figure(1e9 * side)))} nm` : "unknown: the data have no geometry"],
          ["positions moved by", report.position_shift_px === null ? null : `${figure(report.position_shift_px)} pixels rms`],
        ]}
      />
      <ul class="reasons calm">{report.notes.map((note) => <li key={note}>{note}</li>)}</ul>
    </>
  );

/** The R factor of a ptychographic image after each of its iterations. */
const Course = ({ of: { history, r_held_out } }: { of: Ptychogram }) =>
  history.length < 2 ? null : (
    <Panel title="Error" aside={<span class="n">{history.length} iterations</span>}>
      <Curve label="R factor of the iterations" x="iteration" y="R" log points={[history.map((_, at) => at + 1), history]}
        level={r_held_out !== null ? { value: r_held_out, label: "held out" } : null} />
      {r_held_out !== null && <small>The broken line is R of the frames that no iteration saw, {figure(r_held_out)}.</small>}
    </Panel>
  );

function Trust({ job }: { job: Job }) {
  const scores = job.metrics;
  const columns: [string, Score][] = scores
    ? ([["network", scores.network], ["random start", scores.random_start], ["refined, not kept", scores.refined ?? null], ["result", scores.final]] as [string, Score | null][]).filter(
        (column): column is [string, Score] => column[1] !== null,
      )
    : [];
  return (
    <>
      {!job.trust && <p>It is judged when the job has succeeded.</p>}
      {job.trust && job.trust.reasons.length === 0 && <p>Nothing speaks against this result.</p>}
      {job.trust && job.trust.reasons.length > 0 && (
        <ul class="reasons">{job.trust.reasons.map((reason) => <li key={reason}>{reason}</li>)}</ul>
      )}
      {job.trust && (
        <p>
          {job.trust.probability != null
            ? `With a probability of ${percent(Number(job.trust.probability.toPrecision(2)))} the image is right: its correlation with the true object is 0.95 or more.${job.trust.probability_reason ? ` But ${job.trust.probability_reason}.` : ""}`
            : job.trust.probability_reason && `How probable it is that the image is right is not known: ${job.trust.probability_reason}.`}
        </p>
      )}
      {columns.length > 0 && (
        <table>
          <thead>
            <tr><th scope="col"><span class="hidden">figure</span></th>{columns.map(([title]) => <th key={title} scope="col">{title}</th>)}</tr>
          </thead>
          <tbody>
            <tr><th scope="row">χ²</th>{columns.map(([title, score]) => <td key={title}>{figure(score.chi2)}</td>)}</tr>
            <tr><th scope="row">R</th>{columns.map(([title, score]) => <td key={title}>{figure(score.r_factor)}</td>)}</tr>
            <tr><th scope="row">support, voxels</th>{columns.map(([title, score]) => <td key={title}>{score.support_voxels}</td>)}</tr>
            <tr><th scope="row">free log-likelihood</th>{columns.map(([title, score]) => <td key={title} title={score.free_llk_reason ?? undefined}>{figure(score.free_llk)}</td>)}</tr>
          </tbody>
        </table>
      )}
      {scores?.network && job.grid?.levels.some(({ kept }) => kept) && (
        <small>The network's figures are on the grid of the model, the result's on a finer one: the two columns cannot be compared.</small>
      )}
      {scores?.noise_chi2 != null && <small>Poisson noise alone leaves χ² {figure(scores.noise_chi2)}.</small>}
      {job.start && <p><small>Start: {job.start.kind}, {job.start.why}.</small></p>}
    </>
  );
}

/** The grids on which the image was refined, one after the other. */
const Grids = ({ of: { why, levels, stopped } }: { of: NonNullable<Job["grid"]> }) => (
  <Panel title="Finer grids">
    <p>{sentence(why)}</p>
    <table>
      <thead>
        <tr><th scope="col">voxels</th><th scope="col">χ²</th><th scope="col" title="free log-likelihood of the coarser image on this grid">free llk before</th><th scope="col">after</th><th scope="col">kept</th></tr>
      </thead>
      <tbody>
        {levels.map((level) => (
          <tr key={times(level.shape)}>
            <th scope="row" class="n" title={level.recipe}>{times(level.shape)}</th>
            <td>{figure(level.chi2)}</td>
            <td>{figure(level.start_free_llk)}</td>
            <td>{figure(level.free_llk)}</td>
            <td>{level.kept ? "yes" : "no"}</td>
          </tr>
        ))}
      </tbody>
    </table>
    {stopped && <p class="doubt">{sentence(stopped)}</p>}
  </Panel>
);

const sentence = (words: string): string => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;

function Shells({ arrays, known }: { arrays: Arrays; known: boolean }) {
  const [points, setPoints] = useState<[number[], number[]] | null>(null);
  useEffect(() => {
    arrays.get("prtf").then(({ data }) => {
      const at = (offset: number) => Array.from({ length: data.length / 2 }, (_, shell) => data[2 * shell + offset]!);
      setPoints([at(0).map((q) => (known ? q / 1e9 : q)), at(1)]);
    }, () => {});
  }, [arrays]);
  if (!points) return null;
  return (
    <Panel title="Phase retrieval transfer function">
      <Curve label="Phase retrieval transfer function" x={known ? "q, 1/nm" : "q, of Nyquist"} y="PRTF" points={points} level={{ value: 1 / Math.E, label: "1/e" }} />
      <small>The broken line is 1/e, where the resolution is read.</small>
    </Panel>
  );
}

function Preprocessing({ job }: { job: Job }) {
  const done = job.preprocess!;
  const sides = (numbers: number[]) => times(numbers.map((number) => figure(number)));
  return (
    <Panel title="Preprocessing">
      <Facts
        of={[
          ["measured", job.input && `${times(job.input.shape)} voxels of ${job.input.dtype}, ${job.input.domain}`],
          ["taken", job.input?.chosen],
          ["oversampling before", job.oversampling && sides(job.oversampling.measured)],
          ["oversampling after", job.oversampling && sides(job.oversampling.after)],
          ["binning", times(done.binning)],
          ["window begins at", done.offset.join(", ")],
          ["grid", `${times(done.shape)} voxels`],
          ["voxel", done.voxel_size_m ? `${times(done.voxel_size_m.map((side) => figure(1e9 * side)))} nm` : "unknown: the data have no geometry"],
          ["valid", percent(done.valid_fraction)],
          ["counts inside", percent(done.counts_inside)],
        ]}
      />
      <ol class="steps">
        {done.steps.map((step, number) => (
          <li key={number}>
            <details open={step.faults.length + step.doubts.length > 0}>
              <summary>{step.name.replaceAll("_", " ")}</summary>
              {[...step.faults, ...step.doubts].map((said) => <p key={said} class="doubt">{said}</p>)}
              <Facts of={Object.entries(step.numbers).map(([label, value]) => [label.replaceAll("_", " "), shown(value)])} />
            </details>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

const shown = (value: number | string | number[]): string =>
  typeof value === "string" ? value : Array.isArray(value) ? value.slice(0, 12).map((one) => figure(one)).join(", ") + (value.length > 12 ? ", …" : "") : figure(value);

function Timings({ of }: { of: Record<string, number> }) {
  const longest = Math.max(...Object.values(of), 1);
  return (
    <Panel title="Timings">
      <div class="timings">
        {Object.entries(of).map(([stage, ms]) => (
          <div key={stage}>
            <span>{stage}</span>
            <i style={{ width: `${(100 * ms) / longest}%` }} />
            <span class="n">{span(ms / 1000)}</span>
          </div>
        ))}
      </div>
    </Panel>
  );
}

const Provenance = ({ job }: { job: Job }) => (
  <Panel title="Provenance">
    <Facts
      of={[
        ["source", job.input?.source ?? job.ptychography?.source],
        ["digest of the input", job.input && <code class="id">{job.input.digest.slice(0, 16)}</code>],
        ["network", job.model ? `${job.model.name}@${job.model.version} on ${job.model.provider}` : job.input ? "none was asked" : null],
        ["its digest", job.model && <code class="id">{job.model.sha256.slice(0, 16)}</code>],
        ["preprocessing", job.recipe?.preprocess],
        ["recipe", (job.recipe || job.ptychography) && <code>{job.recipe?.refine ?? job.ptychography!.options.recipe}</code>],
        ["seed", job.start?.seed ?? job.ptychography?.options.seed],
        ["code", job.code_version],
        ["strain", job.strain ? `rms ${figure(job.strain.strain_rms)}, d = ${figure(1e10 * job.strain.d_spacing_m, 5)} Å` : job.strain_reason],
        ["owner", job.owner],
        ["priority", job.priority],
        ["attempt", job.attempt || NONE],
        ["taken from", job.reused_from && <a href={`#/jobs/${job.reused_from}`}>{short(job.reused_from)}</a>],
        ["series", job.series && <a href={`#/series/${job.series.id}`}>{short(job.series.id)}, scan {job.series.scan}</a>],
        ["live scan", job.look && <a href={`#/scans/${job.look.scan}`}>{short(job.look.scan)}, look {job.look.number}{job.look.final && ", final"}</a>],
        ["proposal", job.proposal],
        ["created", moment(job.created)],
        ["finished", job.finished && moment(job.finished)],
      ]}
    />
  </Panel>
);
