// Questions that are asked before something is done.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Login } from "../api";
import { short } from "../words";

/** Whether this login may end what others see: jobs and live scans. */
export const mayEnd = (login: Login): boolean => login.scope !== "read";

interface AskProps {
  title: string;
  verb: string;
  keep: string;
  danger?: boolean;
  ask: (given: FormData) => Promise<unknown>;
  done: () => void;
  children: ComponentChildren;
}

/** Does it when the second button is pressed, and says what goes wrong. verb, keep: what the two buttons say. */
export function AskDialog({ title, verb, keep, danger = false, ask, done, children }: AskProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    ask(new FormData(event.target as HTMLFormElement)).then(done, (error) => {
      setBusy(false);
      setWrong(error.message);
    });
  };

  return (
    <dialog ref={dialog} onClose={done} aria-labelledby="ask-title">
      <form onSubmit={submit}>
        <h2 id="ask-title">{title}</h2>
        {children}
        {wrong && <p class="wrong" role="alert">{wrong}</p>}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>{keep}</button>
          <button type="submit" class={danger ? "danger" : "primary"} disabled={busy}>{verb}</button>
        </div>
      </form>
    </dialog>
  );
}

interface ReasonProps extends Omit<AskProps, "ask" | "children"> {
  name: string;
  id: string;
  label: string;
  ask: (reason: string) => Promise<unknown>;
}

/** The same with a reason, which is called by its label. */
export const ReasonDialog = ({ name, id, label, ask, ...more }: ReasonProps) => (
  <AskDialog {...more} ask={(given) => ask(String(given.get("reason") ?? ""))}>
    <p>
      {name} <small class="id">{short(id)}</small>
    </p>
    <label for="reason">{label}</label>
    <input id="reason" name="reason" maxLength={200} autocomplete="off" autofocus />
  </AskDialog>
);
