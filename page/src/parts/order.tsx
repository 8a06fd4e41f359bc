// How a reconstruction is asked for, and that it is submitted.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Job, ModelList } from "../api";
import { type Data, type Kind, sent } from "../data";
import { Refused } from "./data";
import { usePolled } from "./hooks";
import { Panel } from "./words";

interface OrderProps {
  kind: Kind;
  data: Data | null;
  fixed?: Record<string, string>; // options that were chosen elsewhere
  masked?: string;
  blocked?: boolean;
  about?: ComponentChildren; // panels before this one, whose fields are sent too
  children: ComponentChildren; // fields of this kind alone
}

/** The form that makes a job. What is left empty is not sent, and the service's default holds. */
export function Order({ kind, data, fixed = {}, masked = "", blocked = false, about, children }: OrderProps) {
  const { value } = usePolled<ModelList>("v1/models", 60);
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!data) return setError(new Error("There are no data yet: drop or choose a file, or give a path."));
    const options = new URLSearchParams({ wait: String(kind.wait), ...fixed });
    for (const [name, given] of new FormData(event.target as HTMLFormElement)) if (String(given).trim()) options.set(name, String(given).trim());
    if ("file" in data) options.set("name", data.file.name.slice(-200));
    setBusy(true);
    setError(null);
    sent<Job>(data, options, kind.route, masked).then(
      (job) => {
        location.hash = `#/jobs/${job.id}`;
      },
      (wrong) => {
        setError(wrong);
        setBusy(false);
      },
    );
  };

  return (
    <form onSubmit={submit} class={about ? "beside" : undefined}>
      {about}
      <Panel title="Reconstruction">
        <div class="fields">
          <label>
            network
            <select name="model">
              <option value="">{kind.withoutNetwork}</option>
              {value?.models
                .filter(({ family }) => kind.fits(family))
                .flatMap(({ name, versions }) => versions.map((version) => <option key={`${name}@${version}`}>{`${name}@${version}`}</option>))}
            </select>
          </label>
          {children}
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
          {kind.recipe}
          <input name="refine" list="recipes" autocomplete="off" spellcheck={false} placeholder={kind.recipes[0]} />
        </label>
        <datalist id="recipes">
          {kind.recipes.map((recipe) => <option key={recipe} value={recipe} />)}
        </datalist>
        {error && <Refused error={error} kind={kind} />}
        <div class="buttons">
          {busy && <p role="status">Submitting …</p>}
          <button type="submit" class="primary" disabled={busy || blocked}>Reconstruct</button>
        </div>
      </Panel>
    </form>
  );
}
