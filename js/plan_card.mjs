// @ts-check
// A plan as a table: field, value, and whether you or the planner decided it. Long texts are folded to a line, audio
// codes are a strip; several plans have a tab each. Keys: 1 to 8 and arrows choose a plan.
//
// What is in the card never decides how tall it is: it lies over the panel and scrolls.
import { button, copyText, make } from "./elements.mjs";
import { textsOf } from "./host.mjs";
import { codePixels, codesOf, copiedPlan, copiedValue, valueText } from "./plan_facts.mjs";
import { keepValue } from "./plan_graph.mjs";

/** @typedef {import("./plan_facts.mjs").PlanField} PlanField */

const CODES = "audio_codes";
const FOLDED = new Set(["caption", "lyrics", "rewritten_caption"]);

const stripOf = (/** @type {number[]} */ codes, /** @type {string} */ name) => {
  const strip = make("canvas", { class: "codes", role: "img", "aria-label": name });
  strip.width = codes.length;
  strip.height = 1;
  strip.getContext("2d")?.putImageData(new ImageData(codePixels(codes), codes.length, 1), 0, 0);
  return strip;
};

/**
 * Fill a panel; returns `show`, which is given the plans of each run.
 * @param {any} node
 * @param {HTMLElement} panel
 */
export const planCard = async (node, panel) => {
  const texts = await textsOf("plan");

  /** @type {PlanField[][]} */
  let plans = [];
  /** @type {string[]} */
  let notes = [];
  let current = 0;

  const said = make("span", { class: "said", role: "status" });
  const tabs = make("div", { class: "tabs", role: "tablist", "aria-label": texts.plans });
  const copy = button(texts.copy, texts.copy_all, () => copied(copiedPlan(plans[current])));
  const table = make("div", { class: "fields", role: "tabpanel" });
  const empty = make("div", { class: "empty" }, texts.empty);
  const card = make("div", { class: "card" });
  panel.append(card);

  const say = (/** @type {string} */ text) => (said.textContent = said.title = text);
  const copied = (/** @type {string} */ text) => say(copyText(text, panel) ? texts.copied : texts.not_copied);

  const rowOf = (/** @type {PlanField} */ field) => {
    const label = texts[field.name] ?? field.name;
    const text = valueText(field, texts);
    const name = make("span", { class: "name", title: label }, label);
    const value = make("span", { class: "value" }, text);
    const row = make("div", { class: `field ${field.origin}` }, name, value);
    if (field.value === null) return row;
    if (FOLDED.has(field.name)) {
      const fold = button(label, texts.unfold, () => {
        fold.setAttribute("aria-expanded", String(row.classList.toggle("unfolded")));
      });
      fold.className = "fold";
      fold.setAttribute("aria-label", label);
      fold.setAttribute("aria-expanded", "false");
      name.replaceChildren(fold);
    }
    const origin = field.origin === "planner" ? texts.planned : texts.mine;
    row.append(
      make("span", { class: "origin" }, origin),
      button(texts.copy, `${texts.copy_hint} ${label}`, () => copied(copiedValue(field))),
    );
    if (field.origin === "planner") row.append(keepButton(field, label, text));
    if (field.name === CODES) row.append(stripOf(codesOf(String(field.value)), `${label} ${text}`));
    return row;
  };

  const keepButton = (/** @type {PlanField} */ field, /** @type {string} */ label, /** @type {string} */ text) => {
    const keep = button(texts.keep, `${texts.keep_hint} ${label}`, () => {
      const { title, kept } = keepValue(node, field);
      if (kept) keep.setAttribute("aria-pressed", "true");
      say(kept ? `${title}: ${label} ${text}` : `${title}: ${texts.unreadable}`);
    });
    return keep;
  };

  const choose = (/** @type {number} */ index) => {
    current = index;
    [...tabs.children].forEach((tab, each) => {
      tab.setAttribute("aria-selected", String(each === current));
      tab.setAttribute("tabindex", each === current ? "0" : "-1");
    });
    say("");
    table.replaceChildren(...plans[current].map(rowOf), ...notes.map((note) => make("div", { class: "note" }, note)));
  };

  const tabOf = (/** @type {unknown} */ _, /** @type {number} */ index) => {
    const tab = button(String(index + 1), `${texts.title} ${index + 1}`, () => choose(index));
    tab.setAttribute("role", "tab");
    return tab;
  };

  panel.addEventListener("keydown", (event) => {
    const digit = Number(event.key) - 1;
    const inTabs = tabs.contains(/** @type {Node} */ (event.target));
    const step = (inTabs && { ArrowLeft: -1, ArrowRight: 1 }[event.key]) || 0;
    const chosen = step ? current + step : digit;
    if (!(chosen >= 0 && chosen < plans.length)) return;
    choose(chosen);
    if (step) /** @type {HTMLElement} */ (tabs.children[chosen]).focus();
    event.preventDefault();
  });

  /** Show the plans of a run, and what the node says of them. */
  const show = (/** @type {PlanField[][]} */ shown, /** @type {string[]} */ told) => {
    plans = shown;
    notes = told;
    if (!plans.length) return card.replaceChildren(empty);
    tabs.replaceChildren(...(plans.length > 1 ? plans.map(tabOf) : []));
    card.replaceChildren(make("div", { class: "bar" }, tabs, copy, said), table);
    choose(Math.min(current, plans.length - 1));
  };
  show([], []);
  return { show };
};
