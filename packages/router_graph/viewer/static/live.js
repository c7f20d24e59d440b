// Follows the log: what changed, as the server tells it; asks again when the connection was lost.

import { listen } from "./api.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;

/**
 * `onChange({runs, total})` when runs grew, or `{indexing}`; `onState("live" | "lost")`. After a loss everything may
 * have changed: then `runs` is null.
 */
export async function follow({ onChange, onState, onAbout }) {
  let wait = FIRST_WAIT;
  let lost = false;
  for (;;) {
    try {
      await listen("live", (name, data) => {
        if (lost) onAbout().then(() => onChange({ runs: null }));
        lost = false;
        wait = FIRST_WAIT;
        onState("live");
        if (name === "changed") onChange(data.all ? { ...data, runs: null } : data);
        if (name === "indexing") onChange({ runs: [], indexing: data });
      });
    } catch {
      // said by the state; tried again below
    }
    lost = true;
    onState("lost");
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}
