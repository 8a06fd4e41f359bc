import { cancel } from "../api";
import { ReasonDialog } from "./ask";

/** Asks for a reason, then cancels the job. */
export const CancelDialog = ({ id, name, done }: { id: string; name: string; done: () => void }) => (
  <ReasonDialog title="Cancel this job?" name={name} id={id} label="Reason, which stays with the job" verb="Cancel the job" keep="Keep it" danger
    ask={(reason) => cancel(id, reason)} done={done} />
);
