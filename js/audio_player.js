// ComfyUI's own audio player on Load Song; it has one for its own nodes only.
import { app } from "../../scripts/app.js";

const PLAYER = "audioUI";
const NODE = "AceComposerLoadSong";
const SAMPLE = "sample (built in)"; // a choice of Load Song (nodes/files/load_song.py)
const SAMPLE_ADDRESS = new URL("sample_song.mp3", import.meta.url).href;

// ComfyUI's player looks for every choice in the input folder. It is corrected in the same turn, before it loads anything.
const playSample = (node, player) => {
  const song = node.widgets.find((widget) => widget.name === "audio");
  const correct = () => {
    if (song.value === SAMPLE) player.value = player.element.src = SAMPLE_ADDRESS;
  };
  for (const [owner, name] of [
    [song, "callback"],
    [node, "onGraphConfigured"],
  ]) {
    const before = owner[name];
    owner[name] = function (...given) {
      const result = before?.apply(this, given);
      correct();
      return result;
    };
  }
  correct();
};

app.registerExtension({
  name: "acecomposer.audio_player",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    // ComfyUI's upload button looks for the player when it is made, so it has to come after.
    const { upload, ...inputs } = nodeData.input.required;
    nodeData.input.required = { ...inputs, [PLAYER]: ["AUDIO_UI", {}], ...(upload && { upload }) };
  },
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    // The address of the sound differs each time: in the prompt it would make the node run again.
    const player = node.widgets?.find((widget) => widget.name === PLAYER);
    if (!player) return;
    player.options.serialize = false;
    playSample(node, player);
  },
});
