// Elements from data. What users, models and documents wrote enters the page as text only, here and nowhere else.

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "tabIndex", "selected", "htmlFor"]);
const OURS = /^(#|api\/)/;
const PICTURE = /^(data:image\/(png|jpeg|gif|webp|bmp);base64,|api\/images\/[^/?#\\]+\/[^/?#\\]+$)/;

/**
 * An element. `props`: attributes; `on`: listeners by event; `style`: CSS properties, set through the CSSOM, as the
 * content security policy allows no style attribute. Children: text, numbers, nodes, arrays of them; null and false
 * are left out. Links lead to places of this page or to its API, pictures are data or come from the API: all else
 * throws, so that no text of a document becomes an address.
 */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else if (PROPERTIES.has(name)) node[name] = value;
    else if (name === "href" && !OURS.test(value)) throw new Error("A link leaves the viewer.");
    else if (name === "src" && !PICTURE.test(value)) throw new Error("A picture is from elsewhere.");
    else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

/** Whether it may be the source of an <img>. */
export function isPicture(address) {
  return PICTURE.test(address);
}

/** These children instead of what there was. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** A button with a text, and what it does. */
export function button(text, action, props) {
  return h("button", { type: "button", ...props, on: { click: action } }, text);
}

/** What only a screen reader says. */
export function spoken(text) {
  return h("span", { class: "spoken" }, text);
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}
