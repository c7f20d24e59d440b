// The server's JSON; or what is inlined, in a file that was exported.

const TOKEN = "polyroute.token";

/** What an exported file holds: {about, run}; null where a server answers. */
export const inlined = readInlined();

const token = readToken();

/** What the server said is wrong, in one sentence. `at`, `end`: the place in a filter, if it told one. */
export class ServerError extends Error {
  constructor(message, { status = 0, at = null, end = null } = {}) {
    super(message);
    Object.assign(this, { status, at, end });
  }
}

/** JSON from `api/PATH`. Raises `ServerError`; an aborted request raises the browser's AbortError. */
export async function get(path, query = {}, signal = undefined) {
  if (inlined) return fromInlined(path);
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return ask(`api/${path}${text ? `?${text}` : ""}`, { signal });
}

/** A change: the method, `api/PATH`, and what it carries. */
export async function send(method, path, body = {}) {
  return ask(`api/${path}`, {
    method,
    headers: { "Content-Type": "application/json" },
    body: method === "DELETE" ? undefined : JSON.stringify(body),
  });
}

/** A stream of server-sent events, until it ends: `onEvent(name, data)`, the first is "open". EventSource could send no token. */
export async function listen(path, onEvent, signal) {
  const response = await fetch(`api/${path}`, { headers: authorised({}), signal });
  if (!response.ok) throw await problem(response);
  onEvent("open", null);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (waiting + value).replaceAll("\r\n", "\n").split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      const event = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        const [, field, text] = /^(event|data): ?(.*)$/.exec(line) ?? [];
        if (field) event[field] += field === "data" ? text : "";
        if (field === "event") event.event = text;
      }
      if (event.data) onEvent(event.event, JSON.parse(event.data));
    }
  }
}

/** The address for an <img>: as it is, or as data where the server wants its token first. */
export async function pictureAddress(address) {
  if (!token || address.startsWith("data:")) return address;
  return readAs(await fetched(address));
}

/** A file that the server makes, saved under a name. */
export async function download(path, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await fetched(`api/${path}`));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function fetched(address) {
  const response = await fetch(address, { headers: authorised({}) });
  if (!response.ok) throw await problem(response);
  return response.blob();
}

function readAs(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new ServerError("The picture could not be read."));
    reader.readAsDataURL(blob);
  });
}

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, { ...options, headers: authorised(options.headers ?? {}) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer; is it still running?");
  }
  if (!response.ok) throw await problem(response);
  return response.status === 204 ? null : response.json();
}

async function problem(response) {
  const told = await response.json().catch(() => null);
  const message = told?.error?.message ?? `The server answered ${response.status}.`;
  return new ServerError(message, { ...told?.error, status: response.status });
}

function authorised(headers) {
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

function fromInlined(path) {
  if (path === "about") return inlined.about;
  if (path === `runs/${encodeURIComponent(inlined.run.row.id)}`) return inlined.run;
  throw new ServerError("This file holds one run only.");
}

function readInlined() {
  const holder = document.getElementById("data");
  return holder ? JSON.parse(holder.textContent) : null;
}

/** From `#token=…`, once: then it is kept for this tab, and no longer in the address. */
function readToken() {
  if (inlined) return null;
  const given = /^#token=([^&]+)/.exec(location.hash)?.[1];
  if (given) {
    sessionStorage.setItem(TOKEN, decoded(given));
    history.replaceState(null, "", "#/runs");
  }
  return sessionStorage.getItem(TOKEN);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed as it is, with a % in it
  }
}
