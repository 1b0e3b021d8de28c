// @ts-check
// The workflows of this pack in the user's language: titles of nodes and groups, and notes. They are translated while a
// graph is loaded, and English again in whatever is saved of it, so that a file is the same for everybody; what a user
// has written instead is neither. A graph is one of the pack's if it says so in its `extra`, which copies of it keep.
import { onSave, register, userLanguage } from "./host.mjs";

const MARK = "ace_composer_workflow"; // automation/save_workflows.py
const NOTES = new Set(["MarkdownNote", "Note"]);
/** @type {Map<string, Promise<Record<string, string>>>} */
const translations = new Map();
/** @type {Map<string, string>} */
const english = new Map();

/** Texts of the workflows by their English, of automation/catalogues.py; none in a language that has no file. */
const textsIn = (/** @type {string} */ language) => {
  if (!translations.has(language)) {
    const address = new URL(`workflow_texts/${language}.json`, import.meta.url);
    translations.set(
      language,
      fetch(address).then((answer) => (answer.ok ? answer.json() : {})),
    );
  }
  return /** @type {Promise<Record<string, string>>} */ (translations.get(language));
};

/** Replace the texts of a saved graph and of the subgraphs in it. */
const replace = (/** @type {any} */ graph, /** @type {(text: string) => string | undefined} */ found) => {
  const other = (/** @type {unknown} */ text) => (typeof text === "string" ? (found(text) ?? text) : text);
  for (const item of [...(graph.nodes ?? []), ...(graph.groups ?? [])])
    if (item.title !== undefined) item.title = other(item.title);
  for (const note of (graph.nodes ?? []).filter((/** @type {any} */ node) => NOTES.has(node.type)))
    for (const values of [note.widgets_values, note.widgets_values_named])
      for (const key of Object.keys(values ?? {})) values[key] = other(values[key]);
  for (const inner of graph.definitions?.subgraphs ?? []) replace(inner, found);
};

register("workflow_texts", {
  setup() {
    onSave((graph) => {
      if (graph.extra?.[MARK]) replace(graph, (text) => english.get(text));
    });
  },
  async beforeConfigureGraph(/** @type {any} */ graph) {
    const language = userLanguage();
    if (!graph.extra?.[MARK] || language === "en") return;
    const texts = await textsIn(language);
    for (const [text, own] of Object.entries(texts)) english.set(own, text);
    replace(graph, (text) => texts[text]);
  },
});
