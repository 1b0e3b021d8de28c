// @ts-check
// What the player of takes computes: levels, order, waves, times. Nothing here needs a page.

/**
 * One take as a node tells it (nodes/takes.py).
 * @typedef {object} Take
 * @property {number} number from 1, in its batch
 * @property {{ filename: string, subfolder: string, type: string }} file
 * @property {number} seconds
 * @property {string} peaks base64, a byte for each column
 * @property {number | null} loudness in LUFS
 * @property {string | null} seed in digits: it may be larger than JavaScript's whole numbers
 * @property {number | null} score
 * @property {string | null} name of a stem
 * @property {boolean} picked by the node
 * @property {import("./lyric_facts.mjs").Line[]} lines that the song can be followed by, if there are any
 */

/** Volumes from 0 to 1 that make all takes as loud as the quietest. Unmeasured ones keep their level. */
export const volumes = (/** @type {Pick<Take, "loudness">[]} */ takes) => {
  const known = takes.map((take) => take.loudness).filter((loudness) => loudness !== null);
  const quietest = Math.min(...known);
  return takes.map(({ loudness }) => (loudness === null ? 1 : 10 ** ((quietest - loudness) / 20)));
};

/** The numbers below `count` in a new order; `random` gives numbers from 0 up to 1. */
export const shuffled = (/** @type {number} */ count, random = Math.random) => {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
};

export const peaksOf = (/** @type {string} */ base64) =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** The outline of a wave as the path of an SVG of one column a peak and 255 above and below the middle line. */
export const wavePath = (/** @type {Uint8Array} */ peaks) => {
  const upper = [...peaks].map((peak, column) => `${column} ${255 - peak}`);
  const lower = [...peaks].map((peak, column) => `${column} ${256 + peak}`).reverse();
  return `M${[...upper, ...lower].join("L")}Z`;
};

/** Minutes and seconds. */
export const clock = (/** @type {number} */ seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** What is known of a take, in a few words. */
export const facts = (/** @type {Take} */ take, /** @type {Record<string, string>} */ texts) =>
  [
    take.name,
    take.score === null ? null : `${texts.score} ${take.score.toFixed(2)}`,
    take.seed === null ? null : `${texts.seed} ${take.seed}`,
    take.loudness === null ? null : `${take.loudness.toFixed(1)} LUFS`,
  ]
    .filter((fact) => fact !== null)
    .join(" · ");

/** What a strip is called: its number, or a letter where nobody is to know which take it is. */
export const label = (/** @type {Take} */ take, /** @type {number} */ place, /** @type {boolean} */ blind) =>
  blind ? String.fromCharCode(65 + place) : String(take.number);

/** The text of Pick Take's widget. */
export const numbersText = (/** @type {Iterable<number>} */ numbers) =>
  [...numbers].sort((one, other) => one - other).join(", ");

/** Whether the seed fits a widget of the page, whose numbers are JavaScript's. */
export const usableSeed = (/** @type {Take} */ take) => take.seed !== null && Number.isSafeInteger(Number(take.seed));
