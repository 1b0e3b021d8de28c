// @ts-check
// Which nodes have the editor of regions; the editor itself is loaded when the first of them is made.
import { addPanel, onRemoved, onResult, register } from "./host.mjs";

const NODES = new Set(["AceComposerRepaint"]);
const HEIGHT = 176;

register("regions", {
  nodeCreated(/** @type {any} */ node) {
    if (!NODES.has(node.comfyClass)) return;
    const panel = addPanel(node, "regions", HEIGHT);
    const made = import("./region_editor.mjs").then(({ regionEditor }) => regionEditor(node, panel));
    onResult(node, async (/** @type {any} */ result) => (await made).heard(result.ace_source?.[0]));
    onRemoved(node, async () => (await made).end());
  },
});
