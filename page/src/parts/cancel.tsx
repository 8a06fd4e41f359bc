import { useEffect, useRef, useState } from "preact/hooks";
import { cancel, type Login } from "../api";
import { short } from "../words";

export const mayCancel = (login: Login): boolean => login.scope !== "read";

/** Asks for a reason, then cancels. */
export function CancelDialog({ id, name, done }: { id: string; name: string; done: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [wrong, setWrong] = useState("");
  useEffect(() => dialog.current?.showModal(), []);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const reason = new FormData(event.target as HTMLFormElement).get("reason");
    cancel(id, String(reason ?? "")).then(done, (error) => setWrong(error.message));
  };

  return (
    <dialog ref={dialog} onClose={done} aria-labelledby="cancel-title">
      <form onSubmit={submit}>
        <h2 id="cancel-title">Cancel this job?</h2>
        <p>
          {name} <small class="id">{short(id)}</small>
        </p>
        <label for="reason">Reason, which stays with the job</label>
        <input id="reason" name="reason" maxLength={200} autocomplete="off" autofocus />
        {wrong && <p class="wrong" role="alert">{wrong}</p>}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>Keep it</button>
          <button type="submit" class="danger">Cancel the job</button>
        </div>
      </form>
    </dialog>
  );
}
