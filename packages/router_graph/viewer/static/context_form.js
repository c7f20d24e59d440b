// The settings of a turn as a form, from the JSON schema of the context that the server tells.

import { h } from "./dom.js";

const OPTIONS = new Set(["only", "exclude", "route"]);

/** `router`: {policies, menu, defaults, schema}. `values()` gives what was changed, and nothing else. */
export function contextForm({ policies = [], menu = [], defaults = {}, schema = {} }) {
  const names = Object.keys(schema.properties ?? defaults);
  const fields = names.map((name) => field(name, typed(schema.properties?.[name], defaults[name]), defaults[name], { policies, menu }));
  return {
    element: h("details", { class: "context", open: true }, h("summary", null, "Settings of this turn"), h("p", { class: "hint" }, "What is empty is as the router has it."), h("div", { class: "context-fields" }, fields.map((one) => one.element))),
    values() {
      return Object.fromEntries(fields.map((one) => [one.name, one.read()]).filter(([, value]) => value !== undefined));
    },
  };
}

/** The type that is not null: {type, description, minimum, maximum}. */
function typed(property = {}, value = null) {
  const found = (property.anyOf ?? [property]).find((one) => one.type && one.type !== "null") ?? {};
  const guess = typeof value === "number" ? "number" : Array.isArray(value) ? "array" : "string";
  return { guess, ...found, type: found.type ?? guess, description: property.description ?? found.description ?? "" };
}

function field(name, schema, before, { policies, menu }) {
  const id = `field-${name}`;
  const hint = schema.description ? h("p", { class: "hint", id: `${id}-hint` }, schema.description) : null;
  const props = { id, "aria-describedby": hint ? `${id}-hint` : null };
  const label = h("label", { for: id }, name.replaceAll("_", " "));
  if (schema.type === "array") {
    const boxes = menu.map((option) => h("label", { class: "choice" }, h("input", { type: "checkbox", value: option.key, checked: (before ?? []).includes(option.key) }), h("span", null, option.key)));
    const read = () => boxes.map((box) => box.firstChild).filter((box) => box.checked).map((box) => box.value);
    const element = h("fieldset", { class: "field" }, h("legend", null, name.replaceAll("_", " ")), h("div", { class: "choices" }, boxes), hint);
    return { name, element, read: () => different(read(), before ?? []) };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const input = h("input", { ...props, type: "number", step: schema.type === "integer" ? "1" : "any", min: schema.minimum, max: schema.maximum, placeholder: before ?? "" });
    return { name, element: h("div", { class: "field" }, label, input, hint), read: () => (input.value === "" ? undefined : Number(input.value)) };
  }
  const choices = name === "policy" || name === "shadow" ? policies : OPTIONS.has(name) ? menu.map((option) => option.key) : null;
  const list = choices?.length ? h("datalist", { id: `${id}-list` }, choices.map((choice) => h("option", { value: choice }))) : null;
  const input = h("input", { ...props, type: "text", list: list ? `${id}-list` : null, placeholder: before ?? "", autocomplete: "off" });
  return { name, element: h("div", { class: "field" }, label, input, list, hint), read: () => (input.value.trim() === "" ? undefined : input.value.trim()) };
}

function different(now, before) {
  return JSON.stringify([...now].sort()) === JSON.stringify([...before].sort()) ? undefined : now;
}
