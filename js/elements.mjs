// @ts-check
// Elements of panels. Texts become text, never markup.

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 */
export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

export const button = (/** @type {string} */ sign, /** @type {string} */ title, /** @type {() => void} */ act) => {
  const made = make("button", { type: "button", title, "aria-label": title }, sign);
  made.addEventListener("click", act);
  return made;
};
