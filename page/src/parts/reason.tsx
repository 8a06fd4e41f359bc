import { useEffect, useRef, useState } from "preact/hooks";
import type { Login } from "../api";
import { short } from "../words";

/** Whether this login may end what others see: jobs and live scans. */
export const mayEnd = (login: Login): boolean => login.scope !== "read";

interface ReasonProps {
  title: string;
  name: string;
  id: string;
  label: string;
  verb: string;
  keep: string;
  danger?: boolean;
  ask: (reason: string) => Promise<unknown>;
  done: () => void;
}

/** Asks for a reason, then does it. label: of the reason. verb, keep: what the two buttons say. */
export function ReasonDialog({ title, name, id, label, verb, keep, danger = true, ask, done }: ReasonProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [wrong, setWrong] = useState("");
  useEffect(() => dialog.current?.showModal(), []);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const reason = new FormData(event.target as HTMLFormElement).get("reason");
    ask(String(reason ?? "")).then(done, (error) => setWrong(error.message));
  };

  return (
    <dialog ref={dialog} onClose={done} aria-labelledby="reason-title">
      <form onSubmit={submit}>
        <h2 id="reason-title">{title}</h2>
        <p>
          {name} <small class="id">{short(id)}</small>
        </p>
        <label for="reason">{label}</label>
        <input id="reason" name="reason" maxLength={200} autocomplete="off" autofocus />
        {wrong && <p class="wrong" role="alert">{wrong}</p>}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>{keep}</button>
          <button type="submit" class={danger ? "danger" : "primary"}>{verb}</button>
        </div>
      </form>
    </dialog>
  );
}
