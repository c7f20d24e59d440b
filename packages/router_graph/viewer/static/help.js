// The keys, in a dialog.

import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { keysInUse } from "./keys.js";

const SHOWN = { Enter: "Enter →", Escape: "Esc ←", j: "j ↓", k: "k ↑" };

export function showHelp() {
  const rows = keysInUse().map(([key, help]) => [
    h("dt", null, h("kbd", null, SHOWN[key] ?? key)),
    h("dd", null, help),
  ]);
  openDialog("Keys", h("dl", { class: "keys" }, rows));
}
