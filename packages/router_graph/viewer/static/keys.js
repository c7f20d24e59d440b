// One place for the keyboard. A layer is {key: {help, run}}; the page's layer lies over the common one.

const layers = [];
const NAMES = { ArrowDown: "j", ArrowUp: "k", ArrowRight: "Enter", ArrowLeft: "Escape" };

/** Put a layer on top; call what comes back to take it off. */
export function listenTo(keys) {
  layers.unshift(keys);
  return () => layers.splice(layers.indexOf(keys), 1);
}

/** Every key that does something now: [[key, help], …]. */
export function keysInUse() {
  const known = new Map();
  for (const layer of layers)
    for (const [key, { help }] of Object.entries(layer)) known.has(key) || known.set(key, help);
  return [...known];
}

export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || isTyping(event.target)) return;
    const key = NAMES[event.key] ?? event.key;
    if (event.key.startsWith("Arrow") && event.target.closest?.("[data-scrolls]")) return;
    if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
    const found = layers.find((layer) => key in layer)?.[key];
    if (!found) return;
    event.preventDefault();
    found.run();
  });
}

function isTyping(target) {
  return target.matches?.("input, textarea, select, [contenteditable]") ?? false;
}
