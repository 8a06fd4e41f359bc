/** One of several, as tabs; arrow keys go through them. */
export function Choice({ label, offered, chosen, choose }: { label: string; offered: { id: string; label: string }[]; chosen: string; choose: (id: string) => void }) {
  const pick = (event: KeyboardEvent, at: number) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (at + step + offered.length) % offered.length;
    choose(offered[next]!.id);
    (event.currentTarget as HTMLElement).parentElement?.querySelectorAll("button")[next]?.focus();
  };
  return (
    <div class="tabs" role="radiogroup" aria-label={label}>
      {offered.map((one, at) => (
        <button key={one.id} type="button" role="radio" aria-checked={one.id === chosen} tabIndex={one.id === chosen ? 0 : -1}
          onClick={() => choose(one.id)} onKeyDown={(event) => pick(event, at)}>
          {one.label}
        </button>
      ))}
    </div>
  );
}
