// What the policy's model was sent, folded, as it is long.

import { h } from "./dom.js";
import { counted } from "./format.js";

export function promptBox(messages) {
  if (!messages?.length) return null;
  return h(
    "details",
    { class: "prompt" },
    h("summary", null, `Prompt, ${counted(messages.length, "message")}`),
    messages.map((message) =>
      h(
        "div",
        { class: "message" },
        h("h4", null, message.role),
        h("pre", { tabIndex: 0, "data-scrolls": "" }, contentOf(message)),
      ),
    ),
  );
}

/** Text, or the text of LangChain's blocks. */
export function contentOf({ content }) {
  if (typeof content === "string") return content;
  const blocks = Array.isArray(content) ? content : [content];
  return blocks.map((block) => (typeof block === "string" ? block : (block?.text ?? JSON.stringify(block)))).join("\n");
}
