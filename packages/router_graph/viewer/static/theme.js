// Light or dark: as the system has it, until somebody chooses.

const KEPT = "polyroute.scheme";

/** What was chosen, set before anything is drawn. */
export function startTheme() {
  const kept = recalled();
  if (kept) document.documentElement.dataset.scheme = kept;
}

/** The other one, kept for next time. */
export function switchTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.scheme = next;
  try {
    localStorage.setItem(KEPT, next);
  } catch {
    // a file or a private window may have no storage: the choice lasts as long as the page
  }
  window.dispatchEvent(new Event("scheme"));
  return next;
}

export function isDark() {
  const chosen = document.documentElement.dataset.scheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function recalled() {
  try {
    const kept = localStorage.getItem(KEPT);
    return kept === "dark" || kept === "light" ? kept : null;
  } catch {
    return null;
  }
}
