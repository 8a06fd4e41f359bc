import { useState } from "preact/hooks";
import { logIn, type Login } from "../api";

export function LoginView({ trouble, done }: { trouble: string; done: (login: Login) => void }) {
  const [wrong, setWrong] = useState(trouble);
  const [busy, setBusy] = useState(false);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const key = new FormData(event.target as HTMLFormElement).get("key");
    setBusy(true);
    logIn(String(key)).then(done, (error) => {
      setBusy(false);
      setWrong(error.message);
    });
  };

  return (
    <main class="door">
      <form onSubmit={submit}>
        <h1 class="mark">inphase</h1>
        <p>Images of crystals from their diffraction, while the experiment runs.</p>
        <label for="key">API key</label>
        <input id="key" name="key" type="password" autocomplete="current-password" required autofocus aria-describedby="key-help" aria-invalid={wrong ? true : undefined} />
        {wrong && <p class="wrong" role="alert">{wrong}</p>}
        <button type="submit" class="primary" disabled={busy}>Log in</button>
        <small id="key-help">
          The service printed it at its start, or whoever runs it gave you one. It is kept in a cookie that no script can read, for twelve hours.
        </small>
      </form>
    </main>
  );
}
