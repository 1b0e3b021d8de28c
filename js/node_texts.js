// @ts-check
// What a node says of its run, on a panel that comes with the first text and scrolls where there is more. Much of it is
// from files, so it is never anything but text. ComfyUI's own text of a node would take it for HTML or Markdown, and its
// newer pages take it away after the run.
import { make } from "./elements.mjs";
import { addPanel, fit, nodeOfResult, nodeOfRun, onEvent, onResult, register } from "./host.mjs";

const HEIGHT = 60; // two lines; workflows have room for that
const EVENT = "acecomposer.text"; // nodes/host/feedback.py
const PACK = "AceComposer"; // what the ids of its nodes begin with
const CARD = "ace_plans"; // plan_cards.js shows them in place of the text
const texts = new WeakMap();

const show = (/** @type {any} */ node, /** @type {string} */ text) => {
  if (!texts.has(node)) {
    if (!text) return;
    const shown = make("div", { class: "text", role: "status" });
    addPanel(node, "text", HEIGHT, true).append(shown);
    texts.set(node, shown);
    fit(node);
  }
  texts.get(node).textContent = text;
};

const showResult = (/** @type {any} */ node, /** @type {any} */ result) => {
  if (Array.isArray(result.text) && !result[CARD]) show(node, result.text.join("\n"));
};

register("texts", {
  setup() {
    onEvent(EVENT, ({ node, text }) => {
      const found = nodeOfRun(node);
      if (found) show(found, text);
    });
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass?.startsWith(PACK)) onResult(node, (result) => showResult(node, result));
  },
  onNodeOutputsUpdated(/** @type {Record<string, any>} */ results) {
    for (const [key, result] of Object.entries(results)) {
      const node = nodeOfResult(key);
      if (node?.comfyClass?.startsWith(PACK)) showResult(node, result);
    }
  },
});
