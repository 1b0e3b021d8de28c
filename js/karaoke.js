// @ts-check
// Which nodes show lyrics that follow their song; Save Song has them in its player of takes.
import { addPanel, nodeOfResult, onRemoved, onResult, register } from "./host.mjs";

const HEIGHTS = new Map([
  ["AceComposerLyricTiming", 200],
  ["AceComposerLoadSong", 150],
]);
const RESULT = "ace_lyrics"; // nodes/karaoke.py
const players = new WeakMap();

register("karaoke", {
  nodeCreated(/** @type {any} */ node) {
    const height = HEIGHTS.get(node.comfyClass);
    if (!height) return;
    const panel = addPanel(node, "karaoke", height, true);
    const made = import("./karaoke_player.mjs").then(({ karaokePlayer }) => karaokePlayer(node, panel));
    const show = async (/** @type {any} */ result) => (await made).show(result[RESULT] ?? []);
    players.set(node, show);
    onResult(node, show);
    onRemoved(node, async () => (await made).end());
  },
  onNodeOutputsUpdated(/** @type {Record<string, any>} */ results) {
    for (const [key, result] of Object.entries(results)) {
      if (result[RESULT]) players.get(nodeOfResult(key))?.(result);
    }
  },
});
