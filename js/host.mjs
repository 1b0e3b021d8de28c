// @ts-check
// All that knows ComfyUI's page: widgets, wires, addresses of files, panels inside nodes, texts.
//
// Traps:
// - Links are a Map in new pages and an object in old ones; a subgraph's own inputs have the origin -10.
// - The Vue renderer keeps pointermove and pointerup from leaving a panel: see `bridgePointer`.
// - `serialize` is two things: of the options for the prompt, of the widget for what a workflow saves.
// - The type of a panel must be unknown to the page, which else draws a component of its own.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const PACK = "aceComposer"; // where locales/*/main.json has the texts of the page
const SUBGRAPH_INPUT = -10;
const MUTED = 2; // modes of nodes
const BYPASSED = 4;
const SUBGRAPH_OUTPUT = -20;
const GAP = 40; // beside a node that is added
const TITLE_HEIGHT = 30;
const MOST_STEPS = 10_000; // of a walk along wires
export const SAMPLE = "sample (built in)"; // a choice of Load Song (nodes/files/load_song.py)
export const SAMPLE_ADDRESS = new URL("sample_song.mp3", import.meta.url).href;
const MARGIN = 10; // that the canvas keeps above and below a panel, of the height that it asks for
const STYLE = new URL("ace_composer.css", import.meta.url).href;

/** @type {Promise<Record<string, any>> | undefined} */
let texts;

/** Register an extension of this pack; the page knows it as acecomposer.NAME. */
export const register = (/** @type {string} */ name, /** @type {object} */ hooks) =>
  app.registerExtension({ name: `acecomposer.${name}`, ...hooks });

export const widgetOf = (/** @type {any} */ node, /** @type {string} */ name) =>
  node.widgets?.find((/** @type {any} */ widget) => widget.name === name);

/** Set a widget as if by hand; the plain widgets are what a prompt is made from. */
export const setWidget = (/** @type {any} */ node, /** @type {string} */ name, /** @type {unknown} */ value) => {
  const widget = widgetOf(node, name);
  if (!widget) return;
  widget.value = value;
  widget.callback?.(value, app.canvas, node);
  app.graph.setDirtyCanvas(true, true);
};

const linkOf = (/** @type {any} */ graph, /** @type {any} */ id) =>
  id === null || id === undefined ? null : (graph.links.get?.(id) ?? graph.links[id] ?? null);

/** The node of a subgraph in the graph around it. */
const holderOf = (/** @type {any} */ graph) => {
  const graphs = [app.graph, ...(app.graph.subgraphs?.values() ?? [])];
  for (const outer of graphs) {
    const holder = outer.nodes.find((/** @type {any} */ node) => node.subgraph === graph);
    if (holder) return holder;
  }
  return null;
};

/** The input that a bypassed node passes on through an output, as ComfyUI chooses it for a prompt. */
const bypassInput = (/** @type {any} */ node, /** @type {number} */ slot, /** @type {string} */ wanted) => {
  const { isValidConnection } = /** @type {any} */ (globalThis).LiteGraph;
  const inputs = node.inputs ?? [];
  if (wanted === "*") return inputs[slot] ?? inputs[0];
  const fits = (/** @type {any} */ input) =>
    isValidConnection(input.type, node.outputs[slot].type) && isValidConnection(input.type, wanted);
  if (inputs[slot] && fits(inputs[slot])) return inputs[slot];
  return inputs.find((/** @type {any} */ input) => input.type === wanted) ?? inputs.find(fits);
};

/**
 * Where the wire of an input comes from, through reroutes, bypassed nodes and the borders of subgraphs.
 * @param {any} node
 * @param {number} index of the input
 * @returns {{ node: any, slot: number } | null} null where there is no wire, and behind a muted node
 */
export const originOf = (node, index) => {
  let graph = node.graph;
  let link = linkOf(graph, node.inputs?.[index]?.link);
  const wanted = node.inputs?.[index]?.type;
  for (let step = 0; link && step < MOST_STEPS; step++) {
    if (link.origin_id === SUBGRAPH_INPUT) {
      const holder = holderOf(graph);
      if (!holder) return null;
      graph = holder.graph;
      link = linkOf(graph, holder.inputs[link.origin_slot]?.link);
      continue;
    }
    const origin = graph.getNodeById(link.origin_id);
    if (!origin || origin.mode === MUTED) return null;
    if (origin.mode === BYPASSED) {
      link = linkOf(graph, bypassInput(origin, link.origin_slot, wanted)?.link);
    } else if (origin.subgraph) {
      graph = origin.subgraph;
      link = linkOf(graph, graph.outputs?.[link.origin_slot]?.linkIds?.[0]);
    } else if (origin.type === "Reroute") {
      link = linkOf(graph, origin.inputs[0]?.link);
    } else return { node: origin, slot: link.origin_slot };
  }
  return null;
};

/** The index of an input by its name, or -1. */
export const inputIndex = (/** @type {any} */ node, /** @type {string} */ name) =>
  node.inputs?.findIndex((/** @type {any} */ input) => input.name === name) ?? -1;

/** All nodes before a node, the nearest first. */
export const upstream = (/** @type {any} */ node) => {
  const found = new Set([node]);
  for (const each of found) {
    for (let index = 0; index < (each.inputs?.length ?? 0); index++) {
      const origin = originOf(each, index);
      if (origin) found.add(origin.node);
    }
  }
  found.delete(node);
  return [...found];
};

/** Add a node of this pack to the graph of another, to its right, below whatever is there. */
export const addBeside = (/** @type {any} */ node, /** @type {string} */ type) => {
  const added = /** @type {any} */ (globalThis).LiteGraph.createNode(type);
  const left = node.pos[0] + node.size[0] + GAP;
  let top = node.pos[1];
  const inTheWay = (/** @type {any} */ { pos, size }) =>
    pos[0] < left + added.size[0] &&
    left < pos[0] + size[0] &&
    pos[1] - TITLE_HEIGHT < top + added.size[1] &&
    top - TITLE_HEIGHT < pos[1] + size[1];
  for (let other; (other = node.graph.nodes.find(inTheWay));) top = other.pos[1] + other.size[1] + GAP + TITLE_HEIGHT;
  added.pos = [left, top];
  node.graph.add(added);
  return added;
};

const linksOf = (/** @type {any} */ node, /** @type {number} */ slot) =>
  (node.outputs[slot].links ?? []).map((/** @type {any} */ id) => linkOf(node.graph, id));

/** The nodes that the wires of an output go to, without those that do not run. */
export const nodesBehind = (/** @type {any} */ node, /** @type {number} */ slot) =>
  linksOf(node, slot)
    .map((/** @type {any} */ link) => node.graph.getNodeById(link.target_id))
    .filter((/** @type {any} */ each) => each?.mode === 0);

/** Add a node of this pack behind an output: what the output went to comes from it from now on. */
export const addBehind = (/** @type {any} */ node, /** @type {number} */ slot, /** @type {string} */ type) => {
  const ends = linksOf(node, slot);
  const added = addBeside(node, type);
  node.connect(slot, added, 0);
  for (const { target_id: id, target_slot: index } of ends) {
    if (id === SUBGRAPH_OUTPUT) node.graph.outputs[index].connect(added.outputs[0], added);
    else added.connect(0, node.graph.getNodeById(id), index);
  }
  return added;
};

/** Where the page finds a file that a node has written or that a user has uploaded. */
export const fileAddress = (/** @type {{ filename: string, subfolder: string, type: string }} */ file) =>
  api.apiURL(`/view?${new URLSearchParams({ filename: file.filename, subfolder: file.subfolder, type: file.type })}`);

/** What a widget calls a file that a node has written. */
export const widgetName = (/** @type {{ filename: string, subfolder: string, type: string }} */ file) =>
  `${file.subfolder ? `${file.subfolder}/` : ""}${file.filename} [${file.type}]`;

const answerOf = async (/** @type {Response} */ response) => {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `${response.status}`);
  return answer;
};

/**
 * What a song file knows (nodes/song_page.py).
 * @param {string} audio as widgets name it
 * @returns {Promise<{ lines: { text: string, start: number }[], lyrics: string, bpm: number | null,
 *   time_signature: string | null, starred: boolean | null }>}
 */
export const askSong = async (audio) =>
  answerOf(await api.fetchApi(`/acecomposer/song?${new URLSearchParams({ audio })}`));

/** Give a song file its star, or take it away; returns whether it has one now. */
export const setStar = async (/** @type {string} */ audio, /** @type {boolean} */ starred) => {
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ audio, starred });
  return (await answerOf(await api.fetchApi("/acecomposer/star", { method: "POST", headers, body }))).starred;
};

/**
 * The recording behind a wire, where the wire comes from a node that loads a file.
 * @returns {{ node: any, address: string } | null}
 */
export const recordingBehind = (/** @type {any} */ node, /** @type {string} */ input) => {
  const origin = originOf(node, inputIndex(node, input))?.node;
  const file = origin && widgetOf(origin, "audio")?.value;
  if (typeof file !== "string" || !file) return null;
  if (file === SAMPLE) return { node: origin, address: SAMPLE_ADDRESS };
  const [, subfolder = "", filename, type = "input"] = file.match(/^(?:(.*)\/)?([^/]+?)(?: \[(\w+)\])?$/) ?? [];
  return filename ? { node: origin, address: fileAddress({ filename, subfolder, type }) } : null;
};

/** Call `act` after a widget was set by hand or by `setWidget`. */
export const onWidget = (/** @type {any} */ node, /** @type {string} */ name, /** @type {() => void} */ act) => {
  const widget = widgetOf(node, name);
  if (!widget) return;
  const before = widget.callback;
  widget.callback = function (/** @type {any[]} */ ...given) {
    before?.apply(this, given);
    act();
  };
};

/** Call `act` after wires of a node have changed, and after its graph was loaded. */
export const onWires = (/** @type {any} */ node, /** @type {() => void} */ act) => {
  for (const name of ["onConnectionsChange", "onGraphConfigured"]) {
    const before = node[name];
    node[name] = function (/** @type {any[]} */ ...given) {
      before?.apply(this, given);
      queueMicrotask(act);
    };
  }
};

/** The code of the user's language: that of a folder of locales/, if the pack speaks it. */
export const userLanguage = () => app.ui.settings.getSettingValue("Comfy.Locale") ?? "en";

/** The texts of one widget in the user's language, English where a language lacks them. */
export const textsOf = async (/** @type {string} */ widget) => {
  texts ??= api.fetchApi("/i18n").then((/** @type {Response} */ answer) => answer.json());
  const all = (await texts) ?? {};
  return { ...all.en?.[PACK]?.[widget], ...all[userLanguage()]?.[PACK]?.[widget] };
};

/** Let `act` change what is saved of a graph, in files and in what runs carry; the graph on the page stays. */
export const onSave = (/** @type {(graph: any) => void} */ act) => {
  const before = app.graph.onSerialize;
  app.graph.onSerialize = function (/** @type {any} */ graph) {
    before?.call(this, graph);
    act(graph);
  };
};

/** Let those who listen at the window hear a pointer that the Vue renderer keeps inside the panel. */
export const bridgePointer = (/** @type {HTMLElement} */ element) => {
  element.addEventListener("pointerdown", (event) => element.setPointerCapture(event.pointerId), { capture: true });
  for (const type of ["pointermove", "pointerup", "pointercancel"])
    element.addEventListener(type, (event) => {
      event.stopPropagation();
      window.dispatchEvent(new PointerEvent(type, /** @type {PointerEvent} */ (event)));
    });
};

/**
 * A panel at the end of a node; it is in no prompt and in no saved workflow. Its label is the text "title" of its name.
 * Keys that are pressed in it stay there, except those with Ctrl, which are the page's.
 * @param {any} node
 * @param {string} name also of its texts
 * @param {number} height with the margins
 * @param {boolean} [grows] with the node; else the height is fixed
 */
export const addPanel = (node, name, height, grows = false) => {
  if (!document.querySelector(`link[href="${STYLE}"]`)) {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: STYLE });
    document.head.append(link);
  }
  const element = document.createElement("div");
  element.className = `ace-panel ace-${name}`;
  const shown = `${height - 2 * MARGIN}px`;
  element.style.minHeight = shown;
  element.style.height = grows ? "100%" : shown;
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  textsOf(name).then(({ title }) => element.setAttribute("aria-label", title));
  element.addEventListener("wheel", (event) => event.stopPropagation());
  element.addEventListener("keydown", (event) => event.ctrlKey || event.metaKey || event.stopPropagation());
  const fixed = () => height;
  const widget = node.addDOMWidget(name, `ACE_${name.toUpperCase()}`, element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: fixed,
    ...(!grows && { getMaxHeight: fixed }),
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  return element;
};

/** Call `show` with what a node tells the page: after a run, and when the page remembers an earlier one. */
export const onResult = (/** @type {any} */ node, /** @type {(result: any) => void} */ show) => {
  const before = node.onExecuted;
  node.onExecuted = function (/** @type {any} */ result) {
    before?.call(this, result);
    show(result ?? {});
  };
};

/** What a node told the page last, if it did. */
export const resultOf = (/** @type {any} */ node) =>
  app.nodeOutputs?.[node.graph === app.graph ? node.id : `${node.graph.id}:${node.id}`];

/** Call `act` with what this pack's server sends by a name. */
export const onEvent = (/** @type {string} */ name, /** @type {(detail: any) => void} */ act) =>
  api.addEventListener(/** @type {any} */ (name), (/** @type {any} */ event) => act(event.detail));

/** The node that a run means: an id, or the ids of the subgraphs around it and an id. */
export const nodeOfRun = (/** @type {string} */ path) => {
  const ids = String(path).split(":");
  let graph = app.graph;
  for (const id of ids.slice(0, -1)) graph = graph?.getNodeById(id)?.subgraph;
  return graph?.getNodeById(ids.at(-1)) ?? null;
};

/** Make a node as tall as what is in it needs, unless it is taller. */
export const fit = (/** @type {any} */ node) => {
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  app.graph.setDirtyCanvas(true, true);
};

/** The node that the page means by the key of a result: an id, or that of a subgraph and an id. */
export const nodeOfResult = (/** @type {string} */ key) => {
  const [id, graph] = key.split(":").reverse();
  return (graph ? app.graph.subgraphs?.get(graph) : app.graph)?.getNodeById(id) ?? null;
};

export const onRemoved = (/** @type {any} */ node, /** @type {() => void} */ clean) => {
  const before = node.onRemoved;
  node.onRemoved = function () {
    clean();
    before?.call(this);
  };
};
