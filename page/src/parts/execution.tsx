import type { Execution } from "../api";

/** What runs a network, in what arithmetic, and what was to run it before that and does not. */
export const ExecutionWords = ({ of: { provider, arithmetic, passed_over } }: { of: Execution }) => (
  <>
    {provider ? `${provider}, ${arithmetic}` : "not loaded yet"}
    {passed_over.map(({ execution, why }) => (
      <p key={execution} class="doubt">not {execution}: {why}</p>
    ))}
  </>
);
