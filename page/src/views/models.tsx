import { useState } from "preact/hooks";
import { activate, type Login, type ModelLine, type ModelList } from "../api";
import { AskDialog } from "../parts/ask";
import { ExecutionWords } from "../parts/execution";
import { usePolled } from "../parts/hooks";
import { Facts, Panel, Trouble } from "../parts/words";
import { figure, times } from "../words";

interface Card {
  version: number;
  family: string;
  grid: number[];
  box: number[];
  oversampling: number[];
  sha256: string;
  metrics?: Record<string, unknown>;
  [more: string]: unknown;
}

export function ModelsView({ login }: { login: Login }) {
  const { value, error, again } = usePolled<ModelList>("v1/models", 30);
  return (
    <div class="columns">
      <h1 class="wide">Models</h1>
      {error && <Trouble error={error} />}
      {value?.models.map((model) => <ModelPanel key={model.name} model={model} login={login} activated={again} />)}
      {value && value.refused.length > 0 && (
        <Panel title="Refused" wide>
          <Facts of={value.refused.map(({ folder, why }) => [folder, why])} />
        </Panel>
      )}
    </div>
  );
}

function ModelPanel({ model, login, activated }: { model: ModelLine; login: Login; activated: () => void }) {
  const { name, active, versions } = model;
  const { value, error } = usePolled<{ cards: Card[] }>(`v1/models/${encodeURIComponent(name)}`, 300);
  const [chosen, choose] = useState<number | null>(null);
  return (
    <Panel title={name} aside={model.default ? <span class="tag">default</span> : undefined}>
      <Facts of={[["active version", active ?? "none: the chosen one was refused"], ["versions", versions.join(", ")], ["runs on", <ExecutionWords of={model} />]]} />
      {error && <Trouble error={error} />}
      {[...(value?.cards ?? [])].reverse().map((card) => (
        <div key={card.version} class="version">
          <details open={card.version === active}>
            <summary>version {card.version}{card.version === active && ", active"}</summary>
            <Facts
              of={[
                ["family", card.family],
                ["grid", times(card.grid)],
                ["object box", times(card.box)],
                ["oversampling", card.oversampling.map((side) => figure(side)).join(" to ")],
                ["digest", <code class="id">{card.sha256.slice(0, 16)}</code>],
                ...flat(card.metrics ?? {}),
              ]}
            />
          </details>
          {login.scope === "admin" && card.version !== active && (
            <button type="button" aria-label={`${verbFor(card.version, active)} of ${name}`} onClick={() => choose(card.version)}>{verbFor(card.version, active)}</button>
          )}
        </div>
      ))}
      {chosen !== null && (
        <AskDialog title={`${verbFor(chosen, active)} of ${name}?`} verb={verbFor(chosen, active)} keep="Leave it" ask={() => activate(name, chosen).then(activated)} done={() => choose(null)}>
          <p>
            Later requests that name no version get version {chosen}{active !== null && ` in place of ${active}`}. It is loaded before, and what is being computed goes on with what
            it has begun with.
          </p>
        </AskDialog>
      )}
    </Panel>
  );
}

const verbFor = (version: number, active: number | null): string => (active !== null && version < active ? `Roll back to version ${version}` : `Activate version ${version}`);

/** The numbers of a card's metrics, whatever they are called. */
function flat(metrics: Record<string, unknown>, before = ""): [string, string][] {
  return Object.entries(metrics).flatMap(([name, value]): [string, string][] => {
    const whole = before + name.replaceAll("_", " ");
    if (typeof value === "number") return [[whole, figure(value)]];
    if (typeof value === "string") return [[whole, value]];
    return value && typeof value === "object" && !Array.isArray(value) ? flat(value as Record<string, unknown>, `${whole}, `) : [];
  });
}
