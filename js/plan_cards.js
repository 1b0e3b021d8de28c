// @ts-check
// Which nodes have the plan card; the card itself is loaded when the first of them is made. It stands in place of the
// text that programs get from these nodes (node_texts.js).
import { addPanel, nodeOfResult, onResult, register } from "./host.mjs";

const NODES = new Set(
  ["Plan", "WriteSong", "Rewrite", "Understand", "LoadBlueprint", "EditBlueprint"].map((name) => `AceComposer${name}`),
);
const HEIGHT = 200; // a plan with its texts folded
const PLANS = "ace_plans"; // nodes/plan/plan_card.py
const NOTES = "ace_plan_notes";
const cards = new WeakMap();

register("plan_cards", {
  nodeCreated(/** @type {any} */ node) {
    if (!NODES.has(node.comfyClass)) return;
    const panel = addPanel(node, "plan", HEIGHT, true);
    const made = import("./plan_card.mjs").then(({ planCard }) => planCard(node, panel));
    const show = async (/** @type {any} */ result) => (await made).show(result[PLANS] ?? [], result[NOTES] ?? []);
    cards.set(node, show);
    onResult(node, show);
  },
  onNodeOutputsUpdated(/** @type {Record<string, any>} */ results) {
    for (const [key, result] of Object.entries(results)) {
      if (result[PLANS]) cards.get(nodeOfResult(key))?.(result);
    }
  },
});
