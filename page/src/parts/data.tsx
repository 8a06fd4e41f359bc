// Which data a new job is made of.

import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { type Data, type Kind, KINDS } from "../data";
import { Panel, Trouble } from "./words";

interface DataProps {
  kind: Kind;
  data: Data | null;
  take: (data: Data) => void;
  look?: () => void; // at what the service reads of a path, which is asked for by a button
  children: ComponentChildren;
}

/** A file of this computer, dropped or chosen, or a path below a data root. */
export function DataPanel({ kind, data, take, look, children }: DataProps) {
  const [over, setOver] = useState(false);
  const picker = useRef<HTMLInputElement>(null);

  const takeFile = (file: File | undefined) => file && take({ file });
  const file = data && "file" in data ? data.file : null;

  return (
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
          takeFile(event.dataTransfer?.files[0]);
        }}
      >
        <p>{file ? <><strong>{file.name}</strong> of this computer</> : "Drop a file here, or"}</p>
        <button type="button" onClick={() => picker.current?.click()}>Choose {file ? "another" : "a"} file</button>
        <input ref={picker} type="file" accept={kind.suffixes.map((suffix) => `.${suffix}`).join()} class="hidden" tabIndex={-1} aria-label="File from this computer"
          onChange={(event) => takeFile(event.currentTarget.files?.[0])} />
      </div>
      <form
        class="field"
        onSubmit={(event) => {
          event.preventDefault();
          look?.();
        }}
      >
        <label for="path">or a path below a data root of the service: {kind.readable}</label>
        <div class="line">
          <input id="path" autocomplete="off" spellcheck={false} placeholder={kind.example} value={data && "path" in data ? data.path : ""}
            onInput={(event) => take({ path: event.currentTarget.value })} />
          {look && <button type="submit">Look at it</button>}
        </div>
      </form>
      {children}
    </Panel>
  );
}

/** What is wrong with data; where the service names the call to which they belong, the way to its form. */
export function Refused({ error, kind }: { error: Error; kind: Kind }) {
  const other = KINDS.find((one) => one !== kind && error.message.includes(`/${one.route}`));
  return (
    <>
      <Trouble error={error} />
      {other && <p><a href={other.view}>Take it as {other.label.toLowerCase()}</a></p>}
    </>
  );
}
