// @ts-check
// Which nodes have the player of takes; the player itself is loaded when the first of them is made.
import { addPanel, nodeOfResult, onRemoved, onResult, register } from "./host.mjs";

const NODES = new Set(["AceComposerSaveSong", "AceComposerPreviewSong", "AceComposerBestOfN", "AceComposerPickStem"]);
const HEIGHT = 196;
const RESULT = "ace_takes"; // nodes/takes.py
const players = new WeakMap();

register("takes", {
  nodeCreated(/** @type {any} */ node) {
    if (!NODES.has(node.comfyClass)) return;
    const panel = addPanel(node, "takes", HEIGHT);
    const made = import("./take_player.mjs").then(({ takePlayer }) => takePlayer(node, panel));
    const show = async (/** @type {any} */ result) => (await made).show(result[RESULT]);
    players.set(node, show);
    onResult(node, show);
    onRemoved(node, async () => (await made).show([]));
  },
  onNodeOutputsUpdated(/** @type {Record<string, any>} */ results) {
    for (const [key, result] of Object.entries(results)) {
      if (result[RESULT]) players.get(nodeOfResult(key))?.(result);
    }
  },
});
