// The settings of a turn as a form, from the JSON schema of the context that the server tells.

import { h } from "./dom.js";

const LISTS = new Set(["only", "exclude"]);

/** `router`: {menu, policies, defaults, schema}. `values()` gives what was set, and nothing else. */
export function contextForm({ policies = [], menu = [], defaults = {}, schema = null }) {
  const keys = menu.map((option) => option.key);
  const properties = schema?.properties ?? guessed(defaults, policies, keys);
  const fields = Object.entries(properties).map(([name, one]) =>
    field(name, one, defaults[name] ?? one.default ?? null),
  );
  return {
    element: h(
      "details",
      { class: "context", open: true },
      h("summary", null, "Settings of this turn"),
      h("p", { class: "hint" }, "What is empty is as the router has it."),
      h(
        "div",
        { class: "context-fields" },
        fields.map((one) => one.element),
      ),
    ),
    values() {
      return Object.fromEntries(fields.map((one) => [one.name, one.read()]).filter(([, value]) => value !== undefined));
    },
  };
}

/** {name, element, read}: `read` gives undefined where nothing was set. */
function field(name, schema, before) {
  const title = schema.title ?? name.replaceAll("_", " ");
  const id = `field-${name}`;
  const hint = schema.description ? h("p", { class: "hint", id: `${id}-hint` }, schema.description) : null;
  if (schema.type === "array") return choices(name, title, schema.items?.enum ?? [], before ?? [], hint);
  const props = { id, "aria-describedby": hint ? `${id}-hint` : null };
  const input = schema.enum ? select(props, schema.enum, before) : entry(props, schema, before);
  const isNumber = schema.type === "integer" || schema.type === "number";
  const read = () => (input.value.trim() === "" ? undefined : isNumber ? Number(input.value) : input.value.trim());
  return { name, element: h("div", { class: "field" }, h("label", { for: id }, title), input, hint), read };
}

function select(props, values, before) {
  const unset = h("option", { value: "" }, before === null ? "not set" : `${before}, as set`);
  return h(
    "select",
    props,
    unset,
    values.filter((value) => value !== before).map((value) => h("option", { value }, value)),
  );
}

function entry(props, schema, before) {
  const isNumber = schema.type === "integer" || schema.type === "number";
  const limits = isNumber
    ? { step: schema.type === "integer" ? "1" : "any", min: schema.minimum, max: schema.maximum }
    : {};
  return h("input", {
    ...props,
    ...limits,
    type: isNumber ? "number" : "text",
    placeholder: before ?? "not set",
    autocomplete: "off",
  });
}

/** Boxes to check; they count only where they are not as they were. */
function choices(name, title, values, before, hint) {
  const boxes = values.map((value) => h("input", { type: "checkbox", value, checked: before.includes(value) }));
  const element = h(
    "fieldset",
    { class: "field" },
    h("legend", null, title),
    h(
      "div",
      { class: "choices" },
      boxes.map((box) => h("label", { class: "choice" }, box, h("span", null, box.value))),
    ),
    hint,
  );
  const checked = () => boxes.filter((box) => box.checked).map((box) => box.value);
  const read = () =>
    JSON.stringify(checked()) === JSON.stringify(values.filter((value) => before.includes(value)))
      ? undefined
      : checked();
  return { name, element, read };
}

/** Where the server tells no schema: types from the defaults, choices from the menu. */
function guessed(defaults, policies, keys) {
  const known = { policy: policies, shadow: policies, route: keys };
  const fields = Object.entries(defaults).map(([name, value]) => {
    if (LISTS.has(name)) return [name, { type: "array", items: { enum: keys } }];
    if (known[name]) return [name, { type: "string", enum: known[name] }];
    return [name, { type: typeof value === "string" ? "string" : "number" }];
  });
  return Object.fromEntries(fields);
}
