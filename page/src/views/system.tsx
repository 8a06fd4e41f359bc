import type { ComponentChildren } from "preact";
import { type ModelList, STATES, type State } from "../api";
import { ExecutionWords } from "../parts/execution";
import { usePolled } from "../parts/hooks";
import { Facts, Panel, Trouble } from "../parts/words";
import { bytes, span } from "../words";

interface Status {
  version: string;
  uptime_s: number;
  draining: boolean;
  queue: { up: boolean; why: string | null; jobs: Partial<Record<State, number>>; workers: string[] } | null;
  sandbox: { landlock: number; seccomp: boolean; network_namespace: boolean } | null;
  models: ModelList;
  store_bytes: number;
  store_limit_bytes: number;
  bytes_in_flight: number;
  bytes_in_flight_limit: number;
  refused_requests: Record<string, number>;
}

export function SystemView() {
  const { value: status, error } = usePolled<Status>("v1/status", 3);
  if (!status) return <div class="columns">{error && <Trouble error={error} />}</div>;
  const { queue, sandbox, models } = status;
  const refused = Object.entries(status.refused_requests);
  return (
    <div class="columns">
      <h1 class="wide">System</h1>
      {error && <Trouble error={error} />}
      <div class="flow wide">
        <Panel title="Service">
          <Facts
            of={[
              ["version", status.version],
              ["up for", span(status.uptime_s)],
              ["takes jobs", status.draining ? "no, it shuts down" : "yes"],
            ]}
          />
        </Panel>
        <Panel title="Networks" aside={models.refused.length > 0 && <span class="tag bad">{models.refused.length} refused</span>}>
          <Facts
            of={[
              ...models.models.map((model): [string, ComponentChildren] => [model.active === null ? model.name : `${model.name}@${model.active}`, <ExecutionWords of={model} />]),
              ...models.refused.map(({ folder, why }): [string, ComponentChildren] => [folder, <span class="wrong">{why}</span>]),
            ]}
          />
        </Panel>
        <Panel title="Queue" aside={<span class={`tag ${queue?.up ? "good" : "bad"}`}>{queue?.up ? "up" : "away"}</span>}>
          {queue?.why && <p class="wrong">{queue.why}</p>}
          {!queue && <p>This service runs without a queue: it only predicts.</p>}
          <Facts of={STATES.filter((state) => queue?.jobs[state] !== undefined).map((state) => [state, queue?.jobs[state]])} />
        </Panel>
        <Panel title="Workers" aside={<span class={`tag ${queue?.workers.length ? "good" : "bad"}`}>{queue?.workers.length ?? 0}</span>}>
          {queue?.workers.length ? (
            <ul class="plain">{queue.workers.map((worker) => <li key={worker}><code class="id">{worker}</code></li>)}</ul>
          ) : (
            <p>No worker is running: jobs that are to be refined wait for one.</p>
          )}
        </Panel>
        <Panel title="Room">
          <Meter label="Store" used={status.store_bytes} limit={status.store_limit_bytes} />
          <Meter label="Memory of requests and readings" used={status.bytes_in_flight} limit={status.bytes_in_flight_limit} />
        </Panel>
        <Panel title="Refused requests">
          {refused.length ? (
            <Facts of={refused.map(([code, count]) => [`status ${code}`, count])} />
          ) : (
            <p>None since the service started.</p>
          )}
        </Panel>
        <Panel title="Reading of files">
          {sandbox ? (
            <Facts
              of={[
                ["only the data roots can be read", sandbox.landlock ? `yes (Landlock ${sandbox.landlock})` : "not enforced by this kernel"],
                ["no sockets, processes or programs", sandbox.seccomp ? "yes" : "not enforced by this kernel"],
                ["no network", sandbox.network_namespace ? "yes" : "not enforced by this kernel"],
              ]}
            />
          ) : (
            <p class="wrong">The process that reads files has not started. Where this stays so, the log of the service says why.</p>
          )}
        </Panel>
      </div>
    </div>
  );
}

const Meter = ({ label, used, limit }: { label: string; used: number; limit: number }) => (
  <div class="meter">
    <span>{label}</span>
    <meter max={limit} high={0.9 * limit} value={used} aria-label={label} />
    <small>{bytes(used)} of {bytes(limit)}</small>
  </div>
);
