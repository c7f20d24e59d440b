// Names and values below each other.

import { h } from "./dom.js";

/** A list of [name, value]; what is null, undefined or empty is left out. Objects are shown as JSON. */
export function factList(facts) {
  const given = facts.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  if (!given.length) return null;
  return h(
    "dl",
    { class: "facts" },
    given.map(([name, value]) => [h("dt", null, name), h("dd", null, shown(value))]),
  );
}

function shown(value) {
  if (value instanceof Node) return value;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
