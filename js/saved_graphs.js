// Graphs of earlier versions. An input that a node got later means what the node did without it, not today's default:
// such an input says so in its options, under "before" (nodes/compat.py). Model files were named with their folder
// (nodes/load/choices.py); the page finds missing ones by their names alone, so this comes before it looks.
import { app } from "../../scripts/app.js";

const MODEL_WIDGETS = { AceComposerLoadModels: 3, AceComposerLoadPlanner: 1 }; // the first ones of the node
const FOLDERS = ["diffusion_models", "checkpoints", "text_encoders", "vae"];
const NAMELESS = ["text_encoder", "vae"]; // shown with their folder
const offered = new Set();

const nameOf = (value) => {
  if (typeof value !== "string" || offered.has(value)) return value;
  const [folder, ...rest] = value.split("/");
  if (folder === "ace_step" && rest.length) return NAMELESS.includes(rest.at(-1)) ? value : rest.at(-1);
  return FOLDERS.includes(folder) && rest.length ? rest.join("/") : value;
};

const renameModels = (nodes) => {
  for (const node of nodes ?? []) {
    const count = MODEL_WIDGETS[node.type];
    if (!count || !Array.isArray(node.widgets_values)) continue;
    node.widgets_values = node.widgets_values.map((value, index) => (index < count ? nameOf(value) : value));
  }
};

app.registerExtension({
  name: "acecomposer.saved_graphs",
  beforeConfigureGraph(graph) {
    renameModels(graph.nodes);
    for (const subgraph of graph.definitions?.subgraphs ?? []) renameModels(subgraph.nodes);
  },
  beforeRegisterNodeDef(nodeType, nodeData) {
    const inputs = { ...nodeData.input?.required, ...nodeData.input?.optional };
    if (nodeData.name in MODEL_WIDGETS) {
      for (const [kind, options] of Object.values(inputs)) {
        for (const value of Array.isArray(kind) ? kind : (options?.options ?? [])) offered.add(value);
      }
    }
    const added = Object.entries(inputs).filter(([, [, options]]) => options && "before" in options);
    if (!nodeData.name.startsWith("AceComposer") || !added.length) return;
    const onConfigure = nodeType.prototype.onConfigure;
    nodeType.prototype.onConfigure = function (saved, ...rest) {
      onConfigure?.call(this, saved, ...rest);
      if (!Array.isArray(saved?.widgets_values)) return;
      for (const [name, [, options]] of added) {
        const index = this.widgets?.findIndex((widget) => widget.name === name) ?? -1;
        if (index >= 0 && saved.widgets_values[index] === undefined) this.widgets[index].value = options.before;
      }
    };
  },
});
