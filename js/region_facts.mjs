// @ts-check
// What the editor of regions computes: widgets to spans of seconds and back, bars, snapping. Nothing here needs a page.

/** @typedef {{ start: number, end: number }} Span seconds */
/** @typedef {{ start: number, end: number, more_regions: string, unit: string }} Written as in the widgets of Repaint */

const QUARTERS = /** @type {Record<string, number>} */ ({ "2/4": 2, "3/4": 3, "4/4": 4, "6/8": 3 });
const REGION = /^(\d+(?:\.\d+)?)\s*(?:-|to)\s*(\d+(?:\.\d+)?)$/;

/** Seconds of a bar, or 0 where tempo or time signature are open; the tempo counts quarter notes. */
export const barSeconds = (/** @type {number} */ bpm, /** @type {string} */ signature) =>
  bpm > 0 ? ((QUARTERS[signature] ?? 0) * 60) / bpm : 0;

const hundredths = (/** @type {number} */ value) => Math.round(value * 100) / 100;

/**
 * The spans that the widgets mean in a recording of so many seconds; null where they cannot be read.
 * @param {Written} written
 * @param {number} bar seconds of a bar, 0 where it is not known
 * @param {number} seconds
 * @returns {Span[] | null}
 */
export const spansOf = (written, bar, seconds) => {
  const inBars = written.unit === "bars";
  if (inBars && !bar) return null;
  const toSeconds = (/** @type {number} */ value) => (inBars ? (value - 1) * bar : value);
  const spans = [{ start: toSeconds(written.start), end: written.end ? toSeconds(written.end) : seconds }];
  for (const part of written.more_regions.split(/[,;\n]/).map((text) => text.trim())) {
    if (!part) continue;
    const found = part.match(REGION);
    if (!found) return null;
    spans.push({ start: toSeconds(Number(found[1])), end: toSeconds(Number(found[2])) });
  }
  return spans
    .filter(({ start, end }) => start >= 0 && start < Math.min(end, seconds))
    .map(({ start, end }) => ({ start, end: Math.min(end, seconds) }));
};

/**
 * What the widgets must hold for spans, the earliest first; an end at the end of the recording is 0.
 * @param {Span[]} spans at least one
 * @param {string} unit
 * @param {number} bar
 * @param {number} seconds
 */
export const writtenOf = (spans, unit, bar, seconds) => {
  const inUnit = (/** @type {number} */ value) => hundredths(unit === "bars" ? value / bar + 1 : value);
  const [first, ...rest] = [...spans].sort((one, other) => one.start - other.start);
  return {
    start: inUnit(first.start),
    end: first.end >= seconds - 0.005 ? 0 : inUnit(first.end),
    more_regions: rest.map(({ start, end }) => `${inUnit(start)}-${inUnit(end)}`).join(", "),
  };
};

/** A span at the nearest lines of a grid, at least one step long and within the recording. */
export const snapped = (/** @type {Span} */ span, /** @type {number} */ step, /** @type {number} */ seconds) => {
  if (!step) return span;
  const start = Math.min(Math.round(span.start / step), Math.ceil(seconds / step) - 1) * step;
  const end = Math.max(Math.round(span.end / step) * step, start + step);
  return { start: Math.max(0, start), end: Math.min(end, seconds) };
};

/** The largest magnitude in each of equal shares of samples. */
export const columnPeaks = (/** @type {Float32Array} */ samples, /** @type {number} */ columns) =>
  Float32Array.from({ length: columns }, (_, column) => {
    const end = Math.max(((column + 1) * samples.length) / columns, (column * samples.length) / columns + 1);
    let highest = 0;
    for (let index = Math.floor((column * samples.length) / columns); index < end; index++)
      highest = Math.max(highest, Math.abs(samples[index] ?? 0));
    return highest;
  });
