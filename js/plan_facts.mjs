// @ts-check
// What the plan card computes: values as text, colours of audio codes, changes for Edit Blueprint. Nothing here needs a
// page.

/**
 * One field of a plan as a node tells it (nodes/plan/plan_card.py).
 * @typedef {object} PlanField
 * @property {string} name
 * @property {string | number | null} value audio codes are base64 of 16 bits each
 * @property {"user" | "planner" | "auto"} origin
 */

const CODES = "audio_codes";
const CODES_PER_SECOND = 5;
const LEVELS = 8; // of each of the first three digits of a code; the other three have 5

export const codesOf = (/** @type {string} */ base64) => {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 2 }, (_, index) => view.getUint16(2 * index, true));
};

/** Red, green and blue of each code, and full opacity, as the pixels of a canvas: what sounds alike looks alike. */
export const codePixels = (/** @type {number[]} */ codes) =>
  Uint8ClampedArray.from(
    codes.flatMap((code) => [
      ...[0, 1, 2].map((digit) => 40 + 28 * (Math.floor(code / LEVELS ** digit) % LEVELS)),
      255,
    ]),
  );

/** A value as widgets and JSON have it. */
export const plainValue = (/** @type {PlanField} */ { name, value }) =>
  name === CODES && typeof value === "string" ? codesOf(value) : value;

/** A value as it is read. */
export const valueText = (/** @type {PlanField} */ field, /** @type {Record<string, string>} */ texts) => {
  const value = plainValue(field);
  if (value === null) return texts.open;
  if (Array.isArray(value)) return `${value.length} (${value.length / CODES_PER_SECOND} s)`;
  return field.name === "duration_seconds" ? `${value} s` : String(value);
};

/** A value as it is copied. */
export const copiedValue = (/** @type {PlanField} */ field) => {
  const value = plainValue(field);
  return Array.isArray(value) ? value.join(", ") : String(value ?? "");
};

/** JSON of fields, one a line. */
const written = (/** @type {Record<string, unknown>} */ fields) =>
  `{\n${Object.entries(fields)
    .map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
    .join(",\n")}\n}`;

/** A whole plan as Edit Blueprint takes it for changes. */
export const copiedPlan = (/** @type {PlanField[]} */ fields) =>
  written(
    Object.fromEntries(fields.filter(({ value }) => value !== null).map((field) => [field.name, plainValue(field)])),
  );

/**
 * The changes of Edit Blueprint with one field more; null where they are no changes of fields.
 * @param {string} changes as in the widget
 * @param {PlanField} field
 */
export const withChange = (changes, field) => {
  let fields;
  try {
    fields = changes.trim() ? JSON.parse(changes) : {};
  } catch {
    return null;
  }
  if (fields === null || typeof fields !== "object" || Array.isArray(fields) || "format" in fields) return null;
  return written({ ...fields, [field.name]: plainValue(field) });
};
