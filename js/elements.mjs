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

/**
 * Copy a text; whether it worked. The page's own way is for https alone, and ComfyUI is often at an address of the house.
 * @param {string} text
 * @param {HTMLElement} place
 */
export const copyText = (text, place) => {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const source = make("textarea", { style: "position: fixed; opacity: 0" });
  source.value = text;
  place.append(source);
  source.select();
  const copied = document.execCommand("copy");
  source.remove();
  focused?.focus();
  return copied;
};
