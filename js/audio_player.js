// @ts-check
// ComfyUI's own audio player on Load Song; it has one for its own nodes only.
//
// ComfyUI gives the player its address before the node is in a graph. The Vue renderer forgets what a widget is given so
// early, so the address is given again when the node is added.
import { register, SAMPLE, SAMPLE_ADDRESS, widgetOf } from "./host.mjs";

const PLAYER = "audioUI";
const NODE = "AceComposerLoadSong";

register("audio_player", {
  beforeRegisterNodeDef(/** @type {any} */ nodeType, /** @type {any} */ nodeData) {
    if (nodeData.name !== NODE) return;
    // ComfyUI's upload button looks for the player when it is made, so it has to come after.
    const { upload, ...inputs } = nodeData.input.required;
    nodeData.input.required = { ...inputs, [PLAYER]: ["AUDIO_UI", {}], ...(upload && { upload }) };
  },
  nodeCreated(/** @type {any} */ node) {
    const player = node.comfyClass === NODE && widgetOf(node, PLAYER);
    if (!player) return;
    // The address of the sound differs each time: in the prompt it would make the node run again.
    player.options.serialize = false;
    const song = widgetOf(node, "audio");
    // ComfyUI looks for every choice in the input folder. It is corrected in the same turn, before anything is loaded.
    const correct = () => {
      if (song.value === SAMPLE) player.value = player.element.src = SAMPLE_ADDRESS;
    };
    const after = (/** @type {any} */ owner, /** @type {string} */ name, /** @type {() => void} */ act) => {
      const before = owner[name];
      owner[name] = function (/** @type {any[]} */ ...given) {
        const result = before?.apply(this, given);
        act();
        return result;
      };
    };
    after(song, "callback", correct);
    after(node, "onGraphConfigured", correct);
    after(node, "onAdded", () => song.callback(song.value));
    correct();
  },
});
