// Series: many scans of one sample, as a strip of images in one frame.

import { useMemo } from "preact/hooks";
import type { Level, State } from "../api";
import { Curve } from "../parts/curve";
import { usePolled } from "../parts/hooks";
import { Panel, StateBadge, Trouble, TrustBadge } from "../parts/words";
import { figure, moment, nameOf, short } from "../words";

interface Line {
  id: string;
  name: string;
  owner: string;
  created: string;
  total: number;
  cancelled: boolean;
}

interface Scan {
  scan: number;
  source: string;
  state: State;
  reason: string;
  job: string | null;
  chi2: number | null;
  support_voxels: number | null;
  trust: Level | null;
  frame: boolean;
  alignment: { score: number; undecided: boolean } | null;
}

interface Series extends Line {
  done: boolean;
  refine: string | null;
  scans: Scan[];
}

export function SeriesList() {
  const { value, error } = usePolled<{ series: Line[] }>("v1/series?limit=100", 5);
  return (
    <div class="columns">
      <h1 class="wide">Series</h1>
      {error && <Trouble error={error} />}
      {value?.series.length === 0 && <p class="empty wide">There are no series. `inphase series submit` makes one of many scans.</p>}
      {value?.series.map((line) => (
        <Panel key={line.id} title={line.name || `Series ${short(line.id)}`}>
          <p>
            <a href={`#/series/${line.id}`}>{line.total} scans</a>
            {line.cancelled && ", cancelled"} <small>{moment(line.created)}, {line.owner}</small>
          </p>
        </Panel>
      ))}
    </div>
  );
}

export function SeriesView({ id }: { id: string }) {
  const { value: series, error } = usePolled<Series>(`v1/series/${id}`, 2);
  const points = useMemo((): [number[], (number | null)[]] => {
    const scans = series?.scans ?? [];
    return [scans.map(({ scan }) => scan), scans.map(({ chi2 }) => chi2)];
  }, [series]);
  if (!series) return <div class="columns">{error && <Trouble error={error} />}</div>;
  const ended = series.scans.filter(({ chi2 }) => chi2 !== null).length;
  return (
    <div class="columns">
      <div class="title wide">
        <a class="back" href="#/series" aria-label="All series">←</a>
        <h1>{series.name || `Series ${short(id)}`}</h1>
        <span>{ended} of {series.total} scans have an image</span>
        {series.refine && <code>{series.refine}</code>}
        <span class="grow" />
        <a href={`v1/series/${id}?format=csv`} download={`series-${short(id)}.csv`}>Table (csv)</a>
        <a href={`v1/series/${id}?format=html`} download={`series-${short(id)}.html`}>Page (html)</a>
      </div>
      {error && <Trouble error={error} />}
      <Panel title="Scans, amplitude above phase" wide>
        <ol class="strip" tabIndex={0} aria-label="Scans in their order">
          {series.scans.map((scan) => (
            <li key={scan.scan}>
              {scan.job && scan.state === "succeeded" ? (
                <a href={`#/jobs/${scan.job}`}>
                  <img src={`v1/jobs/${scan.job}/preview`} alt={`Central slices of scan ${scan.scan}`} loading="lazy" />
                </a>
              ) : (
                <span class="no-image" role="img" aria-label="no image yet" />
              )}
              <strong title={scan.source}>{scan.scan}: {nameOf(scan.source)}</strong>
              {scan.state === "succeeded" ? scan.trust && <TrustBadge level={scan.trust} /> : <StateBadge state={scan.state} />}
              <small title={scan.reason || undefined}>
                {scan.reason || (scan.chi2 !== null && `χ² ${figure(scan.chi2)}, ${scan.support_voxels} voxels`)}
              </small>
              <small>
                {scan.frame ? "the frame of the series" : scan.alignment && `likeness ${figure(scan.alignment.score)}${scan.alignment.undecided ? ", twin undecided" : ""}`}
              </small>
            </li>
          ))}
        </ol>
      </Panel>
      {ended > 1 && (
        <Panel title="Fit" wide>
          <Curve label="Error of the scans" x="scan" y="χ²" log points={points} />
        </Panel>
      )}
    </div>
  );
}
