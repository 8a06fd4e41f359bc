import { usePolled } from "../parts/hooks";
import { Facts, Panel, Trouble } from "../parts/words";
import { figure, times } from "../words";

interface Models {
  models: { name: string; active: number; versions: number[]; default: boolean; provider: string | null }[];
  refused: { folder: string; why: string }[];
}

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

export function ModelsView() {
  const { value, error } = usePolled<Models>("v1/models", 30);
  return (
    <div class="columns">
      <h1 class="wide">Models</h1>
      {error && <Trouble error={error} />}
      {value?.models.map((model) => <ModelPanel key={model.name} {...model} />)}
      {value && value.refused.length > 0 && (
        <Panel title="Refused" wide>
          <Facts of={value.refused.map(({ folder, why }) => [folder, why])} />
        </Panel>
      )}
    </div>
  );
}

function ModelPanel({ name, active, versions, default: chosen, provider }: Models["models"][number]) {
  const { value, error } = usePolled<{ cards: Card[] }>(`v1/models/${encodeURIComponent(name)}`, 300);
  return (
    <Panel title={name} aside={chosen ? <span class="tag">default</span> : undefined}>
      <Facts of={[["active version", active], ["versions", versions.join(", ")], ["runs on", provider ?? "not loaded yet"]]} />
      {error && <Trouble error={error} />}
      {[...(value?.cards ?? [])].reverse().map((card) => (
        <details key={card.version} open={card.version === active}>
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
      ))}
    </Panel>
  );
}

/** The numbers of a card's metrics, whatever they are called. */
function flat(metrics: Record<string, unknown>, before = ""): [string, string][] {
  return Object.entries(metrics).flatMap(([name, value]): [string, string][] => {
    const whole = before + name.replaceAll("_", " ");
    if (typeof value === "number") return [[whole, figure(value)]];
    if (typeof value === "string") return [[whole, value]];
    return value && typeof value === "object" && !Array.isArray(value) ? flat(value as Record<string, unknown>, `${whole}, `) : [];
  });
}
