// An audio player on the nodes of this pack that save or load songs; ComfyUI has one for its own nodes only.
import { app } from "../../scripts/app.js";

const PLAYER = "audioUI";
const NODES = new Set(["AceComposerSaveSong", "AceComposerLoadSong"]);

app.registerExtension({
  name: "acecomposer.audio_player",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!NODES.has(nodeData.name)) return;
    // ComfyUI's upload button looks for the player when it is made, so it has to come after.
    const { upload, ...inputs } = nodeData.input.required;
    nodeData.input.required = { ...inputs, [PLAYER]: ["AUDIO_UI", {}], ...(upload && { upload }) };
  },
  nodeCreated(node) {
    if (!NODES.has(node.comfyClass)) return;
    // The address of the sound differs each time: in the prompt it would make the node run again.
    const player = node.widgets?.find((widget) => widget.name === PLAYER);
    if (player) player.options.serialize = false;
  },
});
