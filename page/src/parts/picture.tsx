import { ended, type JobLine } from "../api";

/** Where the picture of a job is, which changes with the picture; null while there is none. */
function pictureOf(line: JobLine): string | null {
  const there = line.state === "succeeded" || (line.revisions > 0 && !ended(line.state)) || line.progress?.preview;
  return there ? `v1/jobs/${line.id}/preview?of=${line.state}-${line.revisions}` : null;
}

/** Central slices of a job as they are now. name: what they are of. */
export function Picture({ line, name }: { line: JobLine | undefined; name: string }) {
  const address = line && pictureOf(line);
  return address ? (
    <img src={address} alt={`Central slices of ${name}`} loading="lazy" decoding="async" />
  ) : (
    <span class="no-image" role="img" aria-label="no image yet" />
  );
}
