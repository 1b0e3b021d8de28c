// @ts-check
// What a choice among takes changes in the graph: plain widgets of Sample and of Pick Take.
import { addBeside, inputIndex, originOf, setWidget, upstream, widgetOf } from "./host.mjs";

const SAMPLER = "AceComposerSample";
const PICKER = "AceComposerPickTake";
const BATCHES = ["audio", "latent", "blueprint", "scores"]; // inputs that several nodes share by these names

/** The nearest Sample node before a node, or none. */
export const samplerOf = (/** @type {any} */ node) => upstream(node).find((each) => each.comfyClass === SAMPLER);

/** Write a seed into Sample, where it stays for the runs to come. */
export const useSeed = (/** @type {any} */ sampler, /** @type {string} */ seed) => {
  setWidget(sampler, "seed", Number(seed));
  if (widgetOf(sampler, "control_after_generate")) setWidget(sampler, "control_after_generate", "fixed");
};

/** Whether two nodes were given the same songs. */
export const sameOrigin = (/** @type {any} */ one, /** @type {any} */ other) =>
  BATCHES.some((name) => {
    const [from, to] = [one, other].map((node) => originOf(node, inputIndex(node, name)));
    return from && to && from.node === to.node && from.slot === to.slot;
  });

/** The Pick Take of the songs that a node was given; one is added where there is none. */
const pickerOf = (/** @type {any} */ node) => {
  const found = node.graph.nodes.find(
    (/** @type {any} */ each) => each.comfyClass === PICKER && sameOrigin(each, node),
  );
  if (found) return found;
  const added = addBeside(node, PICKER);
  for (const name of BATCHES) {
    const index = inputIndex(node, name);
    const origin = index < 0 ? null : originOf(node, index);
    if (origin && origin.node.graph === node.graph) origin.node.connect(origin.slot, added, inputIndex(added, name));
  }
  return added;
};

/** Tell Pick Take which takes go on. */
export const keepOnly = (/** @type {any} */ node, /** @type {string} */ numbers) =>
  setWidget(pickerOf(node), "takes", numbers);
