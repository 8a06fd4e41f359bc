// Small parts that many views have.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { type Level, Refusal, type State } from "../api";

const SIGNS: Record<State, string> = {
  accepted: "◌",
  reading: "◔",
  queued: "◑",
  running: "◕",
  succeeded: "●",
  failed: "✕",
  cancelled: "⊘",
};

export const StateBadge = ({ state }: { state: State }) => (
  <span class={`state ${state}`}>
    <span aria-hidden="true">{SIGNS[state]}</span> {state}
  </span>
);

const BARS: Record<Level, string> = { high: "▮▮▮", medium: "▮▮▯", low: "▮▯▯" };

export const TrustBadge = ({ level }: { level: Level }) => (
  <span class={`trust ${level}`}>
    <span aria-hidden="true">{BARS[level]}</span> {level}
  </span>
);

export function Trouble({ error }: { error: Error }) {
  const refused = error instanceof Refusal ? error : null;
  const [what, ...where] = error.message.split("\n"); // a recipe, and a caret below what is wrong in it
  return (
    <div class="trouble" role="alert">
      <strong>{refused?.title ?? "This did not work"}</strong>
      <p>{what}</p>
      {where.length > 0 && <pre>{where.join("\n")}</pre>}
      {refused?.request && <small>request {refused.request}</small>}
    </div>
  );
}

export const Panel = ({ title, children, aside, wide }: { title: string; children: ComponentChildren; aside?: ComponentChildren; wide?: boolean }) => {
  const id = useId();
  return (
    <section class={wide ? "panel wide" : "panel"} aria-labelledby={id}>
      <div class="panel-head">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
};

/** Names and values; those without a value are left out. */
export const Facts = ({ of }: { of: [string, ComponentChildren][] }) => (
  <dl class="facts">
    {of
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
  </dl>
);
