// Numbers, times and the log's short names, as people read them.

export const NOTHING = "–";

const MONEY = new Intl.NumberFormat("en", { maximumSignificantDigits: 2, maximumFractionDigits: 12 });

/** USD: two decimals from a dollar on, else as many as two significant digits take. */
export function usd(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value === 0) return "$0";
  return value >= 1 ? `$${value.toFixed(2)}` : `$${MONEY.format(value)}`;
}

/** A whole number with its thousands apart. */
export function count(value) {
  return value === null || value === undefined ? NOTHING : Math.round(value).toLocaleString("en");
}

/** "1 step", "3 steps". */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A probability in percent; the exact one is for a title. */
export function share(value) {
  if (value === null || value === undefined) return NOTHING;
  const percent = value * 100;
  return `${percent === 0 || percent === 100 || percent >= 99.95 ? Math.round(percent) : percent.toFixed(1)} %`;
}

/** +0.25, −1, 0; three digits are enough to compare. */
export function signed(value) {
  if (value === null || value === undefined) return NOTHING;
  const text = Number(Math.abs(value).toPrecision(3)).toString();
  return value === 0 ? "0" : value < 0 ? `−${text}` : `+${text}`;
}

/** The time of day if it is today, else the day too. `at` is in seconds since 1970. */
export function when(at) {
  const date = new Date(at * 1000);
  const now = new Date();
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === now.toDateString()) return time;
  const year = date.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...year })} ${time}`;
}

export function exactly(at) {
  return new Date(at * 1000).toISOString();
}

/** The first line that says something. */
export function firstLine(text) {
  return (
    (text ?? "")
      .split("\n")
      .find((line) => line.trim())
      ?.trim() ?? ""
  );
}

const STOPPED = {
  answered: "It answered",
  no_answer: "It said that nothing was found",
  steps: "Out of steps: it had to answer",
  usd: "Out of money: it had to answer",
  tokens: "Out of tokens: it had to answer",
  seconds: "Out of time: it had to answer",
  repeats: "It asked the same again and again: it had to answer",
  malformed: "Too many replies were no action: it had to answer",
  no_options: "Nobody was left to ask: it had to answer",
  policy_failed: "The policy failed: it had to answer",
};

/** Why a run ended, in words. */
export function stopWords(run) {
  if (run.status === "failed") return "It broke off";
  if (run.status === "open") return run.live === false ? "It did not come to an end" : "It is under way";
  return STOPPED[run.stop_reason] ?? run.stop_reason ?? "It ended";
}

const SHORT = {
  answered: "answered",
  no_answer: "nothing found",
  steps: "out of steps",
  usd: "out of money",
  tokens: "out of tokens",
  seconds: "out of time",
  repeats: "repeats",
  malformed: "malformed",
  no_options: "nobody left",
  policy_failed: "policy failed",
};

/** The same for a cell of a table. */
export function stopShort(run) {
  if (run.status === "failed") return "failed";
  if (run.status === "open") return run.live === false ? "unfinished" : "running";
  return SHORT[run.stop_reason] ?? run.stop_reason ?? "ended";
}

/** Why only an answer was legal, as a clause. */
export function forcedWords(reason) {
  return (STOPPED[reason] ?? reason).split(":")[0].toLowerCase();
}

export const CAME_OF = {
  ok: "came back",
  empty: "found nothing",
  failed: "failed",
  refused: "refused",
  declined: "a person said no",
  repeated: "asked before",
};
