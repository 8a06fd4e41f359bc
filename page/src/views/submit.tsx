// A new job: data from this computer or a file that the service reads. A pattern is looked at before anything is computed.

import { useEffect, useMemo, useState } from "preact/hooks";
import { type Data, KINDS, PATTERN, PTYCHOGRAM, sent, unsent } from "../data";
import { boxesOf, LONGEST, type Plane, useDrawing } from "../drawing";
import { Choice } from "../parts/choice";
import { ColourBar } from "../parts/colourbar";
import { DataPanel, Refused } from "../parts/data";
import { MaskedPlane, MaskEditor } from "../parts/mask";
import { Order } from "../parts/order";
import { AboutScan } from "../parts/ptychogram";
import { Facts, Panel } from "../parts/words";
import { asVolume, type Scale, type Volume } from "../volume";
import { figure, percent, times } from "../words";

interface Preview {
  shape: number[];
  start: number[];
  dtype: string;
  source: string;
  chosen: string;
  total: number;
  largest: number;
  masked: number;
  geometry: boolean;
  planes: Plane[];
}

interface Found {
  of: Data;
  domain: string;
  preview?: Preview;
  error?: Error;
}

/** What the service reads of data, or why it does not; null until it has answered. */
function usePreview(data: Data | null, domain: string): Found | null {
  const [found, setFound] = useState<Found | null>(null);
  useEffect(() => {
    if (!data) return;
    let gone = false;
    const answered = (answer: Partial<Found>) => gone || setFound({ of: data, domain, ...answer });
    sent<Preview>(data, new URLSearchParams({ domain }), "v1/previews").then(
      (preview) => answered({ preview }),
      (error) => answered({ error }),
    );
    return () => {
      gone = true;
      setFound(null);
    };
  }, [data, domain]);
  return found;
}

export function SubmitView({ what }: { what: string | undefined }) {
  const kind = KINDS.find(({ view }) => view === `#/new/${what}`) ?? PATTERN;
  const [data, setData] = useState<Data | null>(null); // they stay where another kind is chosen for them
  const [looked, setLooked] = useState<Data | null>(null);
  const [domain, setDomain] = useState("counts");
  const toSee = kind === PATTERN && looked && !unsent(kind, looked) ? looked : null;
  const found = usePreview(toSee, domain);
  const error = unsent(kind, data) ?? found?.error;

  const take = (chosen: Data) => {
    setData("path" in chosen && !chosen.path.trim() ? null : chosen);
    if ("file" in chosen) setLooked(chosen);
  };

  return (
    <div class="columns submit">
      <div class="title wide">
        <h1>New job</h1>
        <Choice label="The data are" offered={KINDS.map(({ view, label }) => ({ id: view, label }))} chosen={kind.view}
          choose={(view) => {
            location.hash = view;
          }} />
      </div>
      <DataPanel kind={kind} data={data} take={take} look={kind === PATTERN ? () => setLooked(data && { ...data }) : undefined}>
        {kind === PATTERN ? (
          <label class="field">
            The numbers are
            <select value={domain} onChange={(event) => setDomain(event.currentTarget.value)}>
              <option value="counts">photon counts</option>
              <option value="modulus">a modulus, the root of counts</option>
            </select>
          </label>
        ) : (
          <p class="about">
            The service reads patterns, positions and, where the file has them, beam, detector, mask and a guess of the probe, when you submit it.
          </p>
        )}
        {toSee && !found && <p role="status">Reading …</p>}
        {error && <Refused error={error} kind={kind} />}
      </DataPanel>
      {kind === PTYCHOGRAM && (
        <Order kind={kind} data={error ? null : data} about={<AboutScan />}>
          <label>
            modes of the probe
            <input name="modes" type="number" min={1} placeholder="of its guess, or 1" />
          </label>
        </Order>
      )}
      {found?.preview && <Looked data={found.of} preview={found.preview} domain={found.domain} />}
    </div>
  );
}

/** What the service reads, what of it is masked by hand, and what is to be made of it. */
function Looked({ data, preview, domain }: { data: Data; preview: Preview; domain: string }) {
  const { planes } = preview;
  const drawing = useDrawing(planes);
  const boxes = useMemo(() => boxesOf(drawing.masks, planes, preview.shape, preview.start), [drawing.masks]);
  const volumes = useMemo(() => planes.map(volumeOf), [planes]);
  const scale: Scale = { map: "sequential", low: Math.min(0.5, preview.largest / 10 || 0.5), high: Math.max(1, preview.largest), log: true };
  const masked = boxes.join(";");
  return (
    <>
      <Panel title="What the service reads">
        <Facts
          of={[
            ["from", "file" in data ? data.file.name : data.path],
            ["array", `${times(preview.shape)} of ${preview.dtype}`],
            ["taken", preview.chosen],
            [domain === "counts" ? "counts" : "sum", figure(preview.total)],
            ["largest", figure(preview.largest)],
            ["masked", percent(preview.masked)],
            ["geometry", preview.geometry ? "known" : "unknown: there will be no strain"],
          ]}
        />
        <div class="previews">
          {planes.map((plane, at) => (
            <div key={plane.axis} class="masked-plane">
              <MaskedPlane plane={plane} volume={volumes[at]!} scale={scale} mask={drawing.masks[at]!} />
            </div>
          ))}
        </div>
        <ColourBar {...scale} unit="" label="the largest value along an axis" />
      </Panel>
      <div class="beside">
        <Panel title="Mask">
          <p class="about">What is drawn is masked all along the third axis. The counts are the largest along it.</p>
          <MaskEditor planes={planes} volumes={volumes} scale={scale} drawing={drawing} boxes={boxes} />
        </Panel>
      </div>
      <Order kind={PATTERN} data={data} fixed={{ domain }} masked={masked} blocked={masked.length > LONGEST}>
        <label class="wide">
          start
          <select name="start">
            <option value="">auto: the network's image, or random where it is no good</option>
            <option value="network">network: its image in any case</option>
            <option value="random">random: without the network</option>
            <option value="mixed">mixed: both, side by side</option>
          </select>
        </label>
      </Order>
    </>
  );
}

function volumeOf({ shape, data }: Plane): Volume {
  return { data: new Float32Array(Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0)).buffer), shape: asVolume(shape) };
}
