// @ts-check
// What following a song by its lyrics computes: which line and how much of a word is sung, and lines that were moved by
// hand. Offsets are written as Lyric Timing reads them (ace_core/listening/line_offsets.py). Nothing here needs a page.

/** @typedef {{ text: string, start: number, end: number }} Word seconds */

/**
 * A line as a node tells it (nodes/karaoke.py).
 * @typedef {object} Line
 * @property {number | null} number in Lyric Timing; tags and lines of files have none
 * @property {number} start
 * @property {number} end
 * @property {Word[]} words
 */

const ENTRY = /^(?:(\d+)\s*\/\s*)?(\d+)(?:\s*:\s*|\s+|(?=[+-]))([+-]?\d+(?:\.\d+)?)(?:\s*s)?$/;

const hundredths = (/** @type {number} */ value) => Math.round(value * 100) / 100;

/**
 * Seconds by `LINE` for all songs and by `SONG/LINE` for one; null where the text cannot be read.
 * @returns {Map<string, number> | null}
 */
export const offsetsIn = (/** @type {string} */ text) => {
  const offsets = new Map();
  for (const entry of text.split(/[,;\n]/).map((part) => part.trim())) {
    if (!entry) continue;
    const [, song, line, seconds] = entry.match(ENTRY) ?? [];
    if (!line) return null;
    offsets.set(song ? `${Number(song)}/${Number(line)}` : `${Number(line)}`, Number(seconds));
  }
  return offsets;
};

/** By how many seconds a line of a song is moved; songs count from 1. */
export const offsetOf = (
  /** @type {Map<string, number>} */ offsets,
  /** @type {number} */ song,
  /** @type {number} */ line,
) => offsets.get(`${song}/${line}`) ?? offsets.get(`${line}`) ?? 0;

/**
 * The text of offsets with one line moved further; null where the text cannot be read.
 * @param {string} text
 * @param {{ song: number, songs: number, line: number }} place of several songs only the one is moved
 * @param {number} seconds
 */
export const withOffset = (text, { song, songs, line }, seconds) => {
  const offsets = offsetsIn(text);
  if (!offsets) return null;
  const alone = `${song}/${line}`;
  const key = songs > 1 || offsets.has(alone) ? alone : `${line}`;
  const moved = hundredths(offsetOf(offsets, song, line) + seconds);
  offsets.delete(key);
  if (moved !== offsetOf(offsets, song, line)) offsets.set(key, moved);
  return [...offsets].map(([name, value]) => `${name} ${value < 0 ? "" : "+"}${value}`).join(", ");
};

/**
 * Lines at the times they have with offsets; a tag moves with the line after it.
 * @param {Line[]} lines
 * @param {Map<string, number>} offsets
 * @param {number} song
 */
export const movedLines = (lines, offsets, song) => {
  let seconds = 0;
  return lines
    .toReversed()
    .map((line) => {
      if (line.number !== null) seconds = offsetOf(offsets, song, line.number);
      const at = (/** @type {number} */ time) => Math.max(0, time + seconds);
      const words = line.words.map((word) => ({ ...word, start: at(word.start), end: at(word.end) }));
      return { ...line, start: at(line.start), end: at(line.end), words };
    })
    .toReversed();
};

/** The line that is sung or was sung last, or -1. */
export const lineAt = (/** @type {Line[]} */ lines, /** @type {number} */ seconds) =>
  lines.reduce(
    (best, { start }, index) => (start <= seconds && (best < 0 || start >= lines[best].start) ? index : best),
    -1,
  );

/** How much of a word is sung, from 0 to 1. */
export const sungShare = (/** @type {Word} */ { start, end }, /** @type {number} */ seconds) =>
  seconds < start ? 0 : seconds >= end ? 1 : (seconds - start) / (end - start);

/** Minutes, seconds and tenths. */
export const lineClock = (/** @type {number} */ seconds) => {
  const tenths = Math.round(10 * seconds);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
};
