// The address bar: `#/run/ID/3?filter=…` and back.

/** What the hash names: {page, parts, query}. */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...parts] = path.split("/").filter(Boolean).map(decoded);
  return { page: page ?? "runs", parts, query: new URLSearchParams(query ?? "") };
}

/** The hash of a place; empty values are left out of the query. */
export function place(parts, query = {}) {
  const path = parts.map((part) => encodeURIComponent(part)).join("/");
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

/** Go there; `replace` leaves no entry for the back button. */
export function go(hash, { replace = false } = {}) {
  if (hash === location.hash) return;
  if (replace) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
