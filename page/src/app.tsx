// The frame around every view: who is logged in, where one is, whether the service answers.

import { useEffect, useMemo, useState } from "preact/hooks";
import { call, json, logIn, type Login, onLoggedOut, Refusal } from "./api";
import { LiveJobs } from "./live";
import { useListened } from "./parts/hooks";
import { CompareView } from "./views/compare";
import { JobView } from "./views/job";
import { JobsView } from "./views/jobs";
import { LoginView } from "./views/login";
import { ModelsView } from "./views/models";
import { ScanList, ScanView } from "./views/scans";
import { SeriesList, SeriesView } from "./views/series";
import { SubmitView } from "./views/submit";
import { SystemView } from "./views/system";

const VIEWS = [
  { path: "jobs", label: "Jobs" },
  { path: "scans", label: "Live scans" },
  { path: "series", label: "Series" },
  { path: "new", label: "New job" },
  { path: "models", label: "Models" },
  { path: "system", label: "System" },
];

function useRoute(): string[] {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    changed(); // it may have changed before anybody listened
    return () => removeEventListener("hashchange", changed);
  }, []);
  return hash.replace(/^#\/?/, "").split("/").filter(Boolean);
}

/** The key that a link brought, which leaves the address at once: it would stay in the history. */
function keyOfLink(): string | null {
  const found = /^#key=([A-Za-z0-9]+)$/.exec(location.hash)?.[1] ?? null;
  if (found) history.replaceState(null, "", location.pathname + location.search);
  return found;
}

export function App() {
  const [login, setLogin] = useState<Login | null | undefined>(undefined);
  const [trouble, setTrouble] = useState("");

  useEffect(() => {
    onLoggedOut(() => setLogin(null));
    const key = keyOfLink();
    (key ? logIn(key) : json<Login>("v1/login")).then(setLogin, (error) => {
      setLogin(null);
      if (!(error instanceof Refusal && error.status === 401) || key) setTrouble(String(error.message));
    });
  }, []);

  if (login === undefined) return <main class="waiting" aria-busy="true" />;
  if (login === null)
    return (
      <LoginView
        trouble={trouble}
        done={(found) => {
          setTrouble("");
          setLogin(found);
        }}
      />
    );
  return <House login={login} left={() => setLogin(null)} />;
}

function House({ login, left }: { login: Login; left: () => void }) {
  const live = useMemo(() => new LiveJobs(), []);
  const [where = "jobs", what, other] = useRoute();
  useListened(live);

  useEffect(() => {
    // a page that nobody looks at holds no connection: browsers open six to a service, over all their tabs
    const seen = () => (document.hidden ? live.stop() : live.start());
    seen();
    document.addEventListener("visibilitychange", seen);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      live.stop();
    };
  }, [live]);

  useEffect(() => {
    const label = VIEWS.find((view) => view.path === where)?.label ?? "Comparison";
    document.title = where === "jobs" && what ? `Job ${what.slice(0, 8)} · inphase` : `${label} · inphase`;
    window.scrollTo(0, 0);
  }, [where, what]);

  const leave = () => call("v1/login", { method: "DELETE" }).then(left, left);

  return (
    <>
      <a class="skip" href="#content" onClick={(event) => { event.preventDefault(); document.getElementById("content")?.focus(); }}>
        Skip to the content
      </a>
      <header class="top">
        <a class="mark" href="#/jobs">inphase</a>
        <nav aria-label="Views">
          {VIEWS.filter((view) => view.path !== "new" || login.scope !== "read").map((view) => (
            <a key={view.path} href={`#/${view.path}`} aria-current={view.path === where ? "page" : undefined}>
              {view.label}
            </a>
          ))}
        </nav>
        <span class={`link ${live.link}`} role="status">
          {{ live: "live", connecting: "connecting", away: "no answer, trying again" }[live.link]}
        </span>
        <span class="who">
          {login.owner} <small>{login.scope}</small>
        </span>
        <button type="button" class="quiet" onClick={leave}>Log out</button>
      </header>
      <main id="content" tabIndex={-1}>
        {where === "jobs" && what ? (
          <JobView key={what} id={what} live={live} login={login} />
        ) : where === "compare" && what && other ? (
          <CompareView key={`${what} ${other}`} a={what} b={other} />
        ) : where === "scans" ? (
          what ? <ScanView key={what} id={what} live={live} login={login} /> : <ScanList live={live} />
        ) : where === "series" ? (
          what ? <SeriesView key={what} id={what} /> : <SeriesList />
        ) : where === "new" ? (
          <SubmitView what={what} />
        ) : where === "models" ? (
          <ModelsView login={login} />
        ) : where === "system" ? (
          <SystemView />
        ) : (
          <JobsView live={live} login={login} />
        )}
      </main>
    </>
  );
}
