// A new job: data from this computer or a file that the service reads, looked at before anything is computed.

import { useMemo, useRef, useState } from "preact/hooks";
import { type Job, json } from "../api";
import { boxesOf, LONGEST, type Plane, useDrawing } from "../drawing";
import { ColourBar } from "../parts/colourbar";
import { usePolled } from "../parts/hooks";
import { MaskedPlane, MaskEditor } from "../parts/mask";
import { Facts, Panel, Trouble } from "../parts/words";
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

type Data = { file: File } | { path: string };

const MEDIA: Record<string, string> = { npy: "application/x-npy", npz: "application/x-npz" };
const suffix = (name: string): string => name.toLowerCase().split(".").at(-1) ?? "";

/** A request with these data; options go into its query. masked: boxes of them, as `masked=` takes them. */
function sent<T>(data: Data, options: URLSearchParams, address: string, masked = ""): Promise<T> {
  if ("path" in data) {
    const body = JSON.stringify({ source: { kind: "file", path: data.path, ...(masked && { masked }) } });
    return json(`${address}?${options}`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  }
  // as they are: percent signs would make them three times as long
  const query = masked ? `${options}&masked=${masked}` : options;
  return json(`${address}?${query}`, { method: "POST", headers: { "Content-Type": MEDIA[suffix(data.file.name)]! }, body: data.file });
}

export function SubmitView() {
  const [data, setData] = useState<Data | null>(null);
  const [preview, setPreview] = useState<Preview | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState("");
  const [over, setOver] = useState(false);
  const [domain, setDomain] = useState("counts");
  const picker = useRef<HTMLInputElement>(null);
  const asked = useRef(0);

  const look = (found: Data, as: string) => {
    const turn = ++asked.current;
    setData(found);
    setPreview(null);
    setError(null);
    setBusy("reading");
    const still = (done: () => void) => {
      if (turn !== asked.current) return;
      setBusy("");
      done();
    };
    sent<Preview>(found, new URLSearchParams({ domain: as }), "v1/previews").then(
      (answer) => still(() => setPreview(answer)),
      (wrong) => still(() => setError(wrong)),
    );
  };

  const take = (file: File | undefined) => {
    if (!file) return;
    if (MEDIA[suffix(file.name)]) look({ file }, domain);
    else {
      setData(null);
      setPreview(null);
      setError(new Error(`${file.name} is not sent from here: npy and npz are. HDF5, CXI, TIFF and folders of frames are read by the service itself: give their path.`));
    }
  };

  const submit = (event: SubmitEvent, masked: string) => {
    event.preventDefault();
    if (!data) return;
    const options = new URLSearchParams({ wait: "0", domain });
    for (const [name, value] of new FormData(event.target as HTMLFormElement)) if (value) options.set(name, String(value).trim());
    if ("file" in data) options.set("name", data.file.name.slice(-200));
    setBusy("submitting");
    setError(null);
    sent<Job>(data, options, "v1/reconstructions", masked).then(
      (job) => {
        location.hash = `#/jobs/${job.id}`;
      },
      (wrong) => {
        setError(wrong);
        setBusy("");
      },
    );
  };

  return (
    <div class="columns submit">
      <h1 class="wide">New job</h1>
      <Panel title="Data">
        <div
          class={over ? "drop over" : "drop"}
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(event) => {
            event.preventDefault();
            setOver(false);
            take(event.dataTransfer?.files[0]);
          }}
        >
          <p>Drop an npy or npz file here, or</p>
          <button type="button" onClick={() => picker.current?.click()}>Choose a file</button>
          <input ref={picker} type="file" accept=".npy,.npz" class="hidden" tabIndex={-1} aria-label="File from this computer"
            onChange={(event) => take(event.currentTarget.files?.[0])} />
        </div>
        <form
          class="field"
          onSubmit={(event) => {
            event.preventDefault();
            const path = String(new FormData(event.currentTarget).get("path") ?? "").trim();
            if (path) look({ path }, domain);
          }}
        >
          <label for="path">or a path below a data root of the service: HDF5, CXI, TIFF, npy, npz, a folder of frames</label>
          <div class="line">
            <input id="path" name="path" autocomplete="off" spellcheck={false} placeholder="scan_0054/" />
            <button type="submit">Look at it</button>
          </div>
        </form>
        <label class="field">
          The numbers are
          <select value={domain} onChange={(event) => {
            setDomain(event.currentTarget.value);
            if (data) look(data, event.currentTarget.value);
          }}>
            <option value="counts">photon counts</option>
            <option value="modulus">a modulus, the root of counts</option>
          </select>
        </label>
        {busy === "reading" && <p role="status">Reading …</p>}
        {error && <Trouble error={error} />}
      </Panel>
      {preview && data && (
        <Looked key={asked.current} preview={preview} from={"file" in data ? data.file.name : data.path} domain={domain} submit={submit} busy={busy === "submitting"} />
      )}
    </div>
  );
}

interface LookedProps {
  preview: Preview;
  from: string;
  domain: string;
  submit: (event: SubmitEvent, masked: string) => void;
  busy: boolean;
}

/** What the service reads, what of it is masked by hand, and what is to be made of it. */
function Looked({ preview, from, domain, submit, busy }: LookedProps) {
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
            ["from", from],
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
      <Options submit={(event) => submit(event, masked)} busy={busy || masked.length > LONGEST} />
    </>
  );
}

function volumeOf({ shape, data }: Plane): Volume {
  return { data: new Float32Array(Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0)).buffer), shape: asVolume(shape) };
}

function Options({ submit, busy }: { submit: (event: SubmitEvent) => void; busy: boolean }) {
  const { value } = usePolled<{ models: { name: string; versions: number[] }[] }>("v1/models", 60);
  return (
    <Panel title="Reconstruction">
      <form onSubmit={submit} class="viewer">
        <div class="fields">
          <label>
            network
            <select name="model">
              <option value="">the default one</option>
              {value?.models.flatMap(({ name, versions }) => versions.map((version) => <option key={`${name}@${version}`}>{`${name}@${version}`}</option>))}
            </select>
          </label>
          <label class="wide">
            start
            <select name="start">
              <option value="">auto: the network's image, or random where it is no good</option>
              <option value="network">network: its image in any case</option>
              <option value="random">random: without the network</option>
              <option value="mixed">mixed: both, side by side</option>
            </select>
          </label>
          <label>
            priority
            <select name="priority">
              <option value="">normal</option>
              <option value="high">high</option>
              <option value="low">low</option>
            </select>
          </label>
          <label>
            seed
            <input name="seed" type="number" min={0} placeholder="0" />
          </label>
        </div>
        <label class="field">
          recipe or preset (“none” gives the network's image, not refined)
          <input name="refine" list="presets" autocomplete="off" spellcheck={false} placeholder="fast" />
        </label>
        <datalist id="presets">
          {["fast", "none", "coarse", "standard", "strained", "thorough"].map((preset) => <option key={preset} value={preset} />)}
        </datalist>
        <div class="buttons">
          <button type="submit" class="primary" disabled={busy}>Reconstruct</button>
        </div>
      </form>
    </Panel>
  );
}
