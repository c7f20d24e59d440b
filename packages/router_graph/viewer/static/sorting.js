// Sorting where the columns' headings do not fit.

import { h } from "./dom.js";
import { COLUMNS } from "./run_row.js";

/** A select of what can be sorted by, up or down. */
export function sortSelect(onSort) {
  const named = COLUMNS.filter((column) => column.sort);
  const options = named.flatMap(({ sort, heading }) => [
    h("option", { value: `-${sort}` }, `${heading} ↓`),
    h("option", { value: sort }, `${heading} ↑`),
  ]);
  return h(
    "label",
    { class: "sorting" },
    h("span", { class: "spoken" }, "Sort by"),
    h("select", { on: { change: (event) => onSort(event.target.value) } }, options),
  );
}
