// One element for another that shows the same, newer: what was unfolded stays so, and the focus stays where it was.

const REACHED = "a, button, summary, input, select, textarea, [tabindex]";

export function swap(before, after) {
  const focused = [...before.querySelectorAll(REACHED)].indexOf(document.activeElement);
  const unfolded = [...before.querySelectorAll("details")].map((one) => one.open);
  before.replaceWith(after);
  const details = [...after.querySelectorAll("details")];
  if (details.length === unfolded.length) details.forEach((one, n) => (one.open = unfolded[n]));
  if (focused >= 0) after.querySelectorAll(REACHED)[focused]?.focus({ preventScroll: true });
}
