// One quiet line for what went wrong, and a way to try again.

import { h, button } from "./dom.js";

export function problem(error, again = null) {
  return h("p", { class: "problem", role: "alert" }, error.message, again ? button("Try again", again) : null);
}
