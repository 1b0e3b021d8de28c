// @ts-check
// Where a value of a plan is kept: in the widget of the Blueprint that the plan was made from, else in the changes of an
// Edit Blueprint, which is added behind the plan where there is none.
import { addBehind, inputIndex, nodesBehind, originOf, setWidget, widgetOf } from "./host.mjs";
import { plainValue, withChange } from "./plan_facts.mjs";

/** @typedef {import("./plan_facts.mjs").PlanField} PlanField */

const BLUEPRINT = "AceComposerBlueprint";
const EDIT = "AceComposerEditBlueprint";
const REWRITE = "AceComposerRewrite"; // writes anew what stands before it
const WIRE = "blueprint"; // the input of every node that passes a plan on

const before = (/** @type {any} */ node) =>
  node.comfyClass === REWRITE ? null : (originOf(node, inputIndex(node, WIRE))?.node ?? null);

/** The node before a plan in which a person decides the field, or none. */
const decidedIn = (/** @type {any} */ node, /** @type {string} */ name) => {
  for (let at = before(node); at; at = before(at)) {
    if (at.comfyClass === EDIT) return at;
    if (at.comfyClass === BLUEPRINT) return widgetOf(at, name) && !originOf(at, inputIndex(at, name)) ? at : null;
  }
  return null;
};

const editBehind = (/** @type {any} */ node) => {
  if (node.comfyClass === EDIT) return node;
  const slot = node.outputs.findIndex((/** @type {any} */ output) => output.type === "ACE_BLUEPRINT");
  const found = nodesBehind(node, slot).find((/** @type {any} */ each) => each.comfyClass === EDIT);
  return found ?? addBehind(node, slot, EDIT);
};

/**
 * Keep a value for the runs to come.
 * @param {any} node whose plan has it
 * @param {PlanField} field
 * @returns {{ title: string, kept: boolean }} the node that has it now, or that could not take it
 */
export const keepValue = (node, field) => {
  const target = decidedIn(node, field.name) ?? editBehind(node);
  const { title } = target;
  if (target.comfyClass === BLUEPRINT) {
    setWidget(target, field.name, plainValue(field));
    return { title, kept: true };
  }
  const changes = withChange(widgetOf(target, "changes").value, field);
  if (changes !== null) setWidget(target, "changes", changes);
  return { title, kept: changes !== null };
};
